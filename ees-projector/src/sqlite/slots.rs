//! The files of the read models that are not live. A standby and a scratch read model have a file of their own,
//! beside the main one, so that the statements that build the live read model build them too.
//!
//! The main file says which file it is. So one commit of the main file makes a new file the standby.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use rusqlite::{Connection, OptionalExtension};
use tokio::sync::Mutex;

use super::{Database, Tx, beside, damage, schema};
use crate::error::BoxError;
use crate::read_model_id::{ReadModelId, Slot};

/// A read-only connection that sees the live read model and another one as of one moment.
pub(super) struct Snapshot {
    connection: Connection,
    attached: Option<ReadModelId>,
}

/// The name of the second database on the connection of a [`Snapshot`].
pub(super) const OTHER: &str = "other";

impl Snapshot {
    pub(super) fn open(database: &Database) -> Result<Self, BoxError> {
        let connection = schema::open_reader(&database.path)?;
        connection.execute_batch("BEGIN")?;
        Ok(Self { connection, attached: None })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The name that the database of a read model has on this connection. `None`: there is no such read model.
    pub(super) fn name_of(
        &mut self,
        database: &Database,
        model: &ReadModelId,
    ) -> Result<Option<&'static str>, BoxError> {
        if model.slot() == Slot::Live {
            return Ok(Some("main"));
        }
        if self.attached.as_ref() == Some(model) {
            return Ok(Some(OTHER));
        }
        let Some(path) = there(database, model, number(&self.connection, model)?) else { return Ok(None) };
        attach(&self.connection, &path, OTHER)?;
        self.attached = Some(model.clone());
        Ok(Some(OTHER))
    }
}

pub(super) fn attach(connection: &Connection, path: &Path, name: &str) -> Result<(), BoxError> {
    let path = path.to_str().ok_or("the path of the read-model file is not text in UTF-8")?;
    connection.execute(&format!("ATTACH ?1 AS {name}"), [path])?;
    Ok(())
}

/// Detaches all files that were attached.
pub(super) fn detach(connection: &Connection) -> rusqlite::Result<()> {
    let attached = "SELECT name FROM pragma_database_list WHERE name NOT IN ('main', 'temp')";
    let attached: Vec<String> =
        connection.prepare(attached)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for name in attached {
        connection.execute_batch(&format!("DETACH {name}"))?;
    }
    Ok(())
}

/// The file of a slot, if there is one.
pub(super) fn path(tx: &Tx, model: &ReadModelId) -> Result<Option<PathBuf>, BoxError> {
    let number = match tx.main() {
        Some(main) => number(main, model)?,
        None => tx.database.query({
            let model = model.clone();
            move |main| number(main, &model)
        })?,
    };
    Ok(there(&tx.database, model, number))
}

fn number(main: &Connection, model: &ReadModelId) -> rusqlite::Result<Option<u64>> {
    let number = "SELECT file FROM ees_slots WHERE name = ?1 AND is_there";
    main.prepare_cached(number)?.query_row([model.name()], |row| row.get(0)).optional()
}

fn there(database: &Database, model: &ReadModelId, number: Option<u64>) -> Option<PathBuf> {
    // Somebody may have deleted the file.
    number.map(|number| numbered(database, model, number)).filter(|path| path.exists())
}

fn numbered(database: &Database, model: &ReadModelId, number: u64) -> PathBuf {
    beside(&database.path, &format!(".{}-{number}", model.name()))
}

/// The file that a slot gets with this transaction. Deletes what a process that was killed has left behind: all
/// files of the slot but the one that is in use until this transaction is committed.
pub(super) fn next_path(tx: &Tx, model: &ReadModelId) -> Result<PathBuf, BoxError> {
    let main = tx.main().ok_or("the transaction is not on the main file")?;
    let next = "INSERT INTO ees_slots (name, file, is_there) VALUES (?1, 1, true)
        ON CONFLICT DO UPDATE SET file = file + 1, is_there = true RETURNING file";
    let next: u64 = main.prepare_cached(next)?.query_row([model.name()], |row| row.get(0))?;
    for number in leftovers(&tx.database, model) {
        let file = numbered(&tx.database, model, number);
        if tx.deleted(model) != Some(&*file) {
            remove(&tx.database, &file);
        }
    }
    Ok(numbered(&tx.database, model, next))
}

/// The numbers of all files of a slot.
fn leftovers(database: &Database, model: &ReadModelId) -> Vec<u64> {
    let first = numbered(database, model, 0);
    let folder = first.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = first.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix('0'));
    let (Ok(files), Some(name)) = (std::fs::read_dir(folder), name) else { return Vec::new() };
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    names.filter_map(|file| file.strip_prefix(name)?.parse().ok()).collect()
}

/// Notes that a slot has no file.
pub(super) fn forget(tx: &Tx, model: &ReadModelId) -> Result<(), BoxError> {
    let main = tx.main().ok_or("the transaction is not on the main file")?;
    main.execute("UPDATE ees_slots SET is_there = false WHERE name = ?1", [model.name()])?;
    Ok(())
}

pub(super) fn create(path: &Path) -> Result<Connection, BoxError> {
    Ok(schema::open(path)?)
}

/// An empty database.
pub(super) fn nowhere() -> Result<Connection, BoxError> {
    Ok(schema::open(Path::new(":memory:"))?)
}

/// The connection that writes to a file of a slot. All workers of the process share it.
pub(super) fn writer(database: &Database, path: &Path) -> Result<Arc<Mutex<Connection>>, BoxError> {
    let mut writers = database.slots.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(writer) = writers.get(path) {
        return Ok(writer.clone());
    }
    // Deleted through another connection.
    writers.retain(|path, _| path.exists());
    let writer = Arc::new(Mutex::new(schema::open(path)?));
    writers.insert(path.to_owned(), writer.clone());
    Ok(writer)
}

/// Deletes a file of a slot and what belongs to it. What can't be deleted now goes with the next one.
pub(super) fn remove(database: &Database, path: &Path) {
    database.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    if let Err(error) = damage::delete(path) {
        tracing::warn!(%error, file = %path.display(), "a file that is no longer needed can't be deleted");
    }
}
