//! A table: its name, what names a row, and what a row holds.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::value::RowError;
use crate::projection::is_name;

/// The table of a fold, as [`Fold::table`](crate::Fold::table) gives it.
///
/// A table belongs to one fold: it is made, wiped and dropped with it. When it changes in any way, raise the fold's
/// version, so that it is built anew; a table of an old name stays, and is yours to drop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table {
    /// Its name, by the rules of [`Projection::name`](crate::Projection::name).
    pub name: Cow<'static, str>,
    /// What names a row.
    pub key: Column,
    /// What a row holds, without the key.
    pub columns: Vec<Column>,
    /// What rows are found by, other than the key.
    pub indexes: Vec<Index>,
    document: bool,
}

/// A column of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// Its name, by the rules of a table's name; that of the field as serde writes it.
    pub name: Cow<'static, str>,
    /// What it holds.
    pub ty: ColumnType,
    /// Whether it may hold nothing: the field is an `Option`.
    pub nullable: bool,
}

/// What a [`Column`] holds. Every database has these, each in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnType {
    /// Text; also a unit variant of an enum, by its name.
    Text,
    /// A whole number, as an `i64` can hold it.
    BigInt,
    /// An `f64` that is a number: neither NaN nor infinite.
    Double,
    /// True or false.
    Boolean,
    /// A moment that serde writes as RFC 3339 text, such as [`ees_store::Timestamp`]. Text on SQLite;
    /// `timestamptz` on PostgreSQL, which has microseconds and no finer.
    Timestamp,
    /// A UUID that serde writes as text, in lower case and with hyphens. Text on SQLite.
    Uuid,
    /// Anything else that serde can write, as JSON text.
    Json,
}

/// An index of a [`Table`]. Not unique: rows of one batch are written one after the other, and may pass through states
/// that a unique index would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Index {
    /// The columns, the most significant first.
    pub columns: Vec<Cow<'static, str>>,
}

/// A table that no database could have. The message says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table \"{table}\": {detail}")]
pub struct InvalidTable {
    table: String,
    detail: String,
}

impl Table {
    /// A table without columns yet.
    pub fn new(name: impl Into<Cow<'static, str>>, key: Column) -> Self {
        Self { name: name.into(), key, columns: Vec::new(), indexes: Vec::new(), document: false }
    }

    /// A table that keeps each state whole: `key` (text), `state` (JSON). For any state that serde can write.
    pub fn document(name: impl Into<Cow<'static, str>>) -> Self {
        let table = Self::new(name, Column::new("key", ColumnType::Text));
        Self { document: true, ..table.with_column(Column::new("state", ColumnType::Json)) }
    }

    /// The table with one more column.
    #[must_use]
    pub fn with_column(mut self, column: Column) -> Self {
        self.columns.push(column);
        self
    }

    /// The table with one more index, over columns that it has.
    #[must_use]
    pub fn with_index<C: Into<Cow<'static, str>>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.indexes.push(Index { columns: columns.into_iter().map(Into::into).collect() });
        self
    }

    /// Whether its one column is the whole state.
    pub fn is_document(&self) -> bool {
        self.document
    }

    /// Whether every database could have it.
    ///
    /// # Errors
    /// [`InvalidTable`]: a name breaks a rule or is there twice, an index is over a column that is not there, or the
    /// key is of a type that can't name rows.
    pub fn check(&self) -> Result<(), InvalidTable> {
        let refuse = |detail: String| Err(InvalidTable { table: self.name.to_string(), detail });
        if !is_name(&self.name) {
            return refuse(
                "the name is not lower-case letters, digits and _, or too long, or reserved".to_owned(),
            );
        }
        let mut names = BTreeSet::new();
        for Column { name, .. } in std::iter::once(&self.key).chain(&self.columns) {
            if !is_name(name) {
                return refuse(format!("the column name \"{name}\" is not lower-case letters, digits and _"));
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
        match self.indexes.iter().flat_map(|index| &index.columns).find(|name| !names.contains(name)) {
            Some(name) => refuse(format!("an index is over \"{name}\", which is no column")),
            None if self.indexes.iter().any(|index| index.columns.is_empty()) => {
                refuse("an index is over no column".to_owned())
            }
            None => Ok(()),
        }
    }

    /// Whether this text can be a row's key. One row has one text: were `7` and `07` both taken, they would be two rows
    /// to the fold and one to the database.
    pub(crate) fn check_key(&self, key: &str) -> Result<(), RowError> {
        let fits = match self.key.ty {
            ColumnType::BigInt => key.parse().is_ok_and(|number: i64| number.to_string() == key),
            ColumnType::Uuid => key.parse().is_ok_and(|id: uuid::Uuid| id.to_string() == key),
            _ => true,
        };
        if fits {
            Ok(())
        } else {
            Err(RowError::new(format!("{key:?} is no {:?} key", self.key.ty)).of(self))
        }
    }
}

impl Column {
    /// A column that always holds something.
    pub fn new(name: impl Into<Cow<'static, str>>, ty: ColumnType) -> Self {
        Self { name: name.into(), ty, nullable: false }
    }

    /// The column that may hold nothing.
    #[must_use]
    pub fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }
}
