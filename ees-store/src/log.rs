//! The global side of a store: one order over all changesets.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ChangesetId, Checkpoint, Filter, Indexed, Result, StreamId};

/// Reads every changeset of a store in its one global order: what projections are built from.
///
/// Object-safe: keep it as `Arc<dyn ChangesetLog>`.
///
/// Guarantees, each of which is a law in [`laws`](crate::laws): the order never changes once read; nothing ever
/// appears before a page's [`next`](LogPage::next) later; within a stream checkpoints ascend.
#[async_trait]
pub trait ChangesetLog: Send + Sync + 'static {
    /// Reads the changesets from a checkpoint on.
    ///
    /// Go on at [`LogPage::next`], always: numbers may have gaps, reads may not.
    ///
    /// # Errors
    /// Whatever [`Error::is_transient`](crate::Error::is_transient) says may be tried again.
    ///
    /// # Cancellation
    /// Safe.
    async fn read(&self, query: LogQuery) -> Result<LogPage>;

    /// The checkpoint of a stream's changeset; `None` when it does not exist, or has no place in the order yet.
    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>>;

    /// Where the log ends, and which log it is.
    async fn head(&self) -> Result<LogHead>;
}

/// What to read of the log.
#[derive(Clone, Debug)]
pub struct LogQuery {
    /// The first checkpoint wanted.
    pub from: Checkpoint,
    /// At most so many changesets.
    pub limit: usize,
    /// At most so many bytes of events and metadata; a page that is not empty holds one whatever its size.
    pub max_bytes: usize,
    /// How long to wait for something to arrive when there is nothing yet.
    pub wait: Duration,
    /// Which changesets to give; the others are passed over.
    pub filter: Filter,
}

impl LogQuery {
    /// Bytes of a page unless set otherwise.
    pub const MAX_BYTES: usize = 4 * 1024 * 1024;

    /// Up to `limit` changesets from a checkpoint on, without waiting.
    pub fn from(from: Checkpoint, limit: usize) -> Self {
        Self { from, limit, max_bytes: Self::MAX_BYTES, wait: Duration::ZERO, filter: Filter::default() }
    }

    /// Waits so long for something to arrive.
    #[must_use]
    pub fn with_wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Gives only what passes the filter.
    #[must_use]
    pub fn with_filter(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }
}

/// A part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    /// Changesets in global order.
    pub changesets: Vec<Indexed>,
    /// Where to go on: past everything this page gave or filtered out.
    pub next: Checkpoint,
    /// The log as it was when the page was read.
    pub head: LogHead,
}

/// Which log this is, and where it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// The checkpoint after the newest changeset.
    pub checkpoint: Checkpoint,
    /// The log's own name, made with it: another one is another history.
    pub log_id: LogId,
    /// Changes whenever the log could have been replaced by an older state of itself (the store was opened anew).
    /// A reader that sees another value looks at what it read last before it goes on.
    pub incarnation: Uuid,
}

/// A log's own UUID, made when the store was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogId(pub Uuid);

impl std::fmt::Display for LogId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
