//! Arrays: JSON arrays to the framework, and arrays of scalars to PostgreSQL.

use serde::Serialize;
use serde_json::Value as Json;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::error::BoxError;
use crate::read_model::{Element, RowError, Value};

/// Refuses what an array of texts can't hold.
pub(super) fn check(json: &str) -> Result<(), RowError> {
    // As JSON writes it, unless it is a backslash and the same letters.
    if !json.contains("\\u0000") {
        return Ok(());
    }
    let elements: Vec<Json> = serde_json::from_str(json).map_err(RowError::new)?;
    match elements.iter().position(|element| element.as_str().is_some_and(|text| text.contains('\0'))) {
        Some(at) => Err(RowError::new(format_args!(
            "the element at {at} has the character NUL, which PostgreSQL can't keep in a text"
        ))),
        None => Ok(()),
    }
}

/// The literal of an array: its server type reads it. `None` for NULL.
pub(super) fn literal_of(value: &Value) -> Result<Option<String>, BoxError> {
    let Value::Json(json) = value else { return Ok(None) };
    literal(json).map(Some)
}

/// The literal of an array in JSON. Numbers keep their digits.
pub(super) fn literal(json: &str) -> Result<String, BoxError> {
    let elements: Vec<&serde_json::value::RawValue> = serde_json::from_str(json)?;
    let mut literal = String::with_capacity(json.len() + 2);
    for element in elements {
        literal.push(if literal.is_empty() { '{' } else { ',' });
        let element = element.get();
        if !element.starts_with('"') {
            // A number, a truth, or NULL.
            literal.push_str(element);
            continue;
        }
        literal.push('"');
        let text: String = serde_json::from_str(element)?;
        for letter in text.chars() {
            if matches!(letter, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(letter);
        }
        literal.push('"');
    }
    Ok(if literal.is_empty() { "{}".to_owned() } else { literal + "}" })
}

/// Reads an array as JSON, in the text in which it was written.
pub(super) fn read(element: Element, row: &PgRow, n: usize) -> Result<Option<Value>, BoxError> {
    match element {
        Element::BigInt => json(row.try_get::<Option<Vec<Option<i64>>>, _>(n)?),
        Element::Double => json(row.try_get::<Option<Vec<Option<f64>>>, _>(n)?),
        Element::Boolean => json(row.try_get::<Option<Vec<Option<bool>>>, _>(n)?),
        Element::Text | Element::Timestamp | Element::Uuid | Element::Decimal => {
            json(row.try_get::<Option<Vec<Option<String>>>, _>(n)?)
        }
    }
}

fn json<T: Serialize>(elements: Option<Vec<T>>) -> Result<Option<Value>, BoxError> {
    Ok(elements.map(|elements| serde_json::to_string(&elements).map(Value::Json)).transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_quoted() {
        let written = literal(r#"["a\"b","c\\d",null,"null","","{,}","ü"]"#).unwrap();
        assert_eq!(written, r#"{"a\"b","c\\d",null,"null","","{,}","ü"}"#);
        assert_eq!(literal("[1,-9223372036854775808,0.5]").unwrap(), "{1,-9223372036854775808,0.5}");
        assert_eq!(literal("[]").unwrap(), "{}");
    }

    #[test]
    fn a_nul_in_an_array_is_found() {
        assert!(check(r#"["a","\u0000"]"#).is_err());
        assert!(check(r#"["a","\\u0000"]"#).is_ok());
    }
}
