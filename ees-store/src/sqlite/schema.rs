//! What the file holds, by version.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};
use uuid::Uuid;

use super::error::{Failure, at_path};
use super::options::{Durability, Options};
use crate::{Checkpoint, Error, LogId, Result};

/// `eesl`: tells an ees log from any other SQLite file.
const APPLICATION_ID: i32 = 0x6565_736c;

/// One step a version; a step that was released never changes.
const STEPS: &[M<'_>] = &[
    M::up(LOG),
    M::up("ALTER TABLE changesets ADD COLUMN checksum INTEGER"),
    // The header `traceparent`, and after a space `tracestate`.
    M::up("ALTER TABLE changesets ADD COLUMN trace_context TEXT"),
];

const LOG: &str = "
    CREATE TABLE changesets (
        checkpoint     INTEGER PRIMARY KEY,
        stream_id      TEXT NOT NULL,
        changeset_id   INTEGER NOT NULL,
        first_event_id INTEGER NOT NULL,
        event_count    INTEGER NOT NULL,
        timestamp      INTEGER NOT NULL,  -- microseconds since 1970, UTC
        stream_type    TEXT,
        events         TEXT NOT NULL,     -- JSON text, verbatim
        metadata       TEXT NOT NULL,
        UNIQUE (stream_id, changeset_id)
    ) STRICT;
    CREATE TABLE idempotency_keys (
        checkpoint INTEGER PRIMARY KEY,
        key_digest BLOB NOT NULL UNIQUE,  -- SHA-256 of stream and key
        stored_at  INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE typed_streams (
        stream_type  TEXT NOT NULL,
        updated_at   INTEGER NOT NULL,    -- the time of its last changeset
        stream_id    TEXT NOT NULL,
        changeset_id INTEGER NOT NULL,    -- the last one, and its last event
        event_id     INTEGER NOT NULL,
        PRIMARY KEY (stream_type, updated_at, stream_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE log (log_id TEXT NOT NULL) STRICT;";
const MIGRATIONS: Migrations<'_> = Migrations::from_slice(STEPS);

/// What the writing connection keeps of the file in memory, at most.
const CACHE_KIB: i64 = 32 * 1024;

/// Opens the writing connection and brings the file to this version.
pub(super) fn open(path: &Path, options: Options) -> Result<Connection> {
    let mut connection = Connection::open(path).map_err(|e| at_path(path, e))?;
    prepare(&mut connection, path, options)?;
    Ok(connection)
}

fn prepare(connection: &mut Connection, path: &Path, options: Options) -> Result<()> {
    let failed = |e| at_path(path, e);
    connection.busy_timeout(options.patience).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(32);
    let new = is_new(connection, path)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    let synchronous = match options.durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous).map_err(failed)?;
    // Checkpoints every 40 MB instead of every 4: they stall the writer, and cost the less the more pages
    // repeat.
    connection.pragma_update(None, "wal_autocheckpoint", 10_000).map_err(failed)?;
    // A group of a thousand commits changes some 10 MB of pages. With the 2 MB that are the default, SQLite writes them to the
    // file before the commit, and reads them again.
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(failed)?;
    if new {
        mark(connection).map_err(failed)?;
    }
    // What is up to date is not written to: a log on a full disk opens too.
    if !is_current(connection).map_err(failed)? {
        MIGRATIONS.to_latest(connection).map_err(|e| migration_error(path, e))?;
    }
    let name = "INSERT INTO log (log_id) SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM log)";
    connection.execute(name, [Uuid::new_v4().to_string()]).map_err(failed)?;
    Ok(())
}

/// Marks the file as a log. Unlike an UPDATE it writes a page also when that is so already.
pub(super) fn mark(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "application_id", APPLICATION_ID)
}

/// Whether there is nothing in the file yet; fails when it is not ours.
fn is_new(connection: &Connection, path: &Path) -> Result<bool> {
    let failed = |e| at_path(path, e);
    let application_id: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    let new = application_id == 0 && tables == 0;
    if !new && application_id != APPLICATION_ID {
        let detail = "a SQLite file, but not an ees log".to_owned();
        return Err(Error::Damaged { path: path.to_owned(), detail });
    }
    Ok(new)
}

fn is_current(connection: &Connection) -> rusqlite::Result<bool> {
    let version: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version == STEPS.len())
}

fn migration_error(path: &Path, error: rusqlite_migration::Error) -> Error {
    use rusqlite_migration::{Error as Migration, MigrationDefinitionError};
    match error {
        Migration::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead) => {
            Error::NewerVersion { path: path.to_owned() }
        }
        Migration::RusqliteError { err, .. } => at_path(path, err),
        other => Error::Storage { detail: format!("preparing {}", path.display()), source: Box::new(other) },
    }
}

/// Opens a connection that only reads. The file must have been opened for writing before.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| at_path(path, e))?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(|e| at_path(path, e))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Opens the only connection, which takes no room on the disk: what SQLite else shares through a file it keeps
/// in memory. It is for reading a log of this version.
pub(super) fn open_alone(path: &Path) -> Result<Connection> {
    let failed = |e| at_path(path, e);
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(Duration::ZERO).map_err(failed)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(32);
    if is_new(&connection, path)? || !is_current(&connection).map_err(failed)? {
        let why = format!("{}: it has to be brought to this version first", path.display());
        return Err(Error::Unavailable(why));
    }
    Ok(connection)
}

pub(super) fn log_id(connection: &Connection, path: &Path) -> Result<LogId> {
    let text: String =
        connection.query_row("SELECT log_id FROM log", [], |row| row.get(0)).map_err(|e| at_path(path, e))?;
    let id = Uuid::parse_str(&text).map_err(|_| Error::Damaged {
        path: path.to_owned(),
        detail: "its log id is not a UUID".to_owned(),
    })?;
    Ok(LogId(id))
}

/// The checkpoint after the newest changeset.
pub(super) fn head(connection: &Connection) -> Result<Checkpoint, Failure> {
    let mut statement = connection.prepare_cached("SELECT max(checkpoint) FROM changesets")?;
    let last: Option<u64> = statement.query_row([], |row| row.get(0))?;
    Ok(last.map_or(Checkpoint::START, |last| Checkpoint::new(last).next()))
}
