//! The tables of folds. A row is kept as its document, or as an array of its columns.

use ees_projector::database::FoldRows;
use ees_projector::read_model::{Change, Column, ColumnType, Row, Table, Value};
use ees_projector::{BoxError, ReadModelId};
use ees_store::Json;
use serde_json::value::RawValue;

use super::{Tx, key};

impl FoldRows for Tx {
    /// A table is the keys under its name: there is nothing to make.
    async fn create_table(&mut self, _: &Table) -> Result<(), BoxError> {
        Ok(())
    }

    async fn drop_table(&mut self, table: &Table) -> Result<(), BoxError> {
        for (key, _) in self.list::<Json>(&["row", &table.name])? {
            self.remove(key);
        }
        Ok(())
    }

    async fn load_rows(&mut self, table: &Table, keys: &[&str]) -> Result<Vec<Option<Row>>, BoxError> {
        let load = |key_text: &&str| {
            let json: Option<Json> = self.get(&key(["row", &table.name, key_text]))?;
            json.map(|json| read(table, &json)).transpose()
        };
        keys.iter().map(load).collect()
    }

    async fn rows_after(
        &mut self,
        _: &ReadModelId,
        table: &Table,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, BoxError> {
        let all = self.list::<Json>(&["row", &table.name])?;
        let rows = all.into_iter().map(|(mut key, json)| (key.pop().unwrap_or_default(), json));
        let later = rows.filter(|(key, _)| after.is_none_or(|after| key.as_str() > after)).take(limit);
        later.map(|(key, json)| Ok((key, read(table, &json)?))).collect()
    }

    async fn write_rows(&mut self, table: &Table, rows: &[Change]) -> Result<(), BoxError> {
        for change in rows {
            let key = key(["row", &table.name, &change.key]);
            match &change.row {
                Some(row) => self.put(key, &write(table, row)?)?,
                None => self.remove(key),
            }
        }
        Ok(())
    }
}

fn write(table: &Table, row: &[Value]) -> Result<Json, BoxError> {
    let texts = row.iter().map(|value| {
        Ok(match value {
            Value::Null => "null".to_owned(),
            Value::Bool(truth) => truth.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Text(text) => serde_json::to_string(text)?,
            Value::Json(json) => json.clone(),
        })
    });
    let texts = texts.collect::<Result<Vec<_>, BoxError>>()?.join(",");
    Ok(Json::parse(&if table.is_document() { texts } else { format!("[{texts}]") })?)
}

fn read(table: &Table, json: &Json) -> Result<Row, BoxError> {
    if table.is_document() {
        return Ok(vec![Value::Json(json.to_string())]);
    }
    let texts: Vec<&RawValue> = json.read()?;
    table.columns.iter().zip(texts).map(|(column, text)| value(column, text.get())).collect()
}

fn value(column: &Column, text: &str) -> Result<Value, BoxError> {
    Ok(match column.ty {
        _ if column.nullable && text == "null" => Value::Null,
        ColumnType::Boolean => Value::Bool(text.parse()?),
        ColumnType::BigInt => Value::Int(text.parse()?),
        ColumnType::Double => Value::Float(text.parse()?),
        ty if ty.is_json() => Value::Json(text.to_owned()),
        // Text, and what is kept as text.
        _ => Value::Text(serde_json::from_str(text)?),
    })
}
