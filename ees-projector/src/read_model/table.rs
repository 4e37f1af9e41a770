//! A table: its name, its key, its columns, its indexes and its conditions.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::column::{Column, ColumnType};
use super::row_error::RowError;
use crate::projection::is_name;

/// The table of a fold, as [`Fold::table`](crate::Fold::table) returns it.
///
/// A table belongs to one fold, which creates, clears and drops it. When you change the table in any way,
/// raise the fold's version, so that the read model is rebuilt: otherwise the fold stops at its start, where the
/// database has columns. The exception is a column that is [added](Column::added()). When you rename the table, the
/// old one stays: drop it yourself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table {
    /// Its name: lower-case letters, digits and `_`, at most 48, starting with a letter, and not with `ees_` or
    /// `sqlite_`.
    pub name: Cow<'static, str>,
    /// The key column. It identifies a row.
    pub key: Column,
    /// The other columns.
    pub columns: Vec<Column>,
    /// The indexes besides the primary key.
    pub indexes: Vec<Index>,
    /// Conditions in SQL that hold for each row. See [`with_check`](Self::with_check).
    pub checks: Vec<Cow<'static, str>>,
    /// The foreign keys.
    pub references: Vec<Reference>,
    document: bool,
}

/// An index of a [`Table`]. It is never unique: the rows of a batch are written one after the other, and a
/// unique index could refuse a state in between.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Index {
    /// Its columns, the most significant first.
    pub columns: Vec<Cow<'static, str>>,
}

/// A foreign key of a [`Table`]: the column holds the key of a row of another table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reference {
    /// The column: the key, or any other. A NULL refers to nothing.
    pub column: Cow<'static, str>,
    /// The table that it refers to.
    pub table: Cow<'static, str>,
    /// The key column of that table, if it was named.
    pub key: Option<Cow<'static, str>>,
}

/// A table definition that is invalid. The message says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table \"{table}\": {detail}")]
pub struct InvalidTable {
    table: String,
    detail: String,
}

const NAME_RULE: &str =
    "a name begins with a letter, has at most 48 lower-case letters, digits and _, and is not reserved";

/// The columns that each table of PostgreSQL has by itself.
const SYSTEM_COLUMNS: [&str; 6] = ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"];

impl Table {
    /// A table without columns. Add them by [`with_column`](Self::with_column).
    pub fn new(name: impl Into<Cow<'static, str>>, key: Column) -> Self {
        Self {
            name: name.into(),
            key,
            columns: Vec::new(),
            indexes: Vec::new(),
            checks: Vec::new(),
            references: Vec::new(),
            document: false,
        }
    }

    /// A table with the columns `key` (text) and `state` (JSON), which keeps each state as one JSON document.
    /// Choose it for any state that serde can write. Default of [`Fold::table`](crate::Fold::table).
    pub fn document(name: impl Into<Cow<'static, str>>) -> Self {
        let table = Self::new(name, Column::new("key", ColumnType::Text));
        Self { document: true, ..table.with_column(Column::new("state", ColumnType::Json)) }
    }

    /// Adds a column.
    #[must_use]
    pub fn with_column(mut self, column: Column) -> Self {
        self.columns.push(column);
        self
    }

    /// Adds an index over columns of the table.
    #[must_use]
    pub fn with_index<C: Into<Cow<'static, str>>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.indexes.push(Index { columns: columns.into_iter().map(Into::into).collect() });
        self
    }

    /// Adds a condition that holds for each row, as an SQL expression over its columns: `balance >= 0`. A row
    /// that breaks it is refused. On PostgreSQL and SQLite; DynamoDB refuses the table, and memory does not
    /// check it.
    #[must_use]
    pub fn with_check(mut self, condition: impl Into<Cow<'static, str>>) -> Self {
        self.checks.push(condition.into());
        self
    }

    /// Adds a foreign key: the column refers to the key of a table of an earlier stage of the same
    /// [`Composite`](crate::Composite). The table is named alone, or with its key: `orders(order_id)`. SQLite
    /// and PostgreSQL refuse a row that refers to nothing, so an event that leaves one behind fails. DynamoDB
    /// and the memory don't check it.
    ///
    /// Add an index over the column if rows that others refer to are ever deleted.
    #[must_use]
    pub fn with_reference(
        mut self,
        column: impl Into<Cow<'static, str>>,
        table: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (column, table) = (column.into(), table.into());
        let parts = table.strip_suffix(')').and_then(|table| table.split_once('('));
        let (table, key) = match parts {
            Some((table, key)) => (table.to_owned().into(), Some(key.to_owned().into())),
            None => (table, None),
        };
        self.references.push(Reference { column, table, key });
        self
    }

    /// Whether the table keeps each state as one JSON document.
    pub fn is_document(&self) -> bool {
        self.document
    }

    /// Checks that every database accepts the table.
    ///
    /// # Errors
    /// Returns [`InvalidTable`] when a name breaks a rule or occurs twice, when an index names an unknown
    /// column or none or occurs twice, when the key is nullable or has a type other than text, bigint or uuid,
    /// when a column that is not text has a list of texts, or when an added column is not nullable.
    pub fn check(&self) -> Result<(), InvalidTable> {
        let refuse = |detail: String| Err(InvalidTable { table: self.name.to_string(), detail });
        if !is_name(&self.name) {
            return refuse(format!("the name is not allowed: {NAME_RULE}"));
        }
        let mut names = BTreeSet::new();
        for Column { name, .. } in std::iter::once(&self.key).chain(&self.columns) {
            if !is_name(name) {
                return refuse(format!("the column name \"{name}\" is not allowed: {NAME_RULE}"));
            }
            if SYSTEM_COLUMNS.contains(&&**name) {
                return refuse(format!(
                    "the column name \"{name}\" is taken: every table of PostgreSQL has one"
                ));
            }
            if !names.insert(name) {
                return refuse(format!("there are two columns named \"{name}\""));
            }
        }
        if self.key.nullable
            || !matches!(self.key.ty, ColumnType::Text | ColumnType::BigInt | ColumnType::Uuid)
        {
            return refuse("the key must be text, bigint or uuid, and not nullable".to_owned());
        }
        if self.key.added || !self.key.values.is_empty() {
            return refuse("the key can't be an added column, or have a list of texts".to_owned());
        }
        for column in &self.columns {
            if column.added && !column.nullable {
                return refuse(format!("the column \"{}\" is added, and so must be nullable", column.name));
            }
            if !column.values.is_empty() && column.ty != ColumnType::Text {
                return refuse(format!(
                    "the column \"{}\" has a list of texts, and is not text",
                    column.name
                ));
            }
        }
        if self.checks.iter().any(|check| check.trim().is_empty()) {
            return refuse("a check is empty".to_owned());
        }
        let mut indexes = BTreeSet::new();
        if let Some(twice) = self.indexes.iter().find(|index| !indexes.insert(&index.columns)) {
            return refuse(format!("there are two indexes over ({})", twice.columns.join(", ")));
        }
        match self.indexes.iter().flat_map(|index| &index.columns).find(|name| !names.contains(name)) {
            Some(name) => refuse(format!("an index names \"{name}\", but there is no such column")),
            None if self.indexes.iter().any(|index| index.columns.is_empty()) => {
                refuse("an index has no columns".to_owned())
            }
            None => Ok(()),
        }
    }

    /// Checks the foreign keys. `earlier` are the tables that it may refer to.
    pub(crate) fn check_references(&self, earlier: &[&Self]) -> Result<(), InvalidTable> {
        let refuse = |detail: String| Err(InvalidTable { table: self.name.to_string(), detail });
        let mut known = BTreeSet::new();
        for Reference { column, table, key } in &self.references {
            let mut columns = std::iter::once(&self.key).chain(&self.columns);
            let Some(ty) = columns.find(|it| it.name == *column).map(|it| it.ty) else {
                return refuse(format!("a reference names \"{column}\", but there is no such column"));
            };
            let Some(referred) = earlier.iter().find(|earlier| earlier.name == *table) else {
                return refuse(format!(
                    "the column \"{column}\" refers to \"{table}\", which is not the table of an earlier stage of \
                     the same composite"
                ));
            };
            if ty != referred.key.ty {
                return refuse(format!(
                    "the column \"{column}\" is {ty:?} and refers to the key of \"{table}\", which is {:?}",
                    referred.key.ty
                ));
            }
            if let Some(key) = key.as_ref().filter(|key| **key != referred.key.name) {
                return refuse(format!(
                    "the column \"{column}\" refers to \"{table}({key})\", and the key of that table is \"{}\"",
                    referred.key.name
                ));
            }
            if !known.insert(column) {
                return refuse(format!("the column \"{column}\" has two references"));
            }
        }
        Ok(())
    }

    /// Checks that a text can be the key of a row. Each key has one text only: if both `7` and `07` were
    /// accepted, they would be two rows for the fold and one row in the database.
    pub(crate) fn check_key(&self, key: &str) -> Result<(), RowError> {
        let fits = match self.key.ty {
            ColumnType::BigInt => key.parse().is_ok_and(|number: i64| number.to_string() == key),
            ColumnType::Uuid => key.parse().is_ok_and(|id: uuid::Uuid| id.to_string() == key),
            _ => true,
        };
        if fits {
            Ok(())
        } else {
            Err(RowError::new(format!("{key:?} is no {:?} key", self.key.ty)).of_table(&self.name))
        }
    }
}
