//! The tables of folds: a key column, and a column for each column of the table.
//!
//! One statement loads the rows that a batch touches, one writes the changed rows, and one deletes.

use std::collections::HashMap;
use std::fmt::Write;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _};

use super::sql::quoted;
use super::{Tx, bulk};
use crate::database::FoldRows;
use crate::error::BoxError;
use crate::read_model::{Change, Column, ColumnType, Row, Table, Value};

/// Percent of a page that is filled at first. It leaves room to update rows in place, which saves writes to the
/// indexes.
pub(super) const FILL_FACTOR: u8 = 70;

impl FoldRows for Tx {
    async fn create_table(&mut self, table: &Table) -> Result<(), BoxError> {
        let sql = create_sql(|name| self.qualified(name), table);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.inner()).await?;
        Ok(())
    }

    async fn drop_table(&mut self, table: &Table) -> Result<(), BoxError> {
        let sql = format!("DROP TABLE IF EXISTS {}", self.qualified(&table.name));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.inner()).await?;
        Ok(())
    }

    async fn load_rows(&mut self, table: &Table, keys: &[&str]) -> Result<Vec<Option<Row>>, BoxError> {
        let mut found = vec![None; keys.len()];
        if keys.is_empty() {
            return Ok(found);
        }
        let sql = select_sql(&self.qualified(&table.name), table);
        let query = sqlx::query(AssertSqlSafe(sql)).bind(keys);
        let rows = query.fetch_all(self.inner()).await?;
        if rows.is_empty() {
            return Ok(found);
        }
        let places: HashMap<&str, usize> =
            keys.iter().enumerate().map(|(place, key)| (*key, place)).collect();
        for row in &rows {
            if let Some(place) = places.get(row.try_get::<&str, _>(0)?) {
                found[*place] = Some(read(table, row)?);
            }
        }
        Ok(found)
    }

    async fn write_rows(&mut self, table: &Table, rows: &[Change]) -> Result<(), BoxError> {
        let (mut gone, mut new, mut known) = (Vec::new(), Vec::new(), Vec::new());
        for Change { key, before, row } in rows {
            match row {
                None => gone.push(key.as_str()),
                Some(row) if before.is_some() => known.push((key.as_str(), row)),
                Some(row) => new.push((key.as_str(), row)),
            }
        }
        let name = self.qualified(&table.name);
        if !gone.is_empty() {
            let sql =
                format!("DELETE FROM {name} WHERE {} = ANY ({})", quoted(&table.key.name), keys_sql(table));
            sqlx::query(AssertSqlSafe(sql)).bind(gone).execute(self.inner()).await?;
        }
        if !known.is_empty() && !table.columns.is_empty() {
            let updated = self.write_all(update_sql(&name, table), table, &known).await?;
            if updated < known.len() as u64 {
                // Somebody else has deleted some of the rows.
                self.write_all(upsert_sql(&name, table), table, &known).await?;
            }
        }
        match new.len() {
            0 => Ok(()),
            bulk::ROWS_MIN.. => self.copy_rows(table, &new).await,
            _ => self.write_all(upsert_sql(&name, table), table, &new).await.map(drop),
        }
    }
}

impl Tx {
    /// Writes all rows in one statement, with an array for each column.
    async fn write_all(
        &mut self,
        sql: String,
        table: &Table,
        rows: &[(&str, &Row)],
    ) -> Result<u64, BoxError> {
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = query.bind(rows.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        let query = table.columns.iter().enumerate().fold(query, |query, (n, column)| {
            bind_column(query, column, rows.iter().map(|(_, row)| &row[n]))
        });
        Ok(query.execute(self.inner()).await?.rows_affected())
    }
}

fn create_sql(qualified: impl Fn(&str) -> String, table: &Table) -> String {
    let (name, key) = (qualified(&table.name), quoted(&table.key.name));
    let mut sql =
        format!("CREATE TABLE {name} ({key} {}{} PRIMARY KEY", type_sql(table.key.ty), collation(&table.key));
    for column in &table.columns {
        let null = if column.nullable { "" } else { " NOT NULL" };
        // Writing to a `String` can't fail. The same holds below.
        let _ = write!(sql, ", {} {}{}{null}", quoted(&column.name), type_sql(column.ty), collation(column));
    }
    for reference in &table.references {
        // The key of the other table is its primary key.
        let (column, other) = (quoted(&reference.column), qualified(&reference.table));
        let _ = write!(sql, ", FOREIGN KEY ({column}) REFERENCES {other}");
    }
    let _ = write!(sql, ") WITH (fillfactor = {FILL_FACTOR});");
    for index in &table.indexes {
        let columns: Vec<String> = index.columns.iter().map(|column| quoted(column)).collect();
        let _ = write!(sql, "CREATE INDEX ON {name} ({});", columns.join(", "));
    }
    sql
}

fn collation(column: &Column) -> &'static str {
    if column.sorted_by_bytes && column.ty == ColumnType::Text { " COLLATE \"C\"" } else { "" }
}

fn type_sql(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Text => "text",
        ColumnType::BigInt => "bigint",
        ColumnType::Double => "double precision",
        ColumnType::Boolean => "boolean",
        ColumnType::Timestamp => "timestamptz",
        ColumnType::Uuid => "uuid",
        // `json` keeps the text unchanged; `jsonb` does not.
        ColumnType::Json => "json",
    }
}

/// The type in which a value is sent. The server casts what serde writes as text.
fn wire_type(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::BigInt => "bigint",
        ColumnType::Double => "double precision",
        ColumnType::Boolean => "boolean",
        ColumnType::Text | ColumnType::Timestamp | ColumnType::Uuid | ColumnType::Json => "text",
    }
}

fn keys_sql(table: &Table) -> String {
    format!("$1::text[]::{}[]", type_sql(table.key.ty))
}

fn select_sql(name: &str, table: &Table) -> String {
    let key = quoted(&table.key.name);
    let mut columns = format!("t.{key}::text");
    for column in &table.columns {
        let name = format!("t.{}", quoted(&column.name));
        let _ = match column.ty {
            ColumnType::Timestamp => {
                write!(columns, ", to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            }
            ColumnType::Uuid | ColumnType::Json => write!(columns, ", {name}::text"),
            _ => write!(columns, ", {name}"),
        };
    }
    format!("SELECT {columns} FROM {name} t WHERE t.{key} = ANY ({})", keys_sql(table))
}

fn upsert_sql(name: &str, table: &Table) -> String {
    let key = quoted(&table.key.name);
    let (mut columns, mut arrays) = (key.clone(), "$1::text[]".to_owned());
    let (mut aliases, mut values) = ("k".to_owned(), format!("r.k::{}", type_sql(table.key.ty)));
    let mut sets = Vec::new();
    for (n, column) in table.columns.iter().enumerate() {
        let quoted = quoted(&column.name);
        let _ = write!(columns, ", {quoted}");
        let _ = write!(arrays, ", ${}::{}[]", n + 2, wire_type(column.ty));
        let _ = write!(aliases, ", c{n}");
        let _ = write!(values, ", r.c{n}::{}", type_sql(column.ty));
        sets.push(format!("{quoted} = excluded.{quoted}"));
    }
    let change =
        if sets.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", sets.join(", ")) };
    format!(
        "INSERT INTO {name} AS t ({columns}) SELECT {values} FROM unnest({arrays}) AS r ({aliases})
         ON CONFLICT ({key}) DO {change}"
    )
}

/// Costs half as much as an upsert, which tries to insert first.
fn update_sql(name: &str, table: &Table) -> String {
    let (mut arrays, mut aliases, mut sets) = ("$1::text[]".to_owned(), "k".to_owned(), Vec::new());
    for (n, column) in table.columns.iter().enumerate() {
        let _ = write!(arrays, ", ${}::{}[]", n + 2, wire_type(column.ty));
        let _ = write!(aliases, ", c{n}");
        sets.push(format!("{} = r.c{n}::{}", quoted(&column.name), type_sql(column.ty)));
    }
    format!(
        "UPDATE {name} AS t SET {} FROM unnest({arrays}) AS r ({aliases}) WHERE t.{} = r.k::{}",
        sets.join(", "),
        quoted(&table.key.name),
        type_sql(table.key.ty)
    )
}

type Bound<'q> = Query<'q, Postgres, PgArguments>;

/// Binds one column of all rows as an array.
fn bind_column<'q>(query: Bound<'q>, column: &Column, values: impl Iterator<Item = &'q Value>) -> Bound<'q> {
    match wire_type(column.ty) {
        "bigint" => query.bind(values.map(whole).collect::<Vec<Option<i64>>>()),
        "double precision" => query.bind(values.map(number).collect::<Vec<Option<f64>>>()),
        "boolean" => query.bind(values.map(truth).collect::<Vec<Option<bool>>>()),
        _ => query.bind(values.map(text).collect::<Vec<Option<&'q str>>>()),
    }
}

fn whole(value: &Value) -> Option<i64> {
    if let Value::Int(number) = value { Some(*number) } else { None }
}

fn number(value: &Value) -> Option<f64> {
    if let Value::Float(number) = value { Some(*number) } else { None }
}

fn truth(value: &Value) -> Option<bool> {
    if let Value::Bool(truth) = value { Some(*truth) } else { None }
}

fn text(value: &Value) -> Option<&str> {
    if let Value::Text(text) | Value::Json(text) = value { Some(text) } else { None }
}

fn read(table: &Table, row: &PgRow) -> sqlx::Result<Row> {
    let mut values = Vec::with_capacity(table.columns.len());
    for (n, column) in table.columns.iter().enumerate() {
        let value = match column.ty {
            ColumnType::BigInt => row.try_get::<Option<i64>, _>(n + 1)?.map(Value::Int),
            ColumnType::Double => row.try_get::<Option<f64>, _>(n + 1)?.map(Value::Float),
            ColumnType::Boolean => row.try_get::<Option<bool>, _>(n + 1)?.map(Value::Bool),
            ColumnType::Json => row.try_get::<Option<String>, _>(n + 1)?.map(Value::Json),
            ColumnType::Text | ColumnType::Timestamp | ColumnType::Uuid => {
                row.try_get::<Option<String>, _>(n + 1)?.map(Value::Text)
            }
        };
        values.push(value.unwrap_or(Value::Null));
    }
    Ok(values)
}
