//! The tables of folds: a key column, and a column for each column of the table.
//!
//! Each row is written by a prepared statement. Within one process there is no round trip to save, and this
//! is faster than one large statement (docs/decisions/0004).

use std::fmt::Write;

use rusqlite::types::{FromSqlError, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Statement, ToSql};

use super::Tx;
use crate::database::FoldRows;
use crate::error::BoxError;
use crate::read_model::constraint::{Constraint, PREFIX, explained, lacking};
use crate::read_model::{Change, Column, ColumnType, Differences, FoundColumn, Row, Table, Value};
use crate::read_model_id::ReadModelId;

impl FoldRows for Tx {
    async fn create_table(&mut self, table: &Table) -> Result<(), BoxError> {
        Ok(self.connection().execute_batch(&create_sql(table))?)
    }

    async fn drop_table(&mut self, table: &Table) -> Result<(), BoxError> {
        Ok(self.connection().execute_batch(&format!("DROP TABLE IF EXISTS {}", quoted(&table.name)))?)
    }

    async fn differences(&mut self, table: &Table, others: &[String]) -> Result<Differences, BoxError> {
        differences(self.connection(), table, others)
    }

    async fn add_columns(&mut self, table: &Table, columns: &[&Column]) -> Result<(), BoxError> {
        for column in columns {
            let mut definition = column_sql(column);
            // SQLite takes no constraint of the table afterwards.
            for constraint in table.constraints_of(column, quoted) {
                let _ = write!(definition, " {}", constraint.inline());
            }
            let add = format!("ALTER TABLE {} ADD COLUMN {definition}", quoted(&table.name));
            self.connection().execute_batch(&add)?;
        }
        Ok(())
    }

    async fn load_rows(&mut self, table: &Table, keys: &[&str]) -> Result<Vec<Option<Row>>, BoxError> {
        let mut statement = self.connection().prepare_cached(&select_sql(table))?;
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            rows.push(statement.query_row([key], |row| read(table, row)).optional()?);
        }
        Ok(rows)
    }

    async fn rows_after(
        &mut self,
        model: &ReadModelId,
        table: &Table,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, BoxError> {
        if let Some(snapshot) = &mut self.snapshot {
            let database = snapshot.name_of(&self.database, model)?;
            let database = database.ok_or_else(|| format!("there is no read model \"{model}\""))?;
            return rows_after(snapshot.connection(), database, table, after, limit);
        }
        rows_after(self.of(model).await?, "main", table, after, limit)
    }

    async fn write_rows(&mut self, table: &Table, rows: &[Change]) -> Result<(), BoxError> {
        self.write_changes(table, rows).map_err(|error| explained(table, error))
    }
}

impl Tx {
    fn write_changes(&self, table: &Table, rows: &[Change]) -> Result<(), BoxError> {
        let mut upsert = self.connection().prepare_cached(&upsert_sql(table))?;
        let mut delete = self.connection().prepare_cached(&delete_sql(table))?;
        let mut updates: Vec<(Vec<usize>, CachedStatement<'_>)> = Vec::new();
        for Change { key, before, row } in rows {
            let Some(row) = row else {
                delete.execute([key])?;
                continue;
            };
            let changed = before.as_ref().map_or_else(Vec::new, |before| differing(before, row));
            let is_updated = !changed.is_empty() && {
                let known = updates.iter().position(|(columns, _)| *columns == changed);
                let at = known.unwrap_or(updates.len());
                if known.is_none() {
                    let update = self.connection().prepare_cached(&update_sql(table, &changed))?;
                    updates.push((changed.clone(), update));
                }
                write(&mut updates[at].1, key, changed.iter().map(|column| &row[*column]))? > 0
            };
            if !is_updated {
                write(&mut upsert, key, row)?;
            }
        }
        Ok(())
    }
}

/// The places of the columns in which two rows differ.
fn differing(before: &[Value], after: &[Value]) -> Vec<usize> {
    before.iter().zip(after).enumerate().filter(|(_, (old, new))| old != new).map(|(at, _)| at).collect()
}

fn create_sql(table: &Table) -> String {
    let (name, key) = (quoted(&table.name), quoted(&table.key.name));
    let mut sql = format!("CREATE TABLE {name} ({key} {} PRIMARY KEY", type_sql(table.key.ty));
    for column in &table.columns {
        // Writing to a `String` can't fail. The same holds below.
        let _ = write!(sql, ", {}", column_sql(column));
    }
    for constraint in table.constraints(quoted) {
        let _ = write!(sql, ", {}", constraint.definition());
    }
    sql.push_str(") STRICT, WITHOUT ROWID;");
    for index in &table.indexes {
        // With a character that no name has, so that it is not the name of another table or index.
        let label = quoted(&format!("{}.{}", table.name, index.columns.join(".")));
        let columns: Vec<String> = index.columns.iter().map(|column| quoted(column)).collect();
        let _ = write!(sql, "CREATE INDEX {label} ON {name} ({});", columns.join(", "));
    }
    sql
}

fn column_sql(column: &Column) -> String {
    let null = if column.nullable { "" } else { " NOT NULL" };
    format!("{} {}{null}", quoted(&column.name), type_sql(column.ty))
}

fn type_sql(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::BigInt | ColumnType::Boolean => "INTEGER",
        ColumnType::Double => "REAL",
        _ => "TEXT",
    }
}

fn differences(connection: &Connection, table: &Table, others: &[String]) -> Result<Differences, BoxError> {
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let sql: Option<String> = connection.query_row(sql, [&table.name], |row| row.get(0)).optional()?;
    let Some(sql) = sql else { return Ok(Differences::no_table(table)) };
    let columns = "SELECT name, type, \"notnull\" FROM pragma_table_xinfo(?1)";
    let mut columns = connection.prepare(columns)?;
    let found = columns.query_map([&table.name], |row| {
        let name: String = row.get(0)?;
        let foreign = others.contains(&format!("column {}.{name}", table.name));
        Ok(FoundColumn {
            name,
            ty: row.get(1)?,
            nullable: !row.get::<_, bool>(2)?,
            foreign,
            foreign_not_null: false,
        })
    });
    let found = found?.collect::<Result<Vec<_>, _>>()?;
    let mut differences = Differences::of_columns(table, &found, |column| type_sql(column.ty).to_owned());
    let is_there = |constraint: &Constraint| sql.contains(&quoted(&constraint.name));
    let is_missing = |name: &str| differences.missing.iter().any(|missing| missing == name);
    let lacking: Vec<String> = lacking(table, quoted, is_missing, is_there);
    differences.others.extend(lacking);
    let names: Vec<String> =
        table.constraints(quoted).into_iter().map(|constraint| constraint.name).collect();
    let known = sql.split("CONSTRAINT \"").skip(1).filter_map(|rest| rest.split('"').next());
    for gone in known.filter(|known| known.starts_with(PREFIX) && !names.iter().any(|name| name == known)) {
        differences
            .others
            .push(format!("table {}: the program does not have the constraint {gone}", table.name));
    }
    Ok(differences)
}

fn select_sql(table: &Table) -> String {
    let columns = names(&table.columns).collect::<Vec<_>>().join(", ");
    // A table may have a key and nothing else.
    let columns = if columns.is_empty() { "1" } else { &columns };
    format!("SELECT {columns} FROM {} WHERE {} = ?1", quoted(&table.name), quoted(&table.key.name))
}

fn rows_after(
    connection: &Connection,
    database: &str,
    table: &Table,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Row)>, BoxError> {
    let (name, key) = (quoted(&table.name), quoted(&table.key.name));
    let columns: String = names(&table.columns).map(|column| format!("{column}, ")).collect();
    let after_key = if after.is_some() { format!("WHERE {key} > ?1") } else { String::new() };
    let select = format!(
        "SELECT {columns}CAST({key} AS TEXT) FROM {database}.{name} {after_key} ORDER BY {key} LIMIT {limit}"
    );
    let mut statement = connection.prepare_cached(&select)?;
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(table.columns.len())?, read(table, row)?));
    let rows = statement.query_map(rusqlite::params_from_iter(after), row)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

fn upsert_sql(table: &Table) -> String {
    let (name, key) = (quoted(&table.name), quoted(&table.key.name));
    let (mut columns, mut places, mut sets) = (key.clone(), "?1".to_owned(), Vec::new());
    for (n, column) in names(&table.columns).enumerate() {
        let _ = write!(columns, ", {column}");
        let _ = write!(places, ", ?{}", n + 2);
        sets.push(format!("{column} = excluded.{column}"));
    }
    let change =
        if sets.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", sets.join(", ")) };
    format!("INSERT INTO {name} AS t ({columns}) VALUES ({places}) ON CONFLICT ({key}) DO {change}")
}

/// Sets these columns only. SQLite writes an index again whenever one of its columns is set, whatever its value is.
fn update_sql(table: &Table, columns: &[usize]) -> String {
    let sets = columns.iter().enumerate().map(|(n, column)| {
        let name = table.columns.get(*column).map(|column| quoted(&column.name)).unwrap_or_default();
        format!("{name} = ?{}", n + 2)
    });
    let sets: Vec<String> = sets.collect();
    format!("UPDATE {} SET {} WHERE {} = ?1", quoted(&table.name), sets.join(", "), quoted(&table.key.name))
}

fn delete_sql(table: &Table) -> String {
    format!("DELETE FROM {} WHERE {} = ?1", quoted(&table.name), quoted(&table.key.name))
}

fn names(columns: &[Column]) -> impl Iterator<Item = String> {
    columns.iter().map(|column| quoted(&column.name))
}

/// A name as SQL writes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn read(table: &Table, row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let mut values = Vec::with_capacity(table.columns.len());
    for (n, column) in table.columns.iter().enumerate() {
        let stored = row.get_ref(n)?;
        values.push(match (column.ty, stored) {
            (_, ValueRef::Null) => Value::Null,
            (ColumnType::Boolean, ValueRef::Integer(number)) => Value::Bool(number != 0),
            (ColumnType::BigInt, ValueRef::Integer(number)) => Value::Int(number),
            (ColumnType::Double, ValueRef::Real(number)) => Value::Float(number),
            (ty, _) if ty.is_json() => Value::Json(stored.as_str().map_err(in_column(n, stored))?.to_owned()),
            _ => Value::Text(stored.as_str().map_err(in_column(n, stored))?.to_owned()),
        });
    }
    Ok(values)
}

fn in_column(n: usize, stored: ValueRef<'_>) -> impl FnOnce(FromSqlError) -> rusqlite::Error {
    let kind = stored.data_type();
    move |error| rusqlite::Error::FromSqlConversionFailure(n, kind, error.into())
}

fn write<'a>(
    statement: &mut Statement<'_>,
    key: &str,
    values: impl IntoIterator<Item = &'a Value>,
) -> rusqlite::Result<usize> {
    statement.raw_bind_parameter(1, key)?;
    for (n, value) in values.into_iter().enumerate() {
        statement.raw_bind_parameter(n + 2, Bound(value))?;
    }
    statement.raw_execute()
}

/// Binds a value without copying it.
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Bool(value) => ValueRef::Integer((*value).into()),
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Float(number) => ValueRef::Real(*number),
            Value::Text(text) | Value::Json(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{Database, Transaction};
    use crate::sqlite;

    fn accounts() -> Table {
        Table::new("accounts", Column::new("account_id", ColumnType::Uuid))
            .with_column(Column::new("order", ColumnType::BigInt))
            .with_column(Column::new("rate", ColumnType::Double).nullable())
            .with_index(["order", "rate"])
            .with_index(["rate"])
    }

    #[tokio::test]
    async fn the_columns_and_indexes_are_there_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let database = sqlite::Database::open(folder.path().join("accounts.db")).unwrap();
        let mut tx = database.begin().await.unwrap();
        tx.create_table(&accounts()).await.unwrap();
        tx.commit().await.unwrap();
        let list = |sql: &'static str| {
            database.read(move |db| {
                db.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()
            })
        };
        let columns =
            "SELECT format('%s %s %d %d', name, type, \"notnull\", pk) FROM pragma_table_info('accounts')";
        assert_eq!(
            list(columns).await.unwrap(),
            ["account_id TEXT 1 1", "order INTEGER 1 0", "rate REAL 0 0"]
        );
        let indexes = "SELECT name FROM pragma_index_list('accounts') WHERE origin = 'c' ORDER BY name";
        assert_eq!(list(indexes).await.unwrap(), ["accounts.order.rate", "accounts.rate"]);
    }

    #[tokio::test]
    async fn an_update_writes_the_columns_that_changed_and_no_index_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let database = sqlite::Database::open(folder.path().join("accounts.db")).unwrap();
        let mut tx = database.begin().await.unwrap();
        tx.create_table(&accounts()).await.unwrap();
        let trigger = "CREATE TABLE noticed (of TEXT);
            CREATE TRIGGER moved AFTER UPDATE OF \"order\" ON accounts BEGIN INSERT INTO noticed VALUES ('order'); END;
            CREATE TRIGGER rated AFTER UPDATE OF rate ON accounts BEGIN INSERT INTO noticed VALUES ('rate'); END;";
        tx.connection().execute_batch(trigger).unwrap();
        let row = |order, rate| Some(vec![Value::Int(order), Value::Float(rate)]);
        let change = |before, row| Change { key: "a".to_owned(), before, row };
        tx.write_rows(&accounts(), &[change(None, row(1, 0.5))]).await.unwrap();
        tx.write_rows(&accounts(), &[change(row(1, 0.5), row(2, 0.5))]).await.unwrap();
        tx.write_rows(&accounts(), &[change(row(2, 0.5), row(2, 1.5))]).await.unwrap();
        assert_eq!(tx.load_rows(&accounts(), &["a"]).await.unwrap(), [row(2, 1.5)]);
        let noticed: String =
            tx.connection().query_row("SELECT group_concat(of) FROM noticed", [], |row| row.get(0)).unwrap();
        assert_eq!(noticed, "order,rate");
        // Somebody else has deleted the row meanwhile.
        tx.connection().execute("DELETE FROM accounts", []).unwrap();
        tx.write_rows(&accounts(), &[change(row(2, 1.5), row(3, 1.5))]).await.unwrap();
        assert_eq!(tx.load_rows(&accounts(), &["a"]).await.unwrap(), [row(3, 1.5)]);
    }

    #[tokio::test]
    async fn a_table_may_have_a_key_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let database = sqlite::Database::open(folder.path().join("seen.db")).unwrap();
        let seen = Table::new("seen", Column::new("key", ColumnType::Text));
        let mut tx = database.begin().await.unwrap();
        tx.create_table(&seen).await.unwrap();
        let there = Change { key: "a".to_owned(), before: None, row: Some(Vec::new()) };
        tx.write_rows(&seen, &[there.clone(), there]).await.unwrap();
        assert_eq!(tx.load_rows(&seen, &["a", "b"]).await.unwrap(), [Some(Vec::new()), None]);
        tx.drop_table(&seen).await.unwrap();
        tx.drop_table(&seen).await.unwrap();
    }

    #[tokio::test]
    async fn what_others_added_to_a_table_is_no_difference() {
        let folder = tempfile::tempdir().unwrap();
        let database = sqlite::Database::open(folder.path().join("accounts.db")).unwrap();
        let mut tx = database.begin().await.unwrap();
        let lists = Column::new("kind", ColumnType::Text).nullable().one_of(["it's", "b"]).added();
        let parent = Column::new("parent", ColumnType::Uuid).nullable().added();
        let table = accounts()
            .with_column(lists)
            .with_column(parent)
            .with_check("\"order\" <> 7")
            .with_reference("parent", "accounts");
        let before = accounts().with_check("\"order\" <> 7");
        tx.create_table(&before).await.unwrap();
        let theirs = "ALTER TABLE accounts ADD COLUMN theirs TEXT NOT NULL DEFAULT 'x';
            CREATE INDEX theirs ON accounts (theirs, rate);
            CREATE TRIGGER noticed AFTER UPDATE ON accounts BEGIN SELECT 1; END;";
        tx.connection().execute_batch(theirs).unwrap();
        let others = ["column accounts.theirs".to_owned()];
        assert_eq!(tx.differences(&before, &others).await.unwrap(), Differences::default());
        // Unless the program made it once.
        let differences = tx.differences(&before, &[]).await.unwrap();
        assert_eq!(differences.others, ["column accounts.theirs is not in the program"]);

        let differences = tx.differences(&table, &others).await.unwrap();
        assert_eq!(
            differences,
            Differences { missing: vec!["kind".into(), "parent".into()], others: Vec::new() }
        );
        tx.add_columns(&table, &table.columns[2..].iter().collect::<Vec<_>>()).await.unwrap();
        assert_eq!(tx.differences(&table, &others).await.unwrap(), Differences::default());
        let gone = tx.differences(&before, &others).await.unwrap().others.join("; ");
        for part in [
            "column accounts.kind is not",
            "column accounts.parent is not",
            "constraint ees_kind_",
            "constraint ees_parent_",
        ] {
            assert!(gone.contains(part), "{gone}");
        }
        let orphan = "INSERT INTO accounts (account_id, \"order\", parent) VALUES ('b', 1, 'nobody')";
        let refusal = tx.connection().execute(orphan, []).unwrap_err();
        assert!(refusal.to_string().contains("FOREIGN KEY constraint failed"), "{refusal}");
        for wrong in ["kind = 'c'", "\"order\" = 7"] {
            let insert = "INSERT INTO accounts (account_id, \"order\", kind) VALUES ('a', 1, 'it''s')
                ON CONFLICT DO NOTHING";
            tx.connection().execute(insert, []).unwrap();
            let refusal = tx.connection().execute(&format!("UPDATE accounts SET {wrong}"), []).unwrap_err();
            assert!(refusal.to_string().contains("CHECK constraint failed"), "{refusal}");
        }
    }
}
