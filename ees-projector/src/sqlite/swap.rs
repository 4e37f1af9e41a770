//! Swaps a live read model and its standby, which are in two files.
//!
//! Readers know the main file. So the standby's tables are copied into it, in one transaction: readers find the
//! old tables or the new ones. The old tables were copied before into a new file, which becomes the standby with
//! the same commit.

use std::collections::HashSet;

use rusqlite::{Connection, ErrorCode, params};

use super::rows::quoted;
use super::tx::Mode;
use super::{Tx, additions, code, slots};
use crate::database::{Attachments, Transaction};
use crate::error::BoxError;
use crate::read_model_id::ReadModelId;

/// What a file has that is copied from it. `source` is the database that is read.
const SOURCE: &str = "source";
/// A second one: the old standby, while its audit is copied.
const FORMER: &str = "former";

/// The next attempt would copy everything again, and end in the same way.
const NO_ROOM: &str = "the disk has no room for the swap: it copies both read models";

/// An object of a read model.
struct Object {
    /// The name as in [`additions`].
    label: String,
    kind: String,
    name: String,
    sql: String,
}

impl Object {
    fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }
}

/// Swaps the tables and what is parked. The rows of the two are swapped already: the old live one's is in the file
/// of the standby.
pub(super) async fn exchange(tx: &mut Tx, live: &ReadModelId, standby: &ReadModelId) -> Result<(), BoxError> {
    match exchange_tables(tx, live, standby).await {
        Err(error) if code(&*error) == Some(ErrorCode::DiskFull) => Err(NO_ROOM.into()),
        exchanged => exchanged,
    }
}

async fn exchange_tables(tx: &mut Tx, live: &ReadModelId, standby: &ReadModelId) -> Result<(), BoxError> {
    let state = tx.load(standby).await?.ok_or("there is no standby")?;
    let built = slots::path(tx, standby)?.ok_or("there is no standby")?;
    let Before { old, new, known, own, made, attached } = before(tx, live, standby).await?;

    tx.delete_file(standby).await?;
    tx.create_file(standby, Mode::Swap).await?;
    tx.insert(standby, &state).await?;
    let main_file = tx.database.path.clone();
    let next = tx.of(standby).await?;
    slots::attach(next, &main_file, SOURCE)?;
    slots::attach(next, &built, FORMER)?;
    copy(next, &old, |object| own.contains(&object.label))?;
    move_parked(next, live.name(), standby.name())?;
    record(next, standby.key(), known.as_ref())?;
    next.execute(
        &format!(
            "INSERT INTO ees_audit (projection, at, action, reason, checkpoint, detail)
             SELECT projection, at, action, reason, checkpoint, detail FROM {FORMER}.ees_audit ORDER BY id"
        ),
        [],
    )?;

    let main = tx.of(live).await?;
    drop_all(main, &old, &own)?;
    slots::attach(main, &built, SOURCE)?;
    copy(main, &new, |_| true)?;
    move_parked(main, standby.name(), live.name())?;
    record(main, live.key(), made.as_ref())?;
    additions::add(main, &attached)?;
    Ok(())
}

/// What there is before a swap.
struct Before {
    old: Vec<Object>,
    new: Vec<Object>,
    /// What the old read model has made, if that was recorded.
    known: Option<HashSet<String>>,
    /// What goes from the main file.
    own: HashSet<String>,
    /// What the new one has made.
    made: Option<HashSet<String>>,
    /// What others added to the old tables.
    attached: Attachments,
}

async fn before(tx: &mut Tx, live: &ReadModelId, standby: &ReadModelId) -> Result<Before, BoxError> {
    let (main, of_standby) = tx.of_both(live, standby).await?;
    let (old, new) = (objects(main)?, objects(of_standby)?);
    let known = additions::own(main, live.key())?;
    // Not recorded by an earlier version of ees: what the new read model has made as well.
    let own = known.clone().unwrap_or_else(|| new.iter().map(|it| it.label.clone()).collect());
    check(&old, &new, &own)?;
    let made = additions::own(of_standby, standby.key())?;
    let attached = additions::of_tables(main, live.key())?;
    Ok(Before { old, new, known, own, made, attached })
}

/// Refuses what can't be copied, and what would get in the way of others.
fn check(old: &[Object], new: &[Object], own: &HashSet<String>) -> Result<(), BoxError> {
    let is_virtual = |object: &&Object| object.is("table") && is_virtual(&object.sql);
    let of_both = old.iter().filter(|object| own.contains(&object.label)).chain(new);
    if let Some(table) = of_both.into_iter().find(is_virtual) {
        return Err(format!(
            "the table \"{}\" is a virtual table, which can't be copied from file to file: rebuild in place",
            table.name
        )
        .into());
    }
    let stay = old.iter().filter(|object| object.is("table") || object.is("view"));
    let stay: HashSet<_> = stay.filter(|it| !own.contains(&it.label)).map(|it| it.name.as_str()).collect();
    match new.iter().find(|object| stay.contains(object.name.as_str())) {
        Some(taken) => Err(format!(
            "the file of the live read model has a table or view \"{}\" that the projection did not make in \
             create_tables: rename or drop it",
            taken.name
        )
        .into()),
        None => Ok(()),
    }
}

fn is_virtual(sql: &str) -> bool {
    sql.get(..14).is_some_and(|begin| begin.eq_ignore_ascii_case("CREATE VIRTUAL"))
}

/// The objects in a file that are not the framework's, in the order in which they were made.
fn objects(connection: &Connection) -> Result<Vec<Object>, BoxError> {
    let mut statement = connection.prepare(
        "SELECT CASE s.type WHEN 'trigger' THEN format('trigger %s of %s', s.name, coalesce(o.name, s.tbl_name))
            ELSE format('%s %s', s.type, s.name) END, s.type, s.name, s.sql
         FROM sqlite_schema s LEFT JOIN sqlite_schema o
            ON s.type = 'trigger' AND o.type IN ('table', 'view') AND o.name = s.tbl_name COLLATE NOCASE
         WHERE s.sql IS NOT NULL AND s.name NOT GLOB 'sqlite_*' AND s.name NOT GLOB 'ees_*' ORDER BY s.rowid",
    )?;
    let objects = statement.query_map([], |row| {
        Ok(Object { label: row.get(0)?, kind: row.get(1)?, name: row.get(2)?, sql: row.get(3)? })
    })?;
    Ok(objects.collect::<Result<_, _>>()?)
}

/// Drops what the projection made. Nobody's foreign keys are followed.
fn drop_all(main: &Connection, objects: &[Object], own: &HashSet<String>) -> Result<(), BoxError> {
    for kind in ["trigger", "view", "table"] {
        for object in objects.iter().filter(|object| object.is(kind) && own.contains(&object.label)) {
            main.execute_batch(&format!("DROP {kind} main.{}", quoted(&object.name)))?;
        }
    }
    Ok(())
}

/// Copies objects and rows of the source. The triggers come last, and run for none of the rows.
fn copy(to: &Connection, objects: &[Object], is_wanted: impl Fn(&Object) -> bool) -> Result<(), BoxError> {
    let of = |kind: &'static str| objects.iter().filter(move |object| object.is(kind));
    for object in of("table").chain(of("index")).filter(|object| is_wanted(object)) {
        to.execute_batch(&object.sql)?;
    }
    for table in of("table").filter(|object| is_wanted(object)) {
        copy_rows(to, &table.name)?;
    }
    for object in of("view").chain(of("trigger")).filter(|object| is_wanted(object)) {
        to.execute_batch(&object.sql)?;
    }
    Ok(())
}

fn copy_rows(to: &Connection, table: &str) -> Result<(), BoxError> {
    // A column that is computed is not copied.
    let columns = "SELECT name, hidden FROM pragma_table_xinfo(?1, ?2) ORDER BY cid";
    let mut columns = to.prepare(columns)?;
    let columns = columns.query_map([table, SOURCE], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let columns: Vec<(String, i64)> = columns.collect::<Result<_, _>>()?;
    let name = quoted(table);
    let rows = if columns.iter().all(|(_, hidden)| *hidden == 0) {
        // So SQLite copies rows as they are stored, if both tables are alike.
        format!("INSERT INTO main.{name} SELECT * FROM {SOURCE}.{name}")
    } else {
        let stored = columns.iter().filter(|(_, hidden)| *hidden == 0);
        let stored = stored.map(|(column, _)| quoted(column)).collect::<Vec<_>>().join(", ");
        format!("INSERT INTO main.{name} ({stored}) SELECT {stored} FROM {SOURCE}.{name}")
    };
    to.execute(&rows, [])?;
    let counts = format!("SELECT 1 FROM {SOURCE}.sqlite_schema WHERE name = 'sqlite_sequence'");
    let of_table = format!("FROM {SOURCE}.sqlite_sequence WHERE name = ?1");
    if to.prepare(&counts)?.exists([])? && to.prepare(&format!("SELECT 1 {of_table}"))?.exists([table])? {
        // The number that AUTOINCREMENT has come to, which may be of a row that is gone.
        to.execute("DELETE FROM main.sqlite_sequence WHERE name = ?1", [table])?;
        to.execute(&format!("INSERT INTO main.sqlite_sequence SELECT name, seq {of_table}"), [table])?;
    }
    Ok(())
}

/// Replaces what is parked in a read model by what is parked in one of the source.
fn move_parked(to: &Connection, from: &str, name: &str) -> Result<(), BoxError> {
    for (table, columns) in [
        ("ees_parked_streams", "stream_id, attempts, error, since, retry_at"),
        ("ees_parked_changesets", "stream_id, checkpoint, changeset_id"),
    ] {
        to.execute(&format!("DELETE FROM main.{table} WHERE projection = ?1"), [name])?;
        let copy = format!(
            "INSERT INTO main.{table} (projection, {columns}) SELECT ?2, {columns} FROM {SOURCE}.{table}
             WHERE projection = ?1"
        );
        to.execute(&copy, [from, name])?;
    }
    Ok(())
}

/// Records what the projection made.
fn record(to: &Connection, key: &str, own: Option<&HashSet<String>>) -> Result<(), BoxError> {
    let own = own.map(serde_json::to_string).transpose()?;
    to.execute("UPDATE main.ees_projections SET objects = ?2 WHERE name = ?1", params![key, own])?;
    Ok(())
}
