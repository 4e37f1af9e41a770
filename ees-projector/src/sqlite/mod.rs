//! Read models in SQLite files.
//!
//! - [`Database`] is one file; give each projection its own, so that they don't wait for each other.
//! - [`Tx`] is its transaction, on which a [`Projection`](crate::Projection) runs its statements.
//! - `state` keeps the projections' rows; `parked` what is parked; `audit` what operators did; `effects` the ledgers of
//!   reactors; `rows` the tables of folds.

mod audit;
mod effects;
mod parked;
mod rows;
mod schema;
mod state;
mod tx;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as BlockingMutex, PoisonError};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{Mutex, Semaphore};

use crate::database;
use crate::error::BoxError;

/// The driver, for [`Tx::connection`] and [`Database::read`].
pub use rusqlite;
pub use state::checkpoint;
use tx::Lasts;
pub use tx::Tx;

/// A read-model database in one SQLite file. Clones share it.
///
/// One transaction writes at a time, also between processes; reads run beside it. The file is in WAL mode and synced
/// at checkpoints, not at every commit: after a loss of power the last batches may be gone, rows and checkpoint
/// together, and are applied again. What a reactor's ledger has is synced at every commit.
#[derive(Clone)]
pub struct Database {
    path: Arc<PathBuf>,
    /// Closed before the writer: SQLite folds the `-wal` file into the database when the last connection closes, if
    /// that one may write.
    readers: Arc<BlockingMutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
    writer: Arc<Mutex<Connection>>,
}

/// Queries at once.
const READERS_MAX: usize = 8;

/// A read-model file that can't be used. The message says why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {detail}")]
pub struct OpenError {
    path: String,
    detail: String,
    #[source]
    source: Option<BoxError>,
}

impl Database {
    /// Opens the file, and makes it if there is none.
    ///
    /// # Errors
    /// [`OpenError`] when the file can't be written, is no SQLite file, or is of a newer version of ees.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let writer = schema::open(&path)?;
        Ok(Self {
            path: Arc::new(path),
            writer: Arc::new(Mutex::new(writer)),
            readers: Arc::default(),
            turns: Arc::new(Semaphore::new(READERS_MAX)),
        })
    }

    /// Queries the read model, on a connection that only reads and a thread where that may take its time. It sees
    /// whole batches only.
    ///
    /// # Errors
    /// What the closure fails with, or the database.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, rusqlite::Error> {
        let (path, readers) = (self.path.clone(), self.readers.clone());
        let turn = self.turns.clone().acquire_owned().await;
        let work = move || {
            let _turn = turn;
            let kept = readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = kept.map_or_else(|| schema::open_reader(&path), Ok)?;
            let result = query(&connection);
            // One left inside a transaction would see an old state for ever.
            if result.is_ok() && connection.is_autocommit() {
                readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
            result
        };
        // A panic in the closure is the caller's; so is being cut off by the end of the runtime.
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(rusqlite::Error::InvalidQuery),
        })
    }
}

impl database::Database for Database {
    type Tx = Tx;

    async fn begin(&self) -> Result<Tx, BoxError> {
        Tx::begin(self.writer.clone().lock_owned().await, Lasts::Soon)
    }

    async fn begin_durable(&self) -> Result<Tx, BoxError> {
        Tx::begin(self.writer.clone().lock_owned().await, Lasts::AtOnce)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, BoxError> {
        let runtime = tokio::runtime::Handle::current();
        Ok(tokio::task::spawn_blocking(move || runtime.block_on(work)).await?)
    }

    fn is_transient(error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<rusqlite::Error>() {
                return error.sqlite_error_code().is_some_and(passes);
            }
            // An error type that is transparent for rusqlite's shows only what is below it.
            if let Some(error) = error.downcast_ref::<rusqlite::ffi::Error>() {
                return passes(error.code);
            }
            cause = error.source();
        }
        false
    }
}

fn passes(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::OutOfMemory
            | ErrorCode::PermissionDenied
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
    )
}
