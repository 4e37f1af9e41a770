//! In which rows and columns two read models differ.

use std::collections::BTreeMap;

use ees_store::Json;
use serde::{Deserialize, Serialize};

/// In what the tables of a new read model differ from those of the live one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDifferences {
    /// The tables that only the live read model has.
    pub tables_only_live: Vec<String>,
    /// The tables that only the new read model has.
    pub tables_only_new: Vec<String>,
    /// The tables that both have.
    pub tables: Vec<TableDifferences>,
}

impl RowDifferences {
    /// Returns `true` if both read models have the same tables, columns and rows.
    pub fn is_equal(&self) -> bool {
        self.tables_only_live.is_empty()
            && self.tables_only_new.is_empty()
            && self.tables.iter().all(TableDifferences::is_equal)
    }

    /// Returns the number of rows of the new read model in the tables that both have.
    pub fn rows_new(&self) -> u64 {
        self.tables.iter().map(|table| table.rows_new).sum()
    }

    /// Returns the number of rows that differ: those added, removed and changed.
    pub fn differing(&self) -> u64 {
        self.tables.iter().map(|table| table.added + table.removed + table.changed).sum()
    }
}

/// In what a table differs. Rows are compared in the columns that both tables have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDifferences {
    /// The name of the table.
    pub table: String,
    /// The number of rows of the live table.
    pub rows_live: u64,
    /// The number of rows of the new table.
    pub rows_new: u64,
    /// The number of rows that only the new table has.
    pub added: u64,
    /// The number of rows that only the live table has.
    pub removed: u64,
    /// The number of rows that both have, with other values.
    pub changed: u64,
    /// Of the changed rows, how many differ in this column. `state.cents` is the member `cents` of a document in the
    /// column `state`.
    pub columns: BTreeMap<String, u64>,
    /// The columns that only the live table has.
    pub columns_only_live: Vec<String>,
    /// The columns that only the new table has.
    pub columns_only_new: Vec<String>,
    /// The columns whose types differ.
    pub types: Vec<TypeDifference>,
    /// The first differences of each kind, as many as were asked for, in the order of their keys.
    pub samples: Vec<RowDifference>,
}

/// A column that has another type in the new table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeDifference {
    /// The column.
    pub column: String,
    /// Its type in the live table.
    pub live: String,
    /// Its type in the new table.
    pub new: String,
}

/// A row that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDifference {
    /// Its key. Empty for a table without a key, or with another one in each read model.
    pub key: String,
    /// What differs.
    pub kind: RowDifferenceKind,
    /// Of a changed row, the columns that differ. Of another row, all columns.
    pub columns: Vec<ColumnDifference>,
}

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowDifferenceKind {
    /// Only the new table has it.
    Added,
    /// Only the live table has it.
    Removed,
    /// Both have it, with other values.
    Changed,
}

/// A column of a row that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDifference {
    /// The column, or the member of a document, as in [`TableDifferences::columns`].
    pub column: String,
    /// The value in the live table.
    pub before: Option<Json>,
    /// The value in the new table.
    pub after: Option<Json>,
}

impl TableDifferences {
    /// Returns `true` if the tables have the same columns and rows.
    pub fn is_equal(&self) -> bool {
        self.added + self.removed + self.changed == 0
            && self.columns_only_live.is_empty()
            && self.columns_only_new.is_empty()
            && self.types.is_empty()
    }
}
