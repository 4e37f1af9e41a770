//! Tells in which rows and columns the tables of two read models differ, on a connection that sees both.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::compare::{Shape, differs, tables_of_both, text};
use super::rows::quoted;
use super::slots::OTHER;
use crate::error::BoxError;
use crate::preview::{RowDifferences, TableDifferences};
use crate::read_model_id::ReadModelId;

pub(super) fn differing_rows(
    connection: &Connection,
    live: &ReadModelId,
    samples: usize,
) -> Result<RowDifferences, BoxError> {
    let (of_live, of_new) = tables_of_both(connection, live)?;
    let names = |tables: &[Shape]| tables.iter().map(|table| table.name.clone()).collect();
    let mut found = RowDifferences::of_tables(&names(&of_live), &names(&of_new));
    for table in &of_live {
        if let Some(twin) = of_new.iter().find(|twin| twin.name == table.name) {
            found.tables.push(Tables { connection, table, samples }.differing_rows(twin)?);
        }
    }
    Ok(found)
}

/// A table of the live read model, and the one of the same name.
struct Tables<'a> {
    connection: &'a Connection,
    table: &'a Shape,
    samples: usize,
}

impl Tables<'_> {
    fn differing_rows(&self, twin: &Shape) -> Result<TableDifferences, BoxError> {
        let typed = |shape: &Shape| -> Vec<_> {
            shape.columns.iter().map(|column| (column.name.clone(), column.ty.clone())).collect()
        };
        let mut found = TableDifferences { table: self.table.name.clone(), ..TableDifferences::default() };
        let common = found.compare_columns(&typed(self.table), &typed(twin));
        for (count, database) in [(&mut found.rows_live, "main"), (&mut found.rows_new, OTHER)] {
            let sql = format!("SELECT count(*) FROM {database}.{}", quoted(&self.table.name));
            *count = self.connection.query_row(&sql, [], |row| row.get(0))?;
        }
        let key_of = |shape: &Shape| -> Vec<_> {
            shape.primary_key().into_iter().map(|column| (column.name.clone(), column.ty.clone())).collect()
        };
        let is_same_key = key_of(self.table) == key_of(twin);
        let key: Vec<_> = key_of(self.table).into_iter().map(|(name, _)| name).collect();
        if is_same_key && self.tells_rows_apart(&key)? {
            self.by_key(&key, &common, &mut found)?;
        } else {
            self.by_content(&common, &mut found)?;
        }
        Ok(found)
    }

    /// Whether no row of either table has NULL in the key: several may, in most tables of SQLite.
    fn tells_rows_apart(&self, key: &[String]) -> Result<bool, BoxError> {
        if key.is_empty() {
            return Ok(false);
        }
        let is_null: Vec<_> = key.iter().map(|column| format!("{} IS NULL", quoted(column))).collect();
        let (name, is_null) = (quoted(&self.table.name), is_null.join(" OR "));
        for database in ["main", OTHER] {
            let sql = format!("SELECT NOT EXISTS (SELECT * FROM {database}.{name} WHERE {is_null})");
            if !self.connection.query_row(&sql, [], |row| row.get(0))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks up each row of one table in the index of the other.
    fn by_key(
        &self,
        key: &[String],
        common: &[String],
        found: &mut TableDifferences,
    ) -> Result<(), BoxError> {
        let (name, first) = (quoted(&self.table.name), quoted(&key[0]));
        let joined = |columns: &[String], form: &dyn Fn(String) -> String, between: &str| {
            columns.iter().map(|column| form(quoted(column))).collect::<Vec<_>>().join(between)
        };
        let same_key = joined(key, &|it| format!("a.{it} = b.{it}"), " AND ");
        let order = joined(key, &|it| format!("a.{it}"), ", ");
        let (a, b) =
            (joined(common, &|it| format!("a.{it}"), ", "), joined(common, &|it| format!("b.{it}"), ", "));
        let differs = differs(common.iter().map(String::as_str));
        let places: Vec<_> =
            key.iter().filter_map(|key| common.iter().position(|column| column == key)).collect();
        let key_of = |row: &Row<'_>| -> rusqlite::Result<String> {
            let values = places.iter().map(|at| Ok(text(row.get_ref(*at)?)));
            let values: Vec<_> = values.collect::<rusqlite::Result<_>>()?;
            Ok(if let [only] = values.as_slice() { only.clone() } else { format!("({})", values.join(",")) })
        };
        let sql = format!(
            "SELECT {a}, {b}, b.{first} IS NULL FROM main.{name} a LEFT JOIN {OTHER}.{name} b ON {same_key}
             WHERE b.{first} IS NULL OR {differs} ORDER BY {order}"
        );
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let live = json(row, common, 0)?;
            let is_removed: bool = row.get(2 * common.len())?;
            let new = if is_removed { None } else { Some(json(row, common, common.len())?) };
            found.add(key_of(row)?, Some(&live), new.as_deref(), self.samples)?;
        }
        let sql = format!(
            "SELECT {a} FROM {OTHER}.{name} a LEFT JOIN main.{name} b ON {same_key}
             WHERE b.{first} IS NULL ORDER BY {order}"
        );
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            found.add(key_of(row)?, None, Some(&json(row, common, 0)?), self.samples)?;
        }
        Ok(())
    }

    /// Sorts both tables. A row may be there several times.
    fn by_content(&self, common: &[String], found: &mut TableDifferences) -> Result<(), BoxError> {
        if common.is_empty() {
            return Ok(());
        }
        let name = quoted(&self.table.name);
        let columns: Vec<_> = common.iter().map(|column| format!("t.{}", quoted(column))).collect();
        let exact: Vec<_> = columns.iter().map(|column| format!("quote({column})")).collect();
        let (columns, exact) = (columns.join(", "), exact.join(", "));
        let sql = format!(
            "SELECT {columns}, sum(ees_side) FROM (
                SELECT 1 AS ees_side, {columns} FROM main.{name} t
                UNION ALL SELECT -1, {columns} FROM {OTHER}.{name} t) t
             GROUP BY {exact} HAVING sum(ees_side) <> 0"
        );
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (content, more): (_, i64) = (json(row, common, 0)?, row.get(common.len())?);
            let (live, new) = if more > 0 { (Some(content), None) } else { (None, Some(content)) };
            for _ in 0..more.unsigned_abs() {
                found.add(String::new(), live.as_deref(), new.as_deref(), self.samples)?;
            }
        }
        Ok(())
    }
}

/// Some values of a row as a JSON object. A text that is a JSON object, as the state of a fold is, counts as that.
fn json(row: &Row<'_>, columns: &[String], from: usize) -> Result<String, BoxError> {
    let mut members = Vec::with_capacity(columns.len());
    for (at, column) in columns.iter().enumerate() {
        let value = row.get_ref(from + at)?;
        let value = match value {
            ValueRef::Null => "null".to_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) if number.is_finite() => serde_json::to_string(&number)?,
            ValueRef::Text(bytes) if bytes.starts_with(b"{") => {
                let document = std::str::from_utf8(bytes).ok().filter(|it| is_json(it));
                document.map_or_else(|| serde_json::to_string(&text(value)), |it| Ok(it.to_owned()))?
            }
            _ => serde_json::to_string(&text(value))?,
        };
        members.push(format!("{}:{value}", serde_json::to_string(column)?));
    }
    Ok(format!("{{{}}}", members.join(",")))
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
