//! Reads everything that a projection wrote, in a form that can be compared.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};

/// Returns the rows of a query, each as a JSON array.
pub(super) fn rows(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<Value>> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let found = statement.query_map([], |row| {
        (0..columns)
            .map(|column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(number) => json!(number),
                    ValueRef::Real(number) => json!(number),
                    ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
                    ValueRef::Blob(bytes) => json!(bytes),
                })
            })
            .collect::<rusqlite::Result<Vec<_>>>()
            .map(Value::Array)
    })?;
    found.collect()
}

/// The rows of each table, sorted.
pub(super) type Tables = BTreeMap<String, Vec<String>>;

/// Returns all tables except the framework's, with all their rows, sorted.
pub(super) fn tables(connection: &Connection) -> rusqlite::Result<Tables> {
    let names = rows(
        connection,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'ees\\_%' ESCAPE '\\'
            AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    let mut tables = BTreeMap::new();
    for name in names.iter().filter_map(|row| row[0].as_str()) {
        let mut found: Vec<String> =
            rows(connection, &format!("SELECT * FROM \"{}\"", name.replace('"', "\"\"")))?
                .iter()
                .map(Value::to_string)
                .collect();
        found.sort();
        tables.insert(name.to_owned(), found);
    }
    Ok(tables)
}
