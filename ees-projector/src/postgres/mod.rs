//! Read models in PostgreSQL.
//!
//! - [`Database`] is one database. Each projection has a schema of its own in it, named after the projection.
//! - [`Tx`] is a transaction on it. A [`Projection`](crate::Projection) runs its statements there.
//! - The modules: `state` keeps the projections' rows, in the schema `ees`; `lease` decides which worker
//!   runs; `parked` keeps the parked streams, `audit` the audit, `effects` the ledgers of reactors, `rows`
//!   the tables of folds; `schemas` swaps schemas, `attachments` carries over what administrators attached,
//!   `compare` finds differences.

mod array;
mod attachments;
mod audit;
mod bulk;
mod compare;
mod differences;
mod effects;
mod error;
mod lease;
mod parked;
mod queue;
mod row_differences;
mod rows;
mod schema;
mod schemas;
mod sql;
mod state;
mod timers;
mod tx;

use std::error::Error;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use ees_store::Connections;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Row};

use crate::database::{self, Transaction as _};
use crate::error::{BoxError, chain};
use crate::projection::is_projection_name;
use crate::read_model_id::ReadModelId;

/// The PostgreSQL driver, as [`Tx::connection`] and [`Database::pool`] use it.
pub use sqlx;
pub use state::checkpoint;
pub use tx::Tx;

pub(crate) use error::explained;
pub use error::is_missing_right;

/// Settings of a [`Database`].
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most connections that this process opens. Default: 10; at least 4 are used. A projection needs one
    /// for each step, and up to three while it is swapped or compared. When all are in use, steps wait for
    /// one.
    pub connections: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { connections: 10 }
    }
}

/// A lock that is not granted within 5 s is tried again. PostgreSQL ends a transaction that is idle for 10 s:
/// its worker is frozen, and another worker waits for the row.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";
/// The same through a proxy that gives each transaction another session. The driver names its statements even
/// when it does not keep them, and other clients may have left statements of the same names.
const BEGIN_POOLED: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; DEALLOCATE ALL; SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";
/// What a swap needs: one connection that holds the live read model, one that steps, one that compares, and
/// one that waits.
const CONNECTIONS_MIN: u32 = 4;
/// A connection that was idle for longer is checked before its use: the server may be gone.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// How long that check may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long a step waits for a free connection.
const TURN_MAX: Duration = Duration::from_secs(30);

/// A read-model database in PostgreSQL. Clones share its connections. Choose it when several processes run
/// the projections, for rebuilds side by side, and for partitions.
///
/// Each projection has a schema of its own, named after it, with its tables. Rows and position change in one
/// transaction. Several processes may have the same projections: a lease lets one of them run each projection
/// at a time, and another takes over within seconds when that one is gone.
///
/// It needs PostgreSQL 15 or later, and a user with the right to create schemas in the database.
///
/// ```no_run
/// use ees_projector::postgres::Database;
/// # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
/// let database = Database::connect("postgres://ada@localhost/bank").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Database {
    pool: PgPool,
    worker: Arc<str>,
    begin: &'static str,
}

/// A read-model database that can't be used. The message says why and what to do.
#[derive(Debug, thiserror::Error)]
#[error("the read-model database: {detail}")]
pub struct ConnectError {
    detail: String,
    #[source]
    source: Option<BoxError>,
}

impl ConnectError {
    fn new(detail: &str, source: Option<BoxError>) -> Self {
        Self { detail: detail.to_owned(), source }
    }
}

impl From<sqlx::Error> for ConnectError {
    fn from(error: sqlx::Error) -> Self {
        Self { detail: chain(&error), source: Some(error.into()) }
    }
}

impl Database {
    /// Connects. Creates the framework's tables, or migrates them to this version.
    ///
    /// The URL is `postgres://user:password@host:port/database`, with the usual parameters: `sslmode`,
    /// `sslrootcert`, `application_name`. Add `statement-cache-capacity=0` for a proxy that pools
    /// transactions, unless the proxy keeps prepared statements apart itself (pgbouncer from 1.21 on, with
    /// `max_prepared_statements`). Then run your own queries on [`pool`](Self::pool) in a transaction, with
    /// `persistent(false)`.
    ///
    /// # Errors
    /// Returns a [`ConnectError`] when the server can't be reached within 30 s, when other transactions keep the
    /// framework's tables from being migrated for as long, or when a newer version of ees has used the database.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::connect_with(url, Options::default()).await
    }

    /// Connects with other settings than the default.
    ///
    /// # Errors
    /// As for [`Database::connect`].
    pub async fn connect_with(url: &str, options: Options) -> Result<Self, ConnectError> {
        let server: PgConnectOptions = url.parse()?;
        let name = server.get_application_name().unwrap_or("ees-projector").to_owned();
        let server = server.application_name(&name).disable_statement_logging();
        let late = |_| Err(sqlx::Error::Io(ErrorKind::TimedOut.into()));
        let mut connection = tokio::time::timeout(TURN_MAX, server.connect()).await.unwrap_or_else(late)?;
        let is_pooled = url.contains("statement-cache-capacity=0");
        let begin = if is_pooled { BEGIN_POOLED } else { BEGIN };
        schema::prepare(&mut connection, begin).await?;
        let pool = PgPoolOptions::new()
            .max_connections(options.connections.max(CONNECTIONS_MIN))
            .acquire_timeout(TURN_MAX)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move { Ok(meta.idle_for < IDLE_MAX || answers(connection).await) })
            })
            .after_release(|connection, _| Box::pin(async move { Ok(is_idle(connection).await) }))
            .connect_lazy_with(server);
        Ok(Self { pool, worker: worker_id().into(), begin })
    }

    /// The connections, for your own queries. Qualify table names with the schema: `SELECT ... FROM
    /// balances.balances`.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

/// Whether the connection works and is in no transaction, so that others can have it. A caller that is cancelled
/// while it begins one leaves it open, and the driver does not know of it: in the next hands it would refuse to
/// begin, or be read-only.
async fn is_idle(connection: &mut PgConnection) -> bool {
    // Within a transaction its time is that of an earlier statement, or no statement is answered at all.
    let is_alone = sqlx::raw_sql("SELECT transaction_timestamp() = statement_timestamp()");
    let answer = tokio::time::timeout(ANSWER_MAX, is_alone.fetch_one(connection)).await;
    answer.is_ok_and(|row| row.and_then(|row| row.try_get(0)).unwrap_or(false))
}

/// Whether the connection still works. Its last query may have been abandoned; the driver alone would wait
/// for that answer for as long as the system keeps a dead connection.
async fn answers(connection: &mut PgConnection) -> bool {
    tokio::time::timeout(ANSWER_MAX, connection.ping()).await.is_ok_and(|answer| answer.is_ok())
}

/// A unique id that says where the worker runs: host, process id, random part.
fn worker_id() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "host" } else { host.trim() };
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{host}:{}:{}", std::process::id(), &random[..8])
}

impl database::Database for Database {
    type Tx = Tx;

    const SIDE_BY_SIDE: bool = true;
    const PREVIEWS: bool = true;
    const PARTITIONS: bool = true;

    const COPIES: bool = true;

    async fn copy_of(&self, _: &ReadModelId, name: &str, _: bool) -> Result<(Self, ReadModelId), BoxError> {
        if is_projection_name(name) {
            return Ok((self.clone(), ReadModelId::live(name)));
        }
        Err(format!(
            "\"{name}\" can't be the schema of a copy: use lower-case letters, digits and _, at most 48, starting with \
             a letter, and no name that PostgreSQL or a read model has"
        )
        .into())
    }

    async fn remove_copy(self, copy: &ReadModelId) -> Result<(), BoxError> {
        let mut tx = self.begin().await?;
        tx.discard(copy).await?;
        tx.commit().await
    }

    async fn begin(&self) -> Result<Tx, BoxError> {
        Ok(Tx::new(self.pool.begin_with(self.begin).await?, self.worker.clone()))
    }

    fn connections(&self) -> Option<Connections> {
        let (all, idle) = (self.pool.size() as usize, self.pool.num_idle());
        Some(Connections { busy: all.saturating_sub(idle), idle })
    }

    fn is_transient(error: &(dyn Error + 'static)) -> bool {
        error::passes(error)
    }
}
