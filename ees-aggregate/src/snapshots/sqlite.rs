//! Snapshots in a SQLite file.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ees_store::ChangesetId;
use rusqlite::{Connection, OptionalExtension, params};

use super::{BoxError, Key, Snapshot};

/// Snapshots in a SQLite file of their own. Clones share it, and several processes may.
///
/// ```no_run
/// # fn open() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let snapshots = ees_aggregate::snapshots::sqlite::Snapshots::open("data/snapshots.db")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Snapshots(Arc<Mutex<Connection>>);

/// The table's name says its version: one of another version is left alone, as nobody misses what is in it.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS snapshots_1 (
    log_id       TEXT NOT NULL,
    aggregate    TEXT NOT NULL,
    stream_id    TEXT NOT NULL,
    schema       TEXT NOT NULL,
    changeset_id INTEGER NOT NULL,
    seal         BLOB NOT NULL,
    state        TEXT NOT NULL,     -- JSON
    PRIMARY KEY (log_id, aggregate, stream_id)
) STRICT";

impl Snapshots {
    /// Opens the file, and creates it if it does not exist. Blocks briefly.
    ///
    /// # Errors
    /// When the file can't be written, or is not one of snapshots. You may delete it: it is only a cache.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BoxError> {
        let connection = Connection::open(path)?;
        // Less than what a load waits for it.
        connection.busy_timeout(Duration::from_secs(1))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // The last ones may be lost with the power, and are made again.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(TABLE)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Does something on a thread where that may take its time.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BoxError> {
        let connection = self.0.clone();
        let work = move || work(&connection.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(tokio::task::spawn_blocking(work).await??)
    }
}

#[async_trait]
impl super::Snapshots for Snapshots {
    async fn find(&self, key: &Key) -> Result<Option<Snapshot>, BoxError> {
        let key = key.clone();
        let find = move |connection: &Connection| {
            let sql = "SELECT schema, changeset_id, seal, state FROM snapshots_1
                       WHERE log_id = ?1 AND aggregate = ?2 AND stream_id = ?3";
            let of = params![key.log_id.to_string(), key.aggregate, key.stream_id.as_str()];
            let read = |row: &rusqlite::Row<'_>| {
                Ok(Snapshot {
                    schema: row.get(0)?,
                    changeset_id: ChangesetId::new(row.get(1)?),
                    seal: row.get(2)?,
                    state: row.get(3)?,
                })
            };
            connection.prepare_cached(sql)?.query_row(of, read).optional()
        };
        self.with(find).await
    }

    async fn keep(&self, key: &Key, snapshot: &Snapshot) -> Result<(), BoxError> {
        let (key, snapshot) = (key.clone(), snapshot.clone());
        let keep = move |connection: &Connection| {
            let sql = "INSERT OR REPLACE INTO snapshots_1
                       (log_id, aggregate, stream_id, schema, changeset_id, seal, state)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            connection.prepare_cached(sql)?.execute(params![
                key.log_id.to_string(),
                key.aggregate,
                key.stream_id.as_str(),
                snapshot.schema,
                snapshot.changeset_id.get(),
                snapshot.seal,
                snapshot.state,
            ])
        };
        self.with(keep).await.map(|_| ())
    }
}
