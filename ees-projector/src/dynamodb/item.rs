//! The items of the table, and their attributes.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::error::Error;
use crate::read_model::{Column, ColumnType, Row, RowError, Table, Value};

/// The attributes of an item, or of its key.
pub type Item = HashMap<String, AttributeValue>;

/// The partition key. It names a table of a read model, as
/// [`Database::partition`](super::Database::partition) returns it.
pub const PARTITION: &str = "ees_partition";
/// The sort key: the key of a row. No column can have the name of either key.
pub const KEY: &str = "ees_key";

/// Attributes of a projection's row that conditions check: the checkpoint that it reads next, and its epoch.
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const EPOCH: &str = "epoch";
/// Changes with every write of an effect. The condition of the next write compares it.
pub(super) const WRITING: &str = "writing";

pub(super) fn key(partition: &str, key: &str) -> Item {
    Item::from([(PARTITION.to_owned(), text(partition)), (KEY.to_owned(), text(key))])
}

pub(super) fn item_of<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(super) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn number(number: impl ToString + Copy) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(super) fn to_text<'a>(item: &'a Item, name: &str) -> Result<&'a str, Error> {
    let found = item.get(name).and_then(|value| value.as_s().ok());
    found.map(String::as_str).ok_or_else(|| Error::damaged(name))
}

pub(super) fn to_number<N: std::str::FromStr>(item: &Item, name: &str) -> Result<N, Error> {
    let found = item.get(name).and_then(|value| value.as_n().ok());
    found.and_then(|number| number.parse().ok()).ok_or_else(|| Error::damaged(name))
}

/// As [`to_number`], for an attribute that may be absent.
pub(super) fn to_number_if<N: std::str::FromStr>(item: &Item, name: &str) -> Result<Option<N>, Error> {
    item.contains_key(name).then(|| to_number(item, name)).transpose()
}

/// A row without its key. NULL values are absent.
pub(super) fn of_row(table: &Table, row: Row) -> Item {
    let mut item = Item::with_capacity(row.len() + 2);
    for (column, value) in table.columns.iter().zip(row) {
        let value = match value {
            Value::Null => continue,
            Value::Bool(truth) => AttributeValue::Bool(truth),
            Value::Int(whole) => number(whole),
            Value::Float(float) => AttributeValue::N(format!("{float:e}")),
            Value::Text(value) | Value::Json(value) => text(value),
        };
        item.insert(column.name.to_string(), value);
    }
    item
}

/// The most bytes of an item.
const ITEM_BYTES_MAX: usize = 400 * 1024;

/// Refuses a row that DynamoDB can't keep. Its numbers have a smaller range than `f64`.
pub(super) fn check_row(table: &Table, key: &str, row: &[Value]) -> Result<(), RowError> {
    let mut bytes = PARTITION.len() + KEY.len() + table.name.len() + 33 + key.len();
    for (column, value) in table.columns.iter().zip(row) {
        if let Value::Float(float) = value
            && *float != 0.0
            && !(1e-130..1e126).contains(&float.abs())
        {
            let outside = format_args!("{float:e} is outside the range of numbers in DynamoDB");
            return Err(RowError::new(outside).in_column(&column.name).of_table(&table.name));
        }
        bytes += match value {
            Value::Null => 0,
            Value::Bool(_) => column.name.len() + 1,
            Value::Int(_) | Value::Float(_) => column.name.len() + 22,
            Value::Text(text) | Value::Json(text) => column.name.len() + text.len(),
        };
    }
    if bytes > ITEM_BYTES_MAX {
        let longest = table.columns.iter().zip(row).max_by_key(|(_, value)| match value {
            Value::Text(text) | Value::Json(text) => text.len(),
            _ => 0,
        });
        let error = RowError::new(format_args!(
            "the row has more than {ITEM_BYTES_MAX} bytes, the most of an item in DynamoDB, and most of them here"
        ));
        let error = longest.map_or(error.clone(), |(column, _)| error.in_column(&column.name));
        return Err(error.of_table(&table.name));
    }
    Ok(())
}

pub(super) fn to_row(table: &Table, item: &Item) -> Result<Row, Error> {
    table.columns.iter().map(|column| to_value(column, item)).collect()
}

fn to_value(column: &Column, item: &Item) -> Result<Value, Error> {
    let name = &*column.name;
    let Some(value) = item.get(name) else {
        return if column.nullable { Ok(Value::Null) } else { Err(Error::damaged(name)) };
    };
    Ok(match column.ty {
        ColumnType::Boolean => Value::Bool(*value.as_bool().map_err(|_| Error::damaged(name))?),
        ColumnType::BigInt => Value::Int(to_number(item, name)?),
        ColumnType::Double => Value::Float(to_number(item, name)?),
        ty if ty.is_json() => Value::Json(to_text(item, name)?.to_owned()),
        _ => Value::Text(to_text(item, name)?.to_owned()),
    })
}

/// The size that DynamoDB counts for an item and a transaction, rounded up a little.
pub(super) fn size_bytes(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len() + 1,
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::L(list) => 3 + list.iter().map(|value| 1 + value_bytes(value)).sum::<usize>(),
        AttributeValue::M(map) => 3 + map.len() + size_bytes(map),
        AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => {
            texts.iter().map(|text| text.len() + 1).sum()
        }
        AttributeValue::Bs(blobs) => blobs.iter().map(|bytes| bytes.as_ref().len()).sum(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_as_it_was() {
        let table = Table::new("all", Column::new("id", ColumnType::Text))
            .with_column(Column::new("whole", ColumnType::BigInt))
            .with_column(Column::new("part", ColumnType::Double))
            .with_column(Column::new("yes", ColumnType::Boolean))
            .with_column(Column::new("none", ColumnType::Text).nullable())
            .with_column(Column::new("json", ColumnType::Json));
        for part in [0.0, 1.5, -0.1, f64::MIN_POSITIVE * 1e200, 1.797e125] {
            let row = vec![
                Value::Int(i64::MIN),
                Value::Float(part),
                Value::Bool(true),
                Value::Null,
                Value::Json("[1.0]".to_owned()),
            ];
            let item = of_row(&table, row.clone());
            assert_eq!(item.len(), 4);
            assert_eq!(to_row(&table, &item).unwrap(), row);
        }
        let too_large = [Value::Int(0), Value::Float(1e200), Value::Bool(true), Value::Null, Value::Null];
        assert!(check_row(&table, "a", &too_large).unwrap_err().to_string().contains("column all.part"));
        let long = Value::Json("1".repeat(ITEM_BYTES_MAX));
        let too_long = [Value::Int(0), Value::Float(1.0), Value::Bool(true), Value::Null, long];
        assert!(check_row(&table, "a", &too_long).unwrap_err().to_string().contains("column all.json"));
    }
}
