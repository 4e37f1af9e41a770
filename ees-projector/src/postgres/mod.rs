//! Read models in PostgreSQL.
//!
//! - [`Database`] is where they are: each in a schema of its own, named after its projection.
//! - [`Tx`] is its transaction, on which a [`Projection`](crate::Projection) runs its statements.
//! - `state` keeps the projections' rows, in the schema `ees`; `parked` what is parked; `audit` what operators did; `effects`
//!   the ledgers of reactors; `rows` the tables of folds.

mod audit;
mod bulk;
mod compare;
mod effects;
mod error;
mod lease;
mod parked;
mod queue;
mod rows;
mod schema;
mod schemas;
mod sql;
mod state;
mod tx;

use std::error::Error;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use crate::database;
use crate::error::BoxError;

/// The driver, for [`Tx::connection`] and [`Database::pool`].
pub use sqlx;
pub use state::checkpoint;
pub use tx::Tx;

/// Settings of a [`Database`].
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most connections this process opens; 10 unless set, and at least 4. A projection takes one for each step,
    /// and up to three while it is swapped or compared; with fewer than that, they take turns.
    pub connections: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { connections: 10 }
    }
}

/// A lock that is not given in time is tried for again. A transaction in which nothing happens for so long is ended: its
/// worker is frozen, and another one waits for its row.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";
/// The same through a proxy that gives each transaction another session. The driver names its statements even when it
/// does not keep them, and other clients have left statements of the same names.
const BEGIN_POOLED: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; DEALLOCATE ALL; SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";
/// What a swap takes: one that holds the live read model, one that steps, one that compares, one that waits.
const CONNECTIONS_MIN: u32 = 4;
/// A connection that was idle for so long may have gone with its server.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// How long such a connection may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long a step waits for one of the connections.
const TURN_MAX: Duration = Duration::from_secs(30);

/// A read-model database in PostgreSQL. Clones share its connections.
///
/// Each projection has a schema of its own, named after it, in which its tables lie; rows and checkpoint change in one
/// transaction. Several processes may run the same projections: each is at work in one of them at a time, by a lease
/// that another takes over within seconds.
///
/// PostgreSQL 15 or later. The user needs the right to create schemas in the database.
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

/// A read-model database that can't be used. The message says why, and what to do.
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
        Self { detail: error.to_string(), source: Some(error.into()) }
    }
}

impl Database {
    /// Connects, and makes the framework's tables if there are none.
    ///
    /// The URL is `postgres://user:password@host:port/database`, with the usual parameters: `sslmode`, `sslrootcert`,
    /// `application_name`. Through a proxy that pools transactions, add `statement-cache-capacity=0`, unless it keeps
    /// prepared statements apart itself (pgbouncer from 1.21 on, with `max_prepared_statements`). Queries of your own on
    /// [`pool`](Self::pool) then belong into a transaction, with `persistent(false)`.
    ///
    /// # Errors
    /// [`ConnectError`] when the server can't be reached, or the database is of a newer version of ees.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::connect_with(url, Options::default()).await
    }

    /// Connects with settings of your own.
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
            .after_release(|connection, _| Box::pin(async move { Ok(answers(connection).await) }))
            .connect_lazy_with(server);
        Ok(Self { pool, worker: worker_id().into(), begin })
    }

    /// The connections, for queries of your own. Name the schema: `SELECT ... FROM balances.balances`.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

/// Whether anybody is at the other end. Whoever was asked before may have been given up on: the driver alone would wait
/// for that answer for as long as the system keeps a connection that leads nowhere.
async fn answers(connection: &mut PgConnection) -> bool {
    tokio::time::timeout(ANSWER_MAX, connection.ping()).await.is_ok_and(|answer| answer.is_ok())
}

/// Says where a worker is, and is unlike any other's.
fn worker_id() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "host" } else { host.trim() };
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{host}:{}:{}", std::process::id(), &random[..8])
}

impl database::Database for Database {
    type Tx = Tx;

    const SIDE_BY_SIDE: bool = true;
    const PARTITIONS: bool = true;

    async fn begin(&self) -> Result<Tx, BoxError> {
        Ok(Tx::new(self.pool.begin_with(self.begin).await?, self.worker.clone()))
    }

    fn is_transient(error: &(dyn Error + 'static)) -> bool {
        error::passes(error)
    }
}
