//! A row as JSON text.

use std::borrow::Cow;

use super::table::Table;
use super::value::Value;
use crate::error::BoxError;

/// Returns a row as JSON: its document, or an object of its columns.
pub(crate) fn row_json(table: &Table, row: &[Value]) -> Result<String, BoxError> {
    if let ([Value::Json(state)], true) = (row, table.is_document()) {
        return Ok(state.clone());
    }
    let mut object = String::from("{");
    for (column, value) in table.columns.iter().zip(row) {
        if object.len() > 1 {
            object.push(',');
        }
        object.push_str(&serde_json::to_string(&column.name)?);
        object.push(':');
        object.push_str(&match value {
            Value::Null => Cow::Borrowed("null"),
            Value::Bool(value) => serde_json::to_string(value)?.into(),
            Value::Int(number) => serde_json::to_string(number)?.into(),
            Value::Float(number) => serde_json::to_string(number)?.into(),
            Value::Text(text) => serde_json::to_string(text)?.into(),
            Value::Json(text) => text.into(),
        });
    }
    object.push('}');
    Ok(object)
}
