//! Compares the tables of two read models that should be equal, on a connection that sees both.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::additions;
use super::rows::quoted;
use super::slots::OTHER;
use crate::error::BoxError;
use crate::read_model_id::ReadModelId;
use crate::standby::{Comparison, shortened};

/// A table of a read model.
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) ty: String,
    /// Its place in the primary key, from 1. 0: it is in none.
    key: u32,
    /// Whether a row of a primary key may have NULL here, so that several rows may have the same key.
    may_be_null: bool,
}

impl Shape {
    /// The columns by name: one that was added later is the last of its table.
    fn sorted(&self) -> Vec<&Column> {
        let mut columns: Vec<_> = self.columns.iter().collect();
        columns.sort();
        columns
    }

    fn columns_text(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|it| format!("{} {}", it.name, it.ty)).collect();
        columns.join(", ")
    }

    /// The columns of the primary key. None, if it does not tell rows apart.
    fn key(&self) -> Vec<&Column> {
        let key = self.primary_key();
        if key.iter().any(|column| column.may_be_null) { Vec::new() } else { key }
    }

    /// The columns of the primary key, even if several rows may have NULL there.
    pub(super) fn primary_key(&self) -> Vec<&Column> {
        let mut key: Vec<_> = self.columns.iter().filter(|column| column.key > 0).collect();
        key.sort_by_key(|column| column.key);
        key
    }

    fn list(&self, of: &str) -> String {
        let columns: Vec<_> = self.columns.iter().map(|it| format!("{of}.{}", quoted(&it.name))).collect();
        columns.join(", ")
    }
}

/// The tables of one database. Virtual tables can't be compared: how they keep their rows depends on how these
/// came in.
const TABLES: &str = "SELECT t.name, t.wr, t.strict FROM pragma_table_list t
    WHERE t.schema = ?1 AND t.type = 'table' AND t.name NOT GLOB 'sqlite_*' AND t.name NOT GLOB 'ees_*'
    ORDER BY t.name";

const COLUMNS: &str = "SELECT name, type, pk, NOT \"notnull\" AND NOT ?3
        AND NOT (upper(type) = 'INTEGER' AND (SELECT count(*) FROM pragma_table_xinfo(?1, ?2) WHERE pk) = 1)
    FROM pragma_table_xinfo(?1, ?2) ORDER BY cid";

/// Compares the live read model with the other one.
pub(super) fn differences(connection: &Connection, live: &ReadModelId) -> Result<Comparison, BoxError> {
    let (tables, others) = tables_of_both(connection, live)?;
    let mut comparison = Comparison::default();
    for gone in others.iter().filter(|table| !tables.iter().any(|known| known.name == table.name)) {
        let difference = format!("table {}: only in the read model built for comparison", gone.name);
        comparison.differences.push(difference);
    }
    for table in &tables {
        let Some(twin) = others.iter().find(|twin| twin.name == table.name) else {
            comparison.differences.push(format!("table {}: only in the live read model", table.name));
            continue;
        };
        if twin.sorted() != table.sorted() {
            comparison.differences.push(format!(
                "table {}: has the columns ({}), but the one built for comparison has ({})",
                table.name,
                table.columns_text(),
                twin.columns_text()
            ));
            continue;
        }
        let count = format!("SELECT count(*) FROM main.{}", quoted(&table.name));
        comparison.rows += connection.query_row(&count, [], |row| row.get::<_, u64>(0))?;
        let room = Comparison::DIFFERENCES_MAX.saturating_sub(comparison.differences.len());
        let rows = match table.key().as_slice() {
            [] => by_content(connection, table, room)?,
            key => by_key(connection, table, key, room)?,
        };
        comparison.differences.extend(rows);
    }
    Ok(comparison)
}

/// The tables of the live read model, and those of the other one.
pub(super) fn tables_of_both(
    connection: &Connection,
    live: &ReadModelId,
) -> Result<(Vec<Shape>, Vec<Shape>), BoxError> {
    let (mut tables, others) = (shapes(connection, "main")?, shapes(connection, OTHER)?);
    let own = additions::own(connection, live.key())?;
    // The main file may have tables of others, and of other projections.
    tables.retain(|table| {
        own.as_ref().map_or_else(
            || others.iter().any(|other| other.name == table.name),
            |own| own.contains(&format!("table {}", table.name)),
        )
    });
    Ok((tables, others))
}

fn shapes(connection: &Connection, database: &str) -> Result<Vec<Shape>, BoxError> {
    let mut tables = connection.prepare(TABLES)?;
    let mut columns = connection.prepare(COLUMNS)?;
    let mut shapes = Vec::new();
    let mut rows = tables.query([database])?;
    while let Some(row) = rows.next()? {
        let (name, without_rowid): (String, bool) = (row.get(0)?, row.get(1)?);
        let columns = columns.query_map((&name, database, without_rowid), |row| {
            Ok(Column { name: row.get(0)?, ty: row.get(1)?, key: row.get(2)?, may_be_null: row.get(3)? })
        })?;
        let columns = columns.collect::<Result<_, _>>()?;
        shapes.push(Shape { name, columns });
    }
    Ok(shapes)
}

/// The rows that differ, in the order of their keys. Looks up each row of one table in the index of the other.
fn by_key(
    connection: &Connection,
    table: &Shape,
    key: &[&Column],
    limit: usize,
) -> Result<Vec<String>, BoxError> {
    let name = quoted(&table.name);
    let (first, columns) = (quoted(&key[0].name), table.columns.len());
    let same_key: Vec<_> = key.iter().map(|it| format!("a.{0} = b.{0}", quoted(&it.name))).collect();
    let same_key = same_key.join(" AND ");
    let differs = differs(table.columns.iter().map(|column| column.name.as_str()));
    let order: Vec<_> = key.iter().map(|it| format!("a.{}", quoted(&it.name))).collect();
    let order = order.join(", ");
    let (a, b) = (table.list("a"), table.list("b"));
    let key_of = |row: &Row<'_>, from: usize| -> rusqlite::Result<String> {
        let places = key.iter().filter_map(|key| table.columns.iter().position(|it| it.name == key.name));
        let values: Vec<_> =
            places.map(|at| Ok(text(row.get_ref(from + at)?))).collect::<rusqlite::Result<_>>()?;
        Ok(if let [only] = values.as_slice() { only.clone() } else { format!("({})", values.join(",")) })
    };
    let mut found = Vec::new();
    let extra_or_changed = format!(
        "SELECT b.{first} IS NULL, {a}, {b} FROM main.{name} a LEFT JOIN {OTHER}.{name} b ON {same_key}
         WHERE b.{first} IS NULL OR {differs} ORDER BY {order} LIMIT {limit}"
    );
    let mut statement = connection.prepare(&extra_or_changed)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, live) = (key_of(row, 1)?, row_text(row, 1, columns)?);
        found.push(match row.get(0)? {
            true => format!("table {}: extra row {key}: {live}", table.name),
            false => {
                let built = row_text(row, 1 + columns, columns)?;
                format!("table {}: changed row {key}: {live}, expected {built}", table.name)
            }
        });
    }
    let missing = format!(
        "SELECT {a} FROM {OTHER}.{name} a LEFT JOIN main.{name} b ON {same_key}
         WHERE b.{first} IS NULL ORDER BY {order} LIMIT {}",
        limit.saturating_sub(found.len())
    );
    let mut statement = connection.prepare(&missing)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, built) = (key_of(row, 0)?, row_text(row, 0, columns)?);
        found.push(format!("table {}: missing row {key}: {built}", table.name));
    }
    Ok(found)
}

/// The condition that a row `a` and a row `b` differ in one of these columns. 1 and 1.0 are not the same, nor are A and
/// a, whatever the column's collation is.
pub(super) fn differs<'a>(columns: impl Iterator<Item = &'a str>) -> String {
    let differs = columns.map(|column| {
        let name = quoted(column);
        format!("typeof(a.{name}) <> typeof(b.{name}) OR a.{name} IS NOT b.{name} COLLATE BINARY")
    });
    differs.collect::<Vec<_>>().join(" OR ")
}

/// The rows of a table without a key that differ: a row may be there several times. Sorts both tables.
fn by_content(connection: &Connection, table: &Shape, limit: usize) -> Result<Vec<String>, BoxError> {
    let name = quoted(&table.name);
    let exact: Vec<_> = table.columns.iter().map(|it| format!("quote(t.{})", quoted(&it.name))).collect();
    let (columns, exact) = (table.list("t"), exact.join(", "));
    let uneven = format!(
        "SELECT sum(ees_side), {columns} FROM (
            SELECT 1 AS ees_side, {columns} FROM main.{name} t
            UNION ALL SELECT -1, {columns} FROM {OTHER}.{name} t) t
         GROUP BY {exact} HAVING sum(ees_side) <> 0 LIMIT {limit}"
    );
    let mut statement = connection.prepare(&uneven)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let more: i64 = row.get(0)?;
        let what = if more > 0 { "extra" } else { "missing" };
        let content = row_text(row, 1, table.columns.len())?;
        found.push(format!("table {}: {what} row {content}", table.name));
    }
    Ok(found)
}

fn row_text(row: &Row<'_>, from: usize, columns: usize) -> rusqlite::Result<String> {
    let values: Vec<_> =
        (from..from + columns).map(|at| Ok(text(row.get_ref(at)?))).collect::<rusqlite::Result<_>>()?;
    Ok(shortened(&format!("({})", values.join(","))))
}

pub(super) fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => {
            format!("x'{}'", bytes.iter().map(|it| format!("{it:02x}")).collect::<String>())
        }
    }
}
