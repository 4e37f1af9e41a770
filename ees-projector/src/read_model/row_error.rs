//! Why a state and a row do not fit each other.

use std::fmt::{self, Display};

/// A state that does not fit its table, a row that does not fit the state, or a row that a database can't keep.
/// It names the table and the column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    table: String,
    column: Option<String>,
    detail: String,
}

impl RowError {
    /// What does not fit, and why.
    pub fn new(detail: impl Display) -> Self {
        Self { table: String::new(), column: None, detail: detail.to_string() }
    }

    /// Names the column.
    #[must_use]
    pub fn in_column(self, column: &str) -> Self {
        Self { column: Some(column.to_owned()), ..self }
    }

    /// Names the table.
    #[must_use]
    pub fn of_table(self, table: &str) -> Self {
        Self { table: table.to_owned(), ..self }
    }

    /// Names a field of what is in the column.
    pub(super) fn in_field(self, name: &str) -> Self {
        Self { detail: format!("{name}: {}", self.detail), ..self }
    }

    /// `Some(None)`, or `Some` of another value for which the database has nothing but NULL.
    pub(super) fn some_of_nothing() -> Self {
        Self::new(
            "`Some` of a value that is null would come back as `None`: write `None`, or an enum of your own",
        )
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
