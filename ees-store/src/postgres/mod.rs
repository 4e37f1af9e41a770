//! The store in PostgreSQL: several processes on one log, group commit, an order without holes.
//!
//! - [`Store`] connects and is both traits; [`Options`] are its settings.
//! - `writer` is the one task that appends: commits that wait at the same time share a transaction and an fsync.
//!   `batch` says which of them can, `append` calls the database.
//! - `reader` reads, on the connections of `readers`, long pages by `copy`; `by_type`
//!   lists the streams of a type; `head` knows where the log ends, and hears of what others append.
//! - `server` is where to connect to, and what changes behind a proxy.
//! - `schema` is what the database holds, by version; `keys` forgets old idempotency keys.
//!
//! How the order comes about: every batch is one call of a function in the database, which takes the lock on the
//! counter first, then looks at the streams' tails, then appends. So checkpoints follow one another in the order of
//! the commits, also over several processes, nobody waits for two locks, and a process that freezes holds none.

mod append;
mod batch;
mod by_type;
mod copy;
mod error;
mod head;
mod keys;
mod reader;
mod readers;
mod schema;
mod server;
mod sql;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;

use crate::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, Error, EventStore, LogHead, LogPage, LogQuery,
    Result, StreamId, StreamPage, StreamQuery, Tail, TypePage, TypeQuery,
};

use error::failed;
use head::Head;
use readers::Readers;
use server::Server;
use writer::Writer;

/// Settings of a [`Store`].
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most bytes of events and metadata in one changeset; 1 MiB unless set.
    pub limit_bytes: usize,
    /// How long idempotency keys are kept at least; 7 days unless set.
    pub keep_keys: Duration,
    /// The most connections that read; 8 unless set. Three more write, listen and notify.
    pub readers: u32,
    /// How long a call waits for a server that is not there for a moment, or is busy (a restart, a failover, a lock,
    /// all connections in use) before it fails; 10 seconds unless set.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limit_bytes: 1024 * 1024,
            keep_keys: Duration::from_secs(7 * 24 * 60 * 60),
            readers: 8,
            patience: Duration::from_secs(10),
        }
    }
}

/// An event store in a PostgreSQL database, in the schema `ees_store`. PostgreSQL 15 or later, encoding UTF8.
///
/// For several machines, and where PostgreSQL is there already; on a single one [`sqlite`](crate::sqlite) is simpler.
/// Any number of processes may write to one log at once. Events and metadata are kept as text, verbatim.
///
/// # Guarantees
/// - A commit that was answered is on the server's disk, even where its `synchronous_commit` is `off`; any other setting
///   of it is respected, and so are synchronous replicas.
/// - Checkpoints follow one another in the order of the commits, without holes, over all processes: whoever has read up
///   to one has missed nothing before it.
/// - A process that is frozen or dies holds nobody up: a batch is one call, and no transaction is open between
///   two of them.
///
/// # When the server is away
/// The store goes on by itself; nobody has to open it again. A restart, a failover's moment of read-only, a lock that
/// somebody holds, no room for one more connection: calls wait for that, for [`Options::patience`] or a few seconds
/// longer, and then fail with [`Error::Unavailable`]. More reads than [`Options::readers`] wait for their turn; those
/// whose turn does not come within the patience fail with [`Error::Overloaded`].
///
/// When the connection is lost in the middle of a commit that has an idempotency key, the store sends it again, and so
/// finds out whether it was stored. Without one the answer is [`Error::Unavailable`], and it is not known.
///
/// After a restart or a failover the log's [incarnation](LogHead::incarnation) is another one: the server may hold an
/// older state. So it is when changesets are found missing, as after a backup was restored under a running store.
///
/// # Connections
/// At most [`Options::readers`], and three more: one writes, one listens, one notifies.
///
/// Through a proxy that pools transactions (pgbouncer, which needs `ignore_startup_parameters = extra_float_digits`),
/// add `statement-cache-capacity=0` to the URL. Then every call is a transaction of a few trips, so commits are slower,
/// a process that freezes in one holds the others up for two seconds at most, and nobody listens or notifies: followers
/// look for news every half a second.
///
/// For TLS, which needs the feature `tls`, add `sslmode=verify-full`, and `sslrootcert=PATH` for an authority of your own.
///
/// # Grants
/// Who opens the first store needs `CREATE` on the database. Afterwards a role of lesser rights does:
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
/// A new version of this crate may have to change the schema: open a store once as its owner then.
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
    /// Connects to a database, and makes the log if there is none.
    ///
    /// The URL is `postgres://user:password@host:port/database`, with the usual parameters: `sslmode`, `sslrootcert`,
    /// `application_name`.
    ///
    /// # Errors
    /// - [`Error::InvalidRequest`] for a URL that can't be read.
    /// - [`Error::Unavailable`] when the server can't be reached, or takes no connection: try again.
    /// - [`Error::NewerVersion`] for a log of a newer version of this crate.
    /// - [`Error::Damaged`] for a database that is not in UTF8.
    /// - [`Error::Storage`] for what an administrator has to mend: no such database, a wrong password, a right that is
    ///   missing, a certificate that is not trusted.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::connect_with(url, Options::default()).await
    }

    /// Connects to a database with settings of your own.
    ///
    /// # Errors
    /// As for [`Store::connect`].
    pub async fn connect_with(url: &str, options: Options) -> Result<Self> {
        let unread = |error| Error::InvalidRequest(format!("the URL of the database: {error}"));
        let server = Server::at(url).map_err(unread)?;
        let mut connection = server.connect().await.map_err(failed)?;
        let mut tx = server::begin(&mut connection, server.pooled).await.map_err(failed)?;
        schema::prepare(&mut tx).await?;
        let log_id = schema::log_id(&mut tx).await?;
        let head = Arc::new(Head::of(&mut tx, log_id).await.map_err(failed)?);
        tx.commit().await.map_err(failed)?;
        let readers = Readers::new(&server, options, &head);
        let mut helpers = JoinSet::new();
        helpers.spawn(head::poll(head.clone(), readers.clone()));
        // Behind a proxy, who listens is forgotten with the transaction.
        if !server.pooled {
            helpers.spawn(head::listen(head.clone(), readers.clone(), server.options.clone()));
            helpers.spawn(head::tell(head.clone(), server.options.clone()));
        }
        helpers.spawn(keys::sweep(readers.clone(), options.keep_keys));
        let writer = Writer::start(server, connection, head.clone(), options);
        Ok(Self { writer, readers, head, limit_bytes: options.limit_bytes, _helpers: helpers })
    }
}

#[async_trait]
impl EventStore for Store {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.writer.submit(commit, false).await?.verdict().await
    }

    async fn commit_in_order(&self, commits: Vec<Commit>) -> Vec<Result<Committed>> {
        let mut pending = Vec::with_capacity(commits.len());
        for commit in commits {
            pending.push(self.writer.submit(commit, true).await);
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
        match tokio::time::timeout(query.wait, self.head.wait_past(query.from)).await {
            Ok(arrived) => arrived?,
            Err(_) => return Ok(page),
        }
        reader::log(&self.readers, &self.head, &query).await
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        reader::locate(&self.readers, stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        reader::head(&self.readers, &self.head).await
    }
}
