//! The store in a DynamoDB table: no machine to run, none to outgrow.
//!
//! - [`Store`] opens a table and is both traits; [`Options`] are its settings. [`create_table`] makes one, [`check`] looks at
//!   one, [`adopt`] takes one over that another system has made, [`cost`] says what it costs.
//! - [`Indexer`] gives changesets their place in the global order, wherever it runs.
//! - `writer` appends: at most one read, one conditional write, which may be in `doubt`. `keys` remembers idempotency keys.
//! - `reader` reads a stream, `log` the global order without stepping over what is late, `head` knows where that ends;
//!   `by_type` lists the streams of a type.
//! - `worker` moves the `counter`, by the batches of `plan`; `queue` lets it inside a process that commits, `sweep` finds
//!   what was missed; a stream that is `stuck` holds up no other.
//! - `identity` says which log a table holds, and its `holes`; `schema` is what a table looks like, `item` what it holds.
//! - `table` makes the calls, by the rules of `calls`: retried where `error` says so.
//!
//! How the order comes about: a commit writes its changeset and nothing else, so that streams don't wait for one another.
//! Afterwards an indexer, any of many, moves the counter and gives up to 99 changesets their places, in one transaction.

mod adopt;
mod by_type;
mod calls;
mod check;
mod cost;
mod counter;
mod doubt;
mod error;
mod head;
mod holes;
mod identity;
mod indexer;
mod item;
mod keys;
mod log;
mod plan;
mod queue;
mod reader;
mod schema;
mod stuck;
mod sweep;
mod table;
mod worker;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Config;
use futures::StreamExt;
use tokio::task::JoinSet;

use crate::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, Error, EventStore, LogHead, LogPage, LogQuery,
    Result, StreamId, StreamPage, StreamQuery, Tail, TypePage, TypeQuery,
};

pub use adopt::{Adopted, adopt};
pub use check::{Check, check};
pub use cost::{Cost, cost};
pub use indexer::Indexer;
pub use plan::Candidate;
pub use schema::{LIMIT_BYTES, create_table};
pub use sweep::Swept;

use head::Head;
use holes::Holes;
use log::Reader;
use queue::Queue;
use table::Table;
use worker::Worker;
use writer::Rules;

/// Streams that `commit_in_order` writes to at the same time.
const STREAMS_AT_ONCE: usize = 16;

/// Settings of a [`Store`].
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long idempotency keys are kept at least; 7 days unless set. DynamoDB removes them some days later.
    pub keep_keys: Duration,
    /// How long a call is tried again while DynamoDB throttles, fails or can't be reached; 10 seconds unless set. The last attempt
    /// may take longer, up to its own limit: 5 seconds unless the configuration says otherwise.
    pub patience: Duration,
    /// Who gives changesets their place in the global order; this process unless set.
    pub indexing: Indexing,
}

/// Who gives changesets their place in the global order.
#[derive(Clone, Copy, Debug)]
pub enum Indexing {
    /// This process: right after a commit, and by a sweep at the start and every so often. For processes that run on.
    Here {
        /// How often the whole table is looked through for what was missed, at least; a day unless set. Sooner where the table
        /// is small: a sweep is repeated after as many seconds as it took read units, and not before 5.
        sweep_every: Duration,
    },
    /// An [`Indexer`] elsewhere, such as a function on the table's stream. For processes that may be frozen at any moment.
    Elsewhere,
}

impl Default for Options {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self {
            keep_keys: 7 * day,
            patience: Duration::from_secs(10),
            indexing: Indexing::Here { sweep_every: day },
        }
    }
}

/// An event store in a DynamoDB table.
///
/// For AWS without machines, and for more streams than one database writes; on a machine of your own
/// [`sqlite`](crate::sqlite) or [`postgres`](crate::postgres) answer sooner and cost less. Any number of processes
/// may use one table at once. [`create_table`] makes the table; one of another system is taken over with [`adopt`].
///
/// # Guarantees
/// - A commit that was answered is stored in three availability zones. It costs at most one read and one conditional write,
///   which is a transaction with an idempotency key or on a typed stream.
/// - The global order is given out afterwards, a moment later: [`Committed::checkpoint`] is `None`. It never changes once it
///   can be read; within a stream it follows the changesets; it has no holes but those that an adopted table had.
/// - A stream is read as it is at this moment. The log is read without gaps: what the index does not show yet is waited for.
/// - Streams are listed by type from an index that follows a moment later: the last page of a list takes half a second longer,
///   so that a stream which is updated meanwhile is not missed as long as the index lags less than that.
/// - A lost answer is told from a lost race: every changeset knows which call has stored it.
///
/// # When DynamoDB throttles, fails or is away
/// Calls are made again, with growing pauses, for [`Options::patience`]; then they fail with [`Error::Overloaded`] or
/// [`Error::Unavailable`]. The SDK's own retries are turned off, so that nothing is multiplied.
///
/// # When it is dropped
/// What was committed in the last moment may have no place in the order yet; the next process that indexes finds it at its
/// start, any other within the time that [`Indexing::Here`] says.
///
/// # Limits
/// A changeset holds up to [`limit_bytes`](EventStore::limit_bytes): some 395 KB in our own tables, 133 KB in those whose
/// local indexes hold it twice more. All writes of the order go through one item, the counter: some hundred batches a second,
/// each of up to 99 changesets.
///
/// # Example
/// ```no_run
/// use ees_store::{Commit, EventStore, Events, Expectation, dynamodb};
///
/// # async fn example(config: aws_sdk_dynamodb::Config) -> Result<(), Box<dyn std::error::Error>> {
/// dynamodb::create_table(config.clone(), "bank", true).await?;
/// let store = dynamodb::Store::open(config, "bank").await?;
/// let opened = Events::parse(r#"[{"type": "opened"}]"#)?;
/// store.commit(Commit::new("account/42".parse()?, Expectation::NewStream, opened)).await?;
/// # Ok(())
/// # }
/// ```
pub struct Store {
    table: Table,
    head: Arc<Head>,
    holes: Holes,
    rules: Rules,
    queue: Option<Queue>,
    /// Stop when it is dropped.
    _helpers: JoinSet<()>,
}

impl Store {
    /// Opens the log in this table, and begins one if the table is empty.
    ///
    /// The configuration is an `SdkConfig` by reference, or a `Config` of the DynamoDB client.
    ///
    /// # Errors
    /// - [`Error::InvalidRequest`] when there is no such table, it lacks a key or an index, or another system has written it
    ///   and it was not adopted: the message says what to do.
    /// - [`Error::NewerVersion`] for a log of a newer version of this crate.
    /// - [`Error::Overloaded`], [`Error::Unavailable`]: try again.
    /// - [`Error::Storage`] for what an administrator has to mend: a right that is missing, wrong credentials.
    pub async fn open(config: impl Into<Config>, table: &str) -> Result<Self> {
        Self::open_with(config, table, Options::default()).await
    }

    /// Opens the log in this table with settings of your own.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub async fn open_with(config: impl Into<Config>, name: &str, options: Options) -> Result<Self> {
        let (table, layout) = Table::find(config, name, options.patience).await?;
        let identity = identity::open(&table).await?;
        let holes = identity::holes(&table, &identity).await?;
        let head = Arc::new(Head::new(identity.log_id, counter::look(&table).await?.next()));
        let mut helpers = JoinSet::new();
        helpers.spawn(head::poll(head.clone(), table.clone()));
        let queue = match options.indexing {
            Indexing::Elsewhere => None,
            Indexing::Here { sweep_every } => {
                let (queue, waiting) = queue::queue();
                let worker = Worker::new(table.clone(), Some(head.clone()));
                helpers.spawn(queue::drain(worker, waiting, sweep_every, table.clone(), queue.clone()));
                Some(queue)
            }
        };
        let rules = Rules { limit_bytes: layout.limit_bytes, keep_keys: options.keep_keys };
        Ok(Self { table, head, holes, rules, queue, _helpers: helpers })
    }

    /// Commits, and leaves the changeset to be indexed; with the stream's tail, where it is known afterwards.
    async fn commit_after(&self, commit: &Commit, known: Option<&Tail>) -> Result<(Committed, Option<Tail>)> {
        let queue = self.queue.as_ref();
        let (committed, stored) = writer::commit(&self.table, queue, self.rules, commit, known).await?;
        Ok((committed, stored.as_ref().map(Tail::after)))
    }

    /// One stream's commits, one after the other.
    async fn commit_to_stream(&self, commits: Vec<(usize, Commit)>) -> Vec<(usize, Result<Committed>)> {
        let mut tail = None;
        let mut verdicts = Vec::with_capacity(commits.len());
        for (at, commit) in commits {
            let verdict = self.commit_after(&commit, tail.as_ref()).await;
            verdicts.push((
                at,
                verdict.map(|(committed, now)| {
                    tail = now.or(tail.take());
                    committed
                }),
            ));
        }
        verdicts
    }
}

#[async_trait]
impl EventStore for Store {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.commit_after(&commit, None).await.map(|(committed, _)| committed)
    }

    /// Streams go side by side: the order over all of them is given out afterwards anyway.
    async fn commit_in_order(&self, commits: Vec<Commit>) -> Vec<Result<Committed>> {
        let mut verdicts: Vec<_> = commits.iter().map(|_| None).collect();
        let mut streams: HashMap<StreamId, Vec<(usize, Commit)>> = HashMap::new();
        for (at, commit) in commits.into_iter().enumerate() {
            streams.entry(commit.stream_id.clone()).or_default().push((at, commit));
        }
        let mut done =
            futures::stream::iter(streams.into_values().map(|commits| self.commit_to_stream(commits)))
                .buffer_unordered(STREAMS_AT_ONCE);
        while let Some(of_stream) = done.next().await {
            for (at, verdict) in of_stream {
                verdicts[at] = Some(verdict);
            }
        }
        let unanswered = || Err(Error::Unavailable("it is shutting down".to_owned()));
        verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(unanswered)).collect()
    }

    fn limit_bytes(&self) -> usize {
        self.rules.limit_bytes
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        reader::stream(&self.table, query).await
    }

    async fn tail(&self, stream_id: &StreamId) -> Result<Tail> {
        writer::tail(&self.table, stream_id).await
    }

    async fn read_type(&self, query: TypeQuery) -> Result<TypePage> {
        by_type::page(&self.table, &query).await
    }
}

#[async_trait]
impl ChangesetLog for Store {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        Reader { table: &self.table, head: &self.head, holes: &self.holes }.read(&query).await
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        reader::locate(&self.table, stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        self.head.look(&self.table).await
    }
}
