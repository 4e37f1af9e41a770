//! The tables of folds: a key column, and a column for each column of the table.
//!
//! One statement loads the rows that a batch touches, one writes the changed rows, and one deletes.

use std::collections::HashMap;
use std::fmt::Write;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _};

use super::sql::quoted;
use super::{Tx, array, bulk};
use crate::database::FoldRows;
use crate::error::BoxError;
use crate::read_model::constraint::{Constraint, explained};
use crate::read_model::{Change, Column, ColumnType, Differences, Element, Row, RowError, Table, Value};
use crate::read_model_id::ReadModelId;

/// Percent of a page that is filled at first. It leaves room to update rows in place, which saves writes to the
/// indexes.
pub(super) const FILL_FACTOR: u8 = 70;

impl FoldRows for Tx {
    fn check_key(table: &Table, key: &str) -> Result<(), RowError> {
        refuse_nul(key).map_err(|error| error.in_column(&table.key.name).of_table(&table.name))
    }

    fn check_row(table: &Table, _: &str, row: &Row) -> Result<(), RowError> {
        for (column, value) in table.columns.iter().zip(row) {
            let checked = match value {
                Value::Text(text) => refuse_nul(text),
                // As JSON has it. `json` keeps it; an array of texts can't.
                Value::Json(text) if matches!(column.ty, ColumnType::Array(_)) => array::check(text),
                _ => Ok(()),
            };
            checked.map_err(|error| error.in_column(&column.name).of_table(&table.name))?;
        }
        Ok(())
    }

    async fn differences(&mut self, table: &Table, others: &[String]) -> Result<Differences, BoxError> {
        self.table_differences(table, others).await
    }

    async fn add_columns(&mut self, table: &Table, columns: &[&Column]) -> Result<(), BoxError> {
        let name = self.qualified(&table.name);
        let lock = format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE");
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(self.inner()).await?;
        // Another process may have added them meanwhile.
        let missing = self.table_differences(table, &[]).await?.missing;
        let mut parts = Vec::new();
        for column in columns.iter().filter(|column| missing.iter().any(|name| *name == column.name)) {
            parts.push(format!("ADD COLUMN {}", column_sql(column)));
            let constraints = table.constraints_of(column, |table| self.qualified(table));
            parts.extend(constraints.iter().map(|constraint| format!("ADD {}", constraint.definition())));
        }
        if !parts.is_empty() {
            let sql = format!("ALTER TABLE {name} {}", parts.join(", "));
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.inner()).await?;
        }
        Ok(())
    }

    async fn create_table(&mut self, table: &Table) -> Result<(), BoxError> {
        let constraints = table.constraints(|table| self.qualified(table));
        let sql = create_sql(&self.qualified(&table.name), table, &constraints);
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

    async fn rows_after(
        &mut self,
        model: &ReadModelId,
        table: &Table,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, BoxError> {
        let (name, key) =
            (format!("{}.{}", quoted(model.name()), quoted(&table.name)), quoted(&table.key.name));
        let (columns, ty) = (columns_sql(table), type_sql(table.key.ty));
        let after_key =
            if after.is_some() { format!("WHERE t.{key} > $1::text::{ty}") } else { String::new() };
        let sql = format!("SELECT {columns} FROM {name} t {after_key} ORDER BY t.{key} LIMIT {limit}");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        if let Some(after) = after {
            query = query.bind(after);
        }
        let rows = query.fetch_all(self.inner()).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, read(table, row)?))).collect()
    }

    async fn write_rows(&mut self, table: &Table, rows: &[Change]) -> Result<(), BoxError> {
        self.write_changes(table, rows).await.map_err(|error| explained(table, error))
    }
}

impl Tx {
    async fn write_changes(&mut self, table: &Table, rows: &[Change]) -> Result<(), BoxError> {
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

    /// Writes all rows in one statement, with an array for each column.
    async fn write_all(
        &mut self,
        sql: String,
        table: &Table,
        rows: &[(&str, &Row)],
    ) -> Result<u64, BoxError> {
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = query.bind(rows.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        let mut query = query;
        for (n, column) in table.columns.iter().enumerate() {
            let values = rows.iter().map(|(_, row)| &row[n]);
            query = match column.ty {
                ColumnType::Array(_) => {
                    query.bind(values.map(array::literal_of).collect::<Result<Vec<_>, _>>()?)
                }
                _ => bind_column(query, column, values),
            };
        }
        Ok(query.execute(self.inner()).await?.rows_affected())
    }
}

/// PostgreSQL's `text` can't hold a NUL character.
fn refuse_nul(text: &str) -> Result<(), RowError> {
    match text.find('\0') {
        Some(at) => Err(RowError::new(format_args!(
            "the text has the character NUL at byte {at}, which PostgreSQL can't keep in a text"
        ))),
        None => Ok(()),
    }
}

fn create_sql(name: &str, table: &Table, constraints: &[Constraint]) -> String {
    let key = quoted(&table.key.name);
    let mut sql =
        format!("CREATE TABLE {name} ({key} {}{} PRIMARY KEY", type_sql(table.key.ty), collation(&table.key));
    for column in &table.columns {
        // Writing to a `String` can't fail. The same holds below.
        let _ = write!(sql, ", {}", column_sql(column));
    }
    for constraint in constraints {
        let _ = write!(sql, ", {}", constraint.definition());
    }
    let _ = write!(sql, ") WITH (fillfactor = {FILL_FACTOR});");
    for index in &table.indexes {
        let columns: Vec<String> = index.columns.iter().map(|column| quoted(column)).collect();
        let _ = write!(sql, "CREATE INDEX ON {name} ({});", columns.join(", "));
    }
    sql
}

fn column_sql(column: &Column) -> String {
    let null = if column.nullable { "" } else { " NOT NULL" };
    format!("{} {}{}{null}", quoted(&column.name), type_sql(column.ty), collation(column))
}

fn collation(column: &Column) -> &'static str {
    if column.sorted_by_bytes && column.ty == ColumnType::Text { " COLLATE \"C\"" } else { "" }
}

pub(super) fn type_sql(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Text => "text",
        ColumnType::BigInt => "bigint",
        ColumnType::Double => "double precision",
        ColumnType::Boolean => "boolean",
        ColumnType::Timestamp => "timestamptz",
        ColumnType::Uuid => "uuid",
        ColumnType::Decimal => "numeric",
        // `json` keeps the text unchanged; `jsonb` does not.
        ColumnType::Json => "json",
        ColumnType::Jsonb => "jsonb",
        ColumnType::Array(Element::Text) => "text[]",
        ColumnType::Array(Element::BigInt) => "bigint[]",
        ColumnType::Array(Element::Double) => "double precision[]",
        ColumnType::Array(Element::Boolean) => "boolean[]",
        ColumnType::Array(Element::Timestamp) => "timestamptz[]",
        ColumnType::Array(Element::Uuid) => "uuid[]",
        ColumnType::Array(Element::Decimal) => "numeric[]",
    }
}

/// The type in which a value is sent. The server casts what serde writes as text.
fn wire_type(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::BigInt => "bigint",
        ColumnType::Double => "double precision",
        ColumnType::Boolean => "boolean",
        // Arrays too: an array of arrays would have to be a rectangle.
        _ => "text",
    }
}

fn keys_sql(table: &Table) -> String {
    format!("$1::text[]::{}[]", type_sql(table.key.ty))
}

/// The key and the columns of a row, as [`read`] takes them.
fn columns_sql(table: &Table) -> String {
    let key = quoted(&table.key.name);
    let mut columns = format!("t.{key}::text");
    for column in &table.columns {
        let name = format!("t.{}", quoted(&column.name));
        let _ = match column.ty {
            ColumnType::Timestamp => write!(columns, ", {}", time_sql(&name)),
            ColumnType::Array(Element::Timestamp) => write!(
                columns,
                ", CASE WHEN {name} IS NOT NULL THEN ARRAY(SELECT {} FROM unnest({name}) WITH ORDINALITY e (t, n)
                    ORDER BY e.n) END",
                time_sql("e.t")
            ),
            ColumnType::Array(Element::Uuid | Element::Decimal) => write!(columns, ", {name}::text[]"),
            ColumnType::Uuid | ColumnType::Decimal | ColumnType::Json | ColumnType::Jsonb => {
                write!(columns, ", {name}::text")
            }
            _ => write!(columns, ", {name}"),
        };
    }
    columns
}

fn select_sql(name: &str, table: &Table) -> String {
    let (columns, key) = (columns_sql(table), quoted(&table.key.name));
    format!("SELECT {columns} FROM {name} t WHERE t.{key} = ANY ({})", keys_sql(table))
}

fn time_sql(name: &str) -> String {
    format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
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

fn read(table: &Table, row: &PgRow) -> Result<Row, BoxError> {
    let mut values = Vec::with_capacity(table.columns.len());
    for (n, column) in table.columns.iter().enumerate() {
        let value = match column.ty {
            ColumnType::BigInt => row.try_get::<Option<i64>, _>(n + 1)?.map(Value::Int),
            ColumnType::Double => row.try_get::<Option<f64>, _>(n + 1)?.map(Value::Float),
            ColumnType::Boolean => row.try_get::<Option<bool>, _>(n + 1)?.map(Value::Bool),
            ColumnType::Json | ColumnType::Jsonb => row.try_get::<Option<String>, _>(n + 1)?.map(Value::Json),
            ColumnType::Array(element) => array::read(element, row, n + 1)?,
            _ => row.try_get::<Option<String>, _>(n + 1)?.map(Value::Text),
        };
        values.push(value.unwrap_or(Value::Null));
    }
    Ok(values)
}
