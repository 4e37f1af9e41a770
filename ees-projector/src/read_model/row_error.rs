//! Why a state and a row do not fit each other.

use std::fmt::{self, Display};

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

    pub(super) fn in_column(self, column: &str) -> Self {
        Self { column: Some(column.to_owned()), ..self }
    }

    pub(super) fn of_table(self, table: &str) -> Self {
        Self { table: table.to_owned(), ..self }
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
