//! The store in a DynamoDB table: serverless, and not limited by one machine.
//!
//! - [`Store`] opens a table and implements both traits; [`Options`] are its settings. [`create_table`]
//!   creates a table, [`check`] inspects one, [`adopt`] takes over one that another system has written,
//!   [`cost`] says what one costs, and [`ceilings`] how much it takes in a second, by its [`TableFormat`].
//! - [`Indexer`] assigns checkpoints to changesets, in any process.
//! - `writer` appends: at most one read, one conditional write, which may be in `doubt`. `keys` remembers
//!   idempotency keys.
//! - `reader` reads a stream, `log` the global order without stepping over what is late, from what the index of the
//!   `order` shows of each page; `head` knows where that ends; `segments` read all of it at once; `by_type` lists the streams of a type.
//! - `worker` moves the `counter`, by the batches of `plan`; `queue` lets it inside a process that commits,
//!   `sweep` finds what was missed; a stream that is `stuck` holds up no other, [`mend`] lets one go on whose
//!   changeset was `misplaced`.
//! - `identity` says which log a table holds, and its `holes`; `schema` is what a table looks like, `item`
//!   what it holds, and `place` where a changeset stands in the order.
//! - `table` makes the calls, by the rules of `calls`: retried where `error` says so. `clock` is DynamoDB's own.
//!
//! How the global order comes about: a commit writes its changeset and nothing else, so that streams don't
//! wait for one another. Afterwards an indexer (there may be many) moves the counter and assigns up to 99
//! checkpoints, in one transaction.

mod adopt;
mod attempt;
mod by_type;
mod calls;
mod ceiling;
mod check;
mod clock;
mod cost;
mod counter;
mod doubt;
mod entry_bytes;
mod error;
mod foreign;
mod head;
mod holes;
mod identity;
mod indexer;
pub(crate) mod item;
mod keys;
mod known;
mod log;
mod mend;
mod migrate;
mod misplaced;
#[cfg(test)]
mod models;
mod moved;
mod options;
mod order;
mod place;
mod plan;
mod prefix;
mod queue;
mod reader;
mod scan;
mod schema;
mod segments;
mod set_aside_list;
mod stuck;
mod sweep;
mod table;
mod table_format;
mod worker;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use aws_sdk_dynamodb::Config;
use futures::StreamExt;
use tokio::task::JoinSet;

use crate::spans;
use crate::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, Error, EventStore, LogHead, LogPage, LogQuery,
    Result, SegmentPage, SegmentQuery, StoreFigures, StreamId, StreamPage, StreamQuery, Tail, TypePage,
    TypeQuery, WriterFigures,
};

pub use adopt::{Adopted, OnMisplaced, adopt, find_holes};
pub use ceiling::{Ceiling, ceilings};
pub use check::{Check, check, check_bodies};
pub use cost::{Cost, cost};
pub use indexer::Indexer;
pub use keys::check_keys;
pub use mend::{Mend, Mended, mend};
pub use migrate::{Migrated, cancel_migration, migrate};
pub use misplaced::{Misplaced, Misplacement};
pub use options::{Indexing, Options};
pub use plan::Candidate;
pub use schema::{LIMIT_BYTES, create_table};
pub use sweep::Swept;
pub use table_format::TableFormat;

use head::Head;
use holes::Holes;
use keys::Keys;
use log::Reader;
use queue::Queue;
use table::Table;
use worker::Worker;
use writer::Rules;

/// Streams that `commit_in_order` writes to at the same time.
const STREAMS_AT_ONCE: usize = 16;

/// An event store in a DynamoDB table.
///
/// Choose it for serverless applications on AWS, and for more writes than one database takes; on a machine of
/// your own, `sqlite` and `postgres` are faster and cheaper. Any number
/// of processes may use one table concurrently. [`create_table`] creates the table; [`adopt`] takes over one
/// of another system.
///
/// # Guarantees
/// - An acknowledged commit is stored in three availability zones. It costs at most one read and one
///   conditional write; the write is a transaction if the stream has a type. An idempotency key costs another
///   read, or, in a table of an older [`TableFormat`], a transaction.
/// - Checkpoints are assigned a moment after the commit, so [`Committed::checkpoint`] is `None`. The order
///   never changes once it can be read; within a stream checkpoints ascend; there are no gaps except those of
///   an adopted table.
/// - Reads of a stream are strongly consistent. Reads of the log skip nothing: they wait for entries that the
///   index does not show yet.
/// - Lists of streams by type come from an eventually consistent index. The last page of a list takes half a
///   second longer, so that a stream that is updated meanwhile is not missed as long as the index lags less
///   than that.
/// - The store distinguishes a lost answer from a lost race: every changeset records which call stored it.
///
/// # When DynamoDB throttles, fails or is unavailable
/// The store retries calls with growing pauses for [`Options::patience`]; then they fail with
/// [`Error::Overloaded`] or [`Error::Unavailable`]. It turns the SDK's own retries off, so that retries don't
/// multiply.
///
/// # When the store is dropped
/// The last commits may have no checkpoint yet. The next process that opens the store and indexes finds them
/// at once; a process that already runs finds them with its next sweep ([`Indexing::Here`]).
///
/// # Limits
/// A changeset holds up to [`limit_bytes`](EventStore::limit_bytes): some 395 KB in tables that
/// [`create_table`] made, 133 KB in tables whose two local indexes hold copies of it. All checkpoints come
/// from one item, the counter: some 33 to 66 batches a second, each of up to 99 changesets. [`ceilings`] has the others.
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
    figures: Arc<WriterFigures>,
    /// How many streams the indexer here has set aside.
    set_aside: Option<Arc<AtomicUsize>>,
    /// Stop when it is dropped.
    _helpers: JoinSet<()>,
}

impl Store {
    /// Opens the log in this table, and creates it if the table is empty.
    ///
    /// The configuration is an `SdkConfig` by reference, or a `Config` of the DynamoDB client.
    ///
    /// # Errors
    /// - [`Error::InvalidRequest`] when the table does not exist, lacks a key or an index, or was written by
    ///   another system and not adopted: the message says what to do.
    /// - [`Error::NewerVersion`] for a log of a newer version of this crate.
    /// - [`Error::Overloaded`], [`Error::Unavailable`]: retry.
    /// - [`Error::Storage`] for what an administrator has to fix: a missing permission, wrong credentials.
    pub async fn open(config: impl Into<Config>, table: &str) -> Result<Self> {
        Self::open_with(config, table, Options::default()).await
    }

    /// Opens the log in this table with your own settings.
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
        let mut set_aside = None;
        let queue = match options.indexing {
            Indexing::Elsewhere => None,
            Indexing::Here { sweep_every } => {
                let (queue, waiting) = queue::queue();
                let worker = Worker::new(table.clone(), Some(head.clone()));
                set_aside = Some(worker.set_aside());
                let seen = (table.clone(), head.clone());
                helpers.spawn(queue::drain(worker, waiting, sweep_every, seen, queue.clone()));
                Some(queue)
            }
        };
        let keys = Keys::of(&table, &identity);
        let rules = Rules { limit_bytes: layout.limit_bytes, keys, keep_keys: options.keep_keys };
        let figures = Arc::default();
        Ok(Self { table, head, holes, rules, queue, figures, set_aside, _helpers: helpers })
    }

    /// Commits, and leaves the changeset to be indexed; with the stream's tail, where it is known afterwards.
    async fn commit_after(&self, commit: &Commit, known: Option<&Tail>) -> Result<(Committed, Option<Tail>)> {
        let queue = self.queue.as_ref();
        let (committed, stored) = writer::commit(&self.table, queue, &self.rules, commit, known).await?;
        if let Some(changeset) = &stored {
            self.head.stir();
            self.figures.changesets.fetch_add(1, Relaxed);
            let events = changeset.last_event_id().get() + 1 - changeset.first_event_id.get();
            self.figures.events.fetch_add(events, Relaxed);
        }
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
        spans::commit(commit, "aws.dynamodb", async |commit, _| {
            self.commit_after(&commit, None).await.map(|(committed, _)| committed)
        })
        .await
    }

    /// Streams are written concurrently: checkpoints are assigned afterwards anyway.
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

    fn figures(&self) -> Option<StoreFigures> {
        let set_aside = self.set_aside.as_ref().map(|count| count.load(Relaxed));
        Some(StoreFigures { set_aside, ..StoreFigures::of_writer(self.figures.clone()) })
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

    fn has_segments(&self) -> bool {
        true
    }

    async fn read_segment(&self, query: SegmentQuery) -> Result<SegmentPage> {
        segments::page(&self.table, &query).await
    }
}
