//! What a column of a row holds.

use std::fmt::{self, Display};

use super::table::{Column, Table};

/// What one column of a row holds.
///
/// Comparable, so that only rows that changed are written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, in a column that is nullable.
    Null,
    /// Of a `Boolean` column.
    Bool(bool),
    /// Of a `BigInt` column.
    Int(i64),
    /// Of a `Double` column; a number.
    Float(f64),
    /// Of a `Text`, `Timestamp` or `Uuid` column.
    Text(String),
    /// Of a `Json` column, as JSON text.
    Json(String),
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row without its key: a value for each of the table's columns, in their order.
pub type Row = Vec<Value>;

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The text of its key.
    pub key: String,
    /// Whether it was there when it was loaded.
    pub existed: bool,
    /// What it is now; `None` removes it.
    pub row: Option<Row>,
}

/// A state that does not fit its table, or a row that does not fit the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowError {
    table: String,
    column: Option<String>,
    detail: String,
}

impl RowError {
    pub(super) fn new(detail: impl Display) -> Self {
        Self { table: String::new(), column: None, detail: detail.to_string() }
    }

    pub(super) fn in_column(self, column: &Column) -> Self {
        Self { column: Some(column.name.to_string()), ..self }
    }

    pub(super) fn of(self, table: &Table) -> Self {
        Self { table: table.name.to_string(), ..self }
    }
}

impl Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, column, detail } = self;
        match column {
            Some(column) => write!(f, "column {table}.{column}: {detail}"),
            None => write!(f, "table {table}: {detail}"),
        }
    }
}

impl std::error::Error for RowError {}

impl serde::ser::Error for RowError {
    fn custom<T: Display>(detail: T) -> Self {
        Self::new(detail)
    }
}

impl serde::de::Error for RowError {
    fn custom<T: Display>(detail: T) -> Self {
        Self::new(detail)
    }
}
