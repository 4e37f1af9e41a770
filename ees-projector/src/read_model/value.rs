//! The values of a row.

/// The value of one column of a row.
///
/// Values can be compared, so that only changed rows are written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL, in a nullable column.
    Null,
    /// For a `Boolean` column.
    Bool(bool),
    /// For a `BigInt` column.
    Int(i64),
    /// For a `Double` column. Always finite.
    Float(f64),
    /// For a `Text`, `Timestamp` or `Uuid` column.
    Text(String),
    /// For a `Json` column, as JSON text.
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

/// A row without its key: one value for each of the table's columns, in their order.
pub type Row = Vec<Value>;

/// A change of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The key, as text.
    pub key: String,
    /// The row as it was loaded; `None` if there was none. Somebody else may have changed or deleted it since.
    pub before: Option<Row>,
    /// The new row; `None` deletes it.
    pub row: Option<Row>,
}
