//! The store in PostgreSQL: several processes on one log, group commit, and a global order without gaps.
//!
//! - [`Store`] connects and implements both traits; [`Options`] are its settings.
//! - `writer` is the only task that appends: concurrent commits share a transaction and an fsync. `batch`
//!   says which of them can, `append` calls the database.
//! - `reader` reads rows (`row`), on the connections of `readers`, long pages by `copy`; `by_type` lists the streams of a
//!   type; `head` knows where the log ends, `follow` listens for what others append.
//! - `server` knows where to connect, and what differs behind a proxy.
//! - `schema` defines what the database holds, by version; `keys` deletes old idempotency keys, [`check_keys`]
//!   checks them. [`add_checksums`] adds checksums to old changesets.
//!
//! How the global order comes about: every batch is one call of a function in the database, which locks the
//! counter first, then reads the streams' tails, then appends. So checkpoints follow the order of the commits
//! over all processes, no process waits for two locks, and a frozen process holds none.

mod append;
mod batch;
mod by_type;
mod check;
mod copy;
mod error;
mod follow;
mod head;
mod keys;
#[cfg(test)]
mod models;
mod options;
mod reader;
mod readers;
mod row;
mod schema;
mod server;
mod sql;
mod verdict;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;

use crate::spans::{self, Span};
use crate::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, Error, EventStore, LogHead, LogPage, LogQuery,
    Result, StoreFigures, StreamId, StreamPage, StreamQuery, Tail, TypePage, TypeQuery,
};

pub use check::{add_checksums, check_keys};
pub use options::Options;

use error::failed;
use head::Head;
use readers::Readers;
use server::Server;
use writer::Writer;

/// What OpenTelemetry calls this database.
const SYSTEM: &str = "postgresql";

/// An event store in a PostgreSQL database, in the schema `ees_store`. PostgreSQL 15 or later, encoding UTF8.
///
/// Choose it for several machines, or if you run PostgreSQL already; on a single machine
/// `sqlite` is simpler. Any number of processes may write to one log concurrently. Events
/// and metadata are stored as text, verbatim.
///
/// # Guarantees
/// - An acknowledged commit is on the server's disk, even if the server's `synchronous_commit` is `off`; any
///   other setting applies, and so do synchronous replicas.
/// - Checkpoints follow the order of the commits, without gaps, over all processes: a reader that has read up
///   to a checkpoint has missed nothing before it.
/// - A process that freezes or dies does not block others: a batch is one call, and no transaction is open
///   between two calls.
///
/// # When the server is unavailable
/// The store reconnects by itself. Calls wait through a restart, a read-only phase during a failover, a lock,
/// or a lack of connections, for [`Options::patience`] or a few seconds longer; then they fail with
/// [`Error::Unavailable`]. Reads beyond [`Options::readers`] queue; one that waits longer than the patience
/// fails with [`Error::Overloaded`].
///
/// If the connection is lost in the middle of a commit with an idempotency key, the store retries the commit,
/// and so finds out whether it was stored. Without a key, the commit fails with [`Error::Unavailable`], and
/// it is unknown whether it was stored.
///
/// After a restart or a failover the log has a new [incarnation](LogHead::incarnation), because the server
/// may hold an older state. The same happens when changesets are missing, as after restoring a backup under a
/// running store.
///
/// # Connections
/// At most [`Options::readers`] and three more: one writes, one listens, and one notifies.
///
/// Through a proxy that pools transactions (pgbouncer, which needs
/// `ignore_startup_parameters = extra_float_digits`), add `statement-cache-capacity=0` to the URL. Then every
/// call is a transaction of several round trips: commits are slower, and a process that freezes in one blocks
/// the others for up to two seconds. Listening does not work: readers that wait for changesets poll twice a
/// second.
///
/// For TLS, enable the feature `tls` and add `sslmode=verify-full` to the URL, and `sslrootcert=PATH` for
/// your own certificate authority.
///
/// # Grants
/// The role that opens the first store needs `CREATE` on the database. Afterwards a role with fewer rights is
/// enough:
///
/// ```sql
/// GRANT USAGE ON SCHEMA ees_store TO clerk;
/// GRANT SELECT ON ees_store.migrations TO clerk;
/// GRANT SELECT, UPDATE ON ees_store.log TO clerk;
/// GRANT SELECT, INSERT ON ees_store.changesets TO clerk;
/// GRANT SELECT, INSERT, DELETE ON ees_store.typed_streams TO clerk;
/// GRANT SELECT, INSERT, UPDATE, DELETE ON ees_store.idempotency_keys TO clerk;
/// ```
///
/// A new version of this crate may change the schema: then open a store once as the schema's owner.
///
/// # Example
/// ```no_run
/// use ees_store::{Commit, EventStore, Events, Expectation, postgres};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = postgres::Store::connect("postgres://ada@localhost/bank").await?;
/// let opened = Events::parse(r#"[{"type": "opened"}]"#)?;
/// store.commit(Commit::new("account/42".parse()?, Expectation::NewStream, opened)).await?;
/// # Ok(())
/// # }
/// ```
pub struct Store {
    writer: Writer,
    readers: Arc<Readers>,
    head: Arc<Head>,
    limit_bytes: usize,
    /// Stop when it is dropped.
    _helpers: JoinSet<()>,
}

impl Store {
    /// Connects to a database, and creates the log if it does not exist.
    ///
    /// The URL is `postgres://user:password@host:port/database`, with the usual parameters: `sslmode`,
    /// `sslrootcert`, `application_name`.
    ///
    /// # Errors
    /// - [`Error::InvalidRequest`] for a URL that can't be read.
    /// - [`Error::Unavailable`] when the server can't be reached, or accepts no connections: retry.
    /// - [`Error::NewerVersion`] for a log of a newer version of this crate.
    /// - [`Error::Damaged`] for a database whose encoding is not UTF8.
    /// - [`Error::Storage`] for what an administrator has to fix: a missing database, a wrong password, a
    ///   missing right, an untrusted certificate.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::connect_with(url, Options::default()).await
    }

    /// Connects to a database with your own settings.
    ///
    /// # Errors
    /// As for [`Store::connect`].
    pub async fn connect_with(url: &str, options: Options) -> Result<Self> {
        let server = Server::at(url).map_err(|error| unread(&error))?;
        let mut connection = server.connect().await.map_err(failed)?;
        let mut tx = server::begin(&mut connection, server.pooled).await.map_err(failed)?;
        schema::prepare(&mut tx).await?;
        let log_id = schema::log_id(&mut tx).await?;
        let head = Arc::new(Head::of(&mut tx, log_id).await.map_err(failed)?);
        tx.commit().await.map_err(failed)?;
        let readers = Readers::new(&server, options, &head);
        let mut helpers = JoinSet::new();
        helpers.spawn(follow::poll(head.clone(), readers.clone()));
        // Behind a proxy, who listens is forgotten with the transaction.
        if !server.pooled {
            helpers.spawn(follow::listen(head.clone(), readers.clone(), server.options.clone()));
            helpers.spawn(follow::tell(head.clone(), server.options.clone()));
        }
        helpers.spawn(keys::sweep(readers.clone(), options.keep_keys));
        let writer = Writer::start(server, connection, head.clone(), options);
        Ok(Self { writer, readers, head, limit_bytes: options.limit_bytes, _helpers: helpers })
    }
}

fn unread(error: &sqlx::Error) -> Error {
    Error::InvalidRequest(format!("the URL of the database: {error}"))
}

#[async_trait]
impl EventStore for Store {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        spans::commit(commit, SYSTEM, async |commit, span| {
            self.writer.submit(commit, span, false).await?.verdict().await
        })
        .await
    }

    async fn commit_in_order(&self, commits: Vec<Commit>) -> Vec<Result<Committed>> {
        let mut pending = Vec::with_capacity(commits.len());
        for commit in commits {
            pending.push(self.writer.submit(commit, Span::default(), true).await);
        }
        let mut verdicts = Vec::with_capacity(pending.len());
        for submitted in pending {
            verdicts.push(match submitted {
                Ok(submitted) => submitted.verdict().await,
                Err(error) => Err(error),
            });
        }
        verdicts
    }

    fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    fn figures(&self) -> Option<StoreFigures> {
        let connections = Some(self.readers.connections());
        Some(StoreFigures { connections, ..StoreFigures::of_writer(self.writer.figures()) })
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        reader::stream(&self.readers, query).await
    }

    async fn tail(&self, stream_id: &StreamId) -> Result<Tail> {
        reader::tail(&self.readers, stream_id).await
    }

    async fn read_type(&self, query: TypeQuery) -> Result<TypePage> {
        by_type::page(&self.readers, &query).await
    }
}

#[async_trait]
impl ChangesetLog for Store {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        let page = reader::log(&self.readers, &self.head, &query).await?;
        if page.next > query.from || query.wait.is_zero() {
            return Ok(page);
        }
        if let Ok(arrived) = tokio::time::timeout(query.wait, self.head.wait_past(query.from)).await {
            arrived?;
        }
        // Also when nothing arrived: others may have seen more by now than the page from before the wait.
        reader::log(&self.readers, &self.head, &query).await
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        reader::locate(&self.readers, stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        reader::head(&self.readers, &self.head).await
    }
}
