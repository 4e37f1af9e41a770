//! The framework's tables in a read-model file, and their migrations.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};

use super::{OpenError, damage};

/// One migration for each version. A released migration never changes.
const STEPS: &[M<'_>] = &[
    M::up(PROJECTIONS),
    M::up(EFFECTS),
    M::up(SKIPS),
    M::up(OBJECTS),
    M::up(SLOTS),
    M::up(TIMERS),
    M::up(FINGERPRINTS),
    M::up(SEGMENTS),
];
const MIGRATIONS: Migrations<'_> = Migrations::from_slice(STEPS);

const PROJECTIONS: &str = "CREATE TABLE ees_projections (
        name              TEXT PRIMARY KEY,
        version           INTEGER NOT NULL,
        checkpoint        INTEGER NOT NULL,  -- the one it reads next
        epoch             INTEGER NOT NULL,
        log_id            TEXT,
        last_checkpoint   INTEGER,           -- the changeset applied last
        last_stream_id    TEXT,
        last_changeset_id INTEGER,
        last_timestamp    INTEGER,           -- microseconds since 1970, UTC
        rebuild_until     INTEGER,
        pause             TEXT               -- JSON
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ees_parked_streams (
        projection TEXT NOT NULL,
        stream_id  TEXT NOT NULL,
        attempts   INTEGER NOT NULL,
        error      TEXT NOT NULL,
        since      INTEGER NOT NULL,         -- microseconds since 1970, UTC
        retry_at   INTEGER NOT NULL,
        PRIMARY KEY (projection, stream_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ees_parked_changesets (
        projection   TEXT NOT NULL,
        stream_id    TEXT NOT NULL,
        checkpoint   INTEGER NOT NULL,
        changeset_id INTEGER NOT NULL,
        PRIMARY KEY (projection, stream_id, checkpoint)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ees_audit (
        id         INTEGER PRIMARY KEY,
        projection TEXT NOT NULL,
        at         INTEGER NOT NULL,
        action     TEXT NOT NULL,
        reason     TEXT NOT NULL,
        checkpoint INTEGER NOT NULL,
        detail     TEXT NOT NULL
    ) STRICT;";

const EFFECTS: &str = "CREATE TABLE ees_effects (
        reactor      TEXT NOT NULL,
        stream_id    TEXT NOT NULL,
        changeset_id INTEGER NOT NULL,
        event_id     INTEGER NOT NULL,
        effect       TEXT NOT NULL,
        state        TEXT NOT NULL,          -- started, done, failed, parked, discarded
        attempts     INTEGER NOT NULL,
        since        INTEGER NOT NULL,       -- microseconds since 1970, UTC
        began_at     INTEGER NOT NULL,
        ended_at     INTEGER,
        error        TEXT,
        result       TEXT,                   -- JSON
        PRIMARY KEY (reactor, stream_id, changeset_id, event_id, effect)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX ees_effects_by_time ON ees_effects (reactor, began_at);";

/// The changesets that operators skipped, as JSON.
const SKIPS: &str = "ALTER TABLE ees_projections ADD COLUMN skips TEXT;";

/// What `create_tables` has made, as a JSON array of kinds and names. NULL: an earlier version of ees made
/// the tables.
const OBJECTS: &str = "ALTER TABLE ees_projections ADD COLUMN objects TEXT;";

/// The plan of a standby, as JSON. The files of the standbys and of the scratch read models: the numbers that
/// their names end in, of which none is used twice.
const SLOTS: &str = "ALTER TABLE ees_projections ADD COLUMN standby TEXT;
    CREATE TABLE ees_slots (
        name     TEXT PRIMARY KEY,
        file     INTEGER NOT NULL,
        is_there INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;";

const TIMERS: &str = "CREATE TABLE ees_timers (
        reactor      TEXT NOT NULL,
        stream_id    TEXT NOT NULL,
        key          TEXT NOT NULL,
        id           TEXT NOT NULL,
        due          INTEGER NOT NULL,       -- microseconds since 1970, UTC
        payload      TEXT NOT NULL,          -- JSON
        changeset_id INTEGER NOT NULL,
        event_id     INTEGER NOT NULL,
        set_at       INTEGER NOT NULL,
        attempts     INTEGER NOT NULL,
        next_at      INTEGER NOT NULL,
        error        TEXT,
        PRIMARY KEY (reactor, stream_id, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX ees_timers_by_time ON ees_timers (reactor, next_at, stream_id, key);";

/// The fingerprint of the rows, as 32 hexadecimal digits. NULL: the projection keeps none.
const FINGERPRINTS: &str = "ALTER TABLE ees_projections ADD COLUMN fingerprint TEXT;";

/// How far a rebuild by segments has come, as JSON. NULL: the log is read in its order.
const SEGMENTS: &str = "ALTER TABLE ees_projections ADD COLUMN segment TEXT;";

/// What the connection of a projection keeps of the file in memory, at most: the pages that a batch changes fit, so that SQLite
/// neither writes them to the file before the commit nor reads them again.
const CACHE_KIB: i64 = 16 * 1024;

pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    let failed = |e: rusqlite::Error| match damage::is_damage(&e) {
        true => {
            let what = "delete it to rebuild the projections in it. The ledger of a reactor can't be rebuilt";
            refuse(path, format!("the file is damaged: {e}. Restore it from a backup, or {what}"), e)
        }
        false => refuse(path, e.to_string(), e),
    };
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(failed)?;
    MIGRATIONS.to_latest(&mut connection).map_err(|e| migration_error(path, e))?;
    damage::look_into(&connection).map_err(failed)?;
    Ok(connection)
}

pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    Ok(connection)
}

fn migration_error(path: &Path, error: rusqlite_migration::Error) -> OpenError {
    use rusqlite_migration::{Error, MigrationDefinitionError};
    let detail = match &error {
        Error::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead) => {
            "a newer version of ees has written the file: use that version, or delete the file to rebuild it"
                .to_owned()
        }
        other => other.to_string(),
    };
    refuse(path, detail, error)
}

fn refuse(path: &Path, detail: String, source: impl Into<crate::BoxError>) -> OpenError {
    OpenError { path: path.display().to_string(), detail, source: Some(source.into()) }
}
