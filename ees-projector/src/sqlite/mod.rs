//! Read models in SQLite files.
//!
//! - [`Database`] is one file. Give each projection its own file, so that projections don't wait for each
//!   other.
//! - [`Tx`] is a transaction on it. A [`Projection`](crate::Projection) runs its statements there.
//! - The modules: `state` keeps the projections' rows, `parked` the parked streams, `audit` the audit,
//!   `effects` the ledgers of reactors, `rows` the tables of folds, `additions` makes again what others added
//!   to the tables, `slots` keeps the files of standbys, `swap` swaps them with live read models, `compare`
//!   and `row_differences` find differences, `copy` keeps copies in files beside, `claim` keeps a second process from a projection,
//!   `damage` sets a damaged file aside.

mod additions;
mod audit;
mod claim;
mod compare;
mod copy;
mod damage;
mod effects;
mod parked;
mod row_differences;
mod rows;
mod schema;
mod slots;
mod state;
mod swap;
mod timers;
mod tx;

use std::collections::HashMap;
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as BlockingMutex, PoisonError};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{Mutex, Semaphore};

use crate::database::{self, Claim, ClaimedElsewhere};
use crate::error::BoxError;
use crate::read_model_id::ReadModelId;

/// The SQLite driver, as [`Tx::connection`] and [`Database::read`] use it.
pub use rusqlite;
pub use state::checkpoint;
use tx::Mode;
pub use tx::Tx;

/// A read-model database in one SQLite file. Clones share it. Choose it when one process runs the
/// projections; for several processes, use PostgreSQL or DynamoDB.
///
/// One transaction writes at a time, also across processes. Reads run at the same time as a write. One
/// process runs a projection: in a second one, the projection waits 5 seconds for the first to end, and is
/// then [stopped](crate::State::Stopped) until it ends. Other projections of the file may run in other
/// processes.
///
/// The file is in WAL mode. SQLite syncs it at its checkpoints, not at every commit. After a power loss the
/// last batches may be missing: their rows and the projection's position together, so the worker applies them
/// again. Entries of a reactor's ledger are synced at every commit, and so are swaps.
///
/// A standby and the read model of a verification are in files of their own beside this one:
/// `FILE.NAME__standby-1`, `FILE.NAME__scratch-1`, with a new number each time.
#[derive(Clone)]
pub struct Database {
    path: Arc<PathBuf>,
    /// These close before the writer. SQLite merges the `-wal` file into the database when the last
    /// connection closes, if that connection may write.
    readers: Arc<BlockingMutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    writer: Arc<Mutex<Connection>>,
    /// The connections that write to the files of other slots.
    slots: Arc<BlockingMutex<HashMap<PathBuf, Arc<Mutex<Connection>>>>>,
}

/// The most queries that run at the same time.
const READERS_MAX: usize = 8;

/// A read-model file that can't be used. The message says why and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {detail}")]
pub struct OpenError {
    path: String,
    detail: String,
    #[source]
    source: Option<BoxError>,
}

impl OpenError {
    fn is_damage(&self) -> bool {
        self.source.as_deref().is_some_and(|source| damage::is_damage(source))
    }
}

impl Database {
    /// Opens the file. Creates it if it does not exist.
    ///
    /// # Errors
    /// Returns an [`OpenError`] when the file can't be written, is not a SQLite file, or was written by a
    /// newer version of ees.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let writer = schema::open(&path)?;
        Ok(Self::of(path, writer))
    }

    /// Opens the file like [`open`](Self::open). If it is damaged, or not a SQLite file, renames it to
    /// `NAME.damaged-SECONDS` (or `-2`, `-3`), warns in the log, and creates a new one: the projections in it are then rebuilt.
    ///
    /// Only for files with nothing but read models. The ledger of a reactor can't be made again.
    ///
    /// # Errors
    /// Returns an [`OpenError`] when the file can't be written or renamed, or was written by a newer version of
    /// ees.
    pub fn open_or_set_aside(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let writer = match schema::open(&path) {
            Err(error) if error.is_damage() => Self::replace(&path, error)?,
            opened => opened?,
        };
        Ok(Self::of(path, writer))
    }

    /// Sets the damaged file aside and creates a new one, unless another process has done so meanwhile.
    fn replace(path: &Path, found: OpenError) -> Result<Connection, OpenError> {
        let failed = |error: OpenError, failed: std::io::Error| OpenError {
            detail: format!("it is damaged ({}), and can't be renamed: {failed}", error.detail),
            ..error
        };
        let _lock = match damage::lock(path) {
            Ok(lock) => lock,
            Err(error) => return Err(failed(found, error)),
        };
        match schema::open(path) {
            Err(error) if error.is_damage() => {
                let aside = damage::set_aside(path).map_err(|e| failed(error, e))?;
                tracing::warn!(
                    file = %path.display(),
                    set_aside = %aside.display(),
                    "the read-model file is damaged: it was set aside, and its projections are rebuilt"
                );
                schema::open(path)
            }
            opened => opened,
        }
    }

    fn of(path: PathBuf, writer: Connection) -> Self {
        Self {
            // All links to a file lead to the same files beside it.
            path: Arc::new(path.canonicalize().unwrap_or(path)),
            writer: Arc::new(Mutex::new(writer)),
            readers: Arc::default(),
            permits: Arc::new(Semaphore::new(READERS_MAX)),
            slots: Arc::default(),
        }
    }

    /// Runs a query on the read model. The closure gets a read-only connection, and runs on a thread that may
    /// block. It sees complete batches only. At most 8 queries run at the same time; the others wait.
    ///
    /// # Errors
    /// The error of the closure, or of opening the file.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, rusqlite::Error> {
        let database = self.clone();
        let permit = self.permits.clone().acquire_owned().await;
        let work = move || {
            let _permit = permit;
            database.query(query)
        };
        // A panic in the closure goes to the caller. The other error means that the runtime is shutting down.
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(rusqlite::Error::InvalidQuery),
        })
    }

    /// The same on this thread, without a limit.
    fn query<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, rusqlite::Error> {
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = kept.map_or_else(|| schema::open_reader(&self.path), Ok)?;
        let result = query(&connection);
        // A connection that is still inside a transaction would see the same old state for ever.
        if result.is_ok() && connection.is_autocommit() {
            self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        result
    }
}

impl database::Database for Database {
    type Tx = Tx;

    const SIDE_BY_SIDE: bool = true;
    const PREVIEWS: bool = true;

    async fn begin(&self) -> Result<Tx, BoxError> {
        Tx::begin(self.clone(), None, Mode::Ordinary).await
    }

    async fn begin_durable(&self) -> Result<Tx, BoxError> {
        Tx::begin(self.clone(), None, Mode::Durable).await
    }

    async fn begin_in(&self, model: &ReadModelId) -> Result<Tx, BoxError> {
        Tx::begin(self.clone(), Some(model), Mode::Ordinary).await
    }

    async fn begin_swap(&self) -> Result<Tx, BoxError> {
        Tx::begin(self.clone(), None, Mode::Swap).await
    }

    const COPIES: bool = true;

    async fn copy_of(
        &self,
        model: &ReadModelId,
        name: &str,
        create: bool,
    ) -> Result<(Self, ReadModelId), BoxError> {
        let (path, model) = (copy::path_of(&self.path, name)?, model.clone());
        let id = model.clone();
        let opened = tokio::task::spawn_blocking(move || copy::open(path, id.projection(), create));
        Ok((opened.await??, model))
    }

    async fn remove_copy(self, _: &ReadModelId) -> Result<(), BoxError> {
        let path = self.path.clone();
        drop(self);
        tokio::task::spawn_blocking(move || copy::remove(&path)).await?
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, BoxError> {
        let runtime = tokio::runtime::Handle::current();
        Ok(tokio::task::spawn_blocking(move || runtime.block_on(work)).await?)
    }

    fn claim(&self, projection: &str) -> Result<Claim, ClaimedElsewhere> {
        claim::claim(&self.path, projection)
    }

    fn is_transient(error: &(dyn Error + 'static)) -> bool {
        code(error).is_some_and(passes)
    }
}

/// SQLite's code in an error or its causes.
fn code(error: &(dyn Error + 'static)) -> Option<ErrorCode> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rusqlite::Error>() {
            return error.sqlite_error_code();
        }
        // A `#[error(transparent)]` wrapper around a rusqlite error exposes only that error's source.
        if let Some(error) = error.downcast_ref::<rusqlite::ffi::Error>() {
            return Some(error.code);
        }
        cause = error.source();
    }
    None
}

/// The file of this name with an ending of its own.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
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
