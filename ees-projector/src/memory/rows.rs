//! The tables of folds: JSON text by key.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use serde_json::value::RawValue;

use super::Tx;
use crate::database::FoldRows;
use crate::error::BoxError;
use crate::read_model::{Change, Column, ColumnType, Row, Table, Value, row_json};
use crate::read_model_id::ReadModelId;

impl FoldRows for Tx {
    async fn create_table(&mut self, table: &Table) -> Result<(), BoxError> {
        self.table(&table.name);
        Ok(())
    }

    async fn drop_table(&mut self, table: &Table) -> Result<(), BoxError> {
        self.drop_table(&table.name);
        Ok(())
    }

    async fn load_rows(&mut self, table: &Table, keys: &[&str]) -> Result<Vec<Option<Row>>, BoxError> {
        self.call().await?;
        let rows = self.rows(&table.name);
        keys.iter().map(|key| rows.get(*key).map(|text| read(table, text)).transpose()).collect()
    }

    async fn rows_after(
        &mut self,
        _: &ReadModelId,
        table: &Table,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, BoxError> {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.call().await?;
        let rows = self.rows(&table.name);
        let rows = rows.range::<str, _>((begin, Bound::Unbounded)).take(limit);
        rows.map(|(key, text)| Ok((key.clone(), read(table, text)?))).collect()
    }

    async fn write_rows(&mut self, table: &Table, rows: &[Change]) -> Result<(), BoxError> {
        self.call().await?;
        let kept = self.table(&table.name);
        for Change { key, row, .. } in rows {
            match row {
                Some(row) => kept.insert(key.clone(), row_json(table, row)?),
                None => kept.remove(key),
            };
        }
        Ok(())
    }
}

fn read(table: &Table, text: &str) -> Result<Row, BoxError> {
    if table.is_document() {
        return Ok(vec![Value::Json(text.to_owned())]);
    }
    let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text)?;
    table
        .columns
        .iter()
        .map(|column| value(column, fields.get(&column.name).map_or("null", |raw| raw.get())))
        .collect()
}

fn value(column: &Column, text: &str) -> Result<Value, BoxError> {
    Ok(match column.ty {
        _ if column.nullable && text == "null" => Value::Null,
        ColumnType::Boolean => Value::Bool(serde_json::from_str(text)?),
        ColumnType::BigInt => Value::Int(serde_json::from_str(text)?),
        ColumnType::Double => Value::Float(serde_json::from_str(text)?),
        ty if ty.is_json() => Value::Json(text.to_owned()),
        _ => Value::Text(serde_json::from_str(text)?),
    })
}
