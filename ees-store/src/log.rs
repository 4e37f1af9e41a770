//! The log of a store: all changesets in one global order.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    ChangesetId, Checkpoint, Error, Filter, LogEntry, Result, SegmentPage, SegmentQuery, StreamId, Timestamp,
    time_search,
};

/// Reads all changesets of a store in one global order. Projections are built from it.
///
/// Object-safe: use it as `Arc<dyn ChangesetLog>`.
///
/// # Guarantees
/// Each is a law in `laws`:
/// - The order never changes once it was read.
/// - No changeset ever appears before the [`next`](LogPage::next) of a page that was read.
/// - The head is never before the [`next`](LogPage::next) of a page that was read, in whatever process.
/// - Within a stream, checkpoints ascend.
#[async_trait]
pub trait ChangesetLog: Send + Sync + 'static {
    /// Reads changesets, beginning at a checkpoint.
    ///
    /// Always continue at [`LogPage::next`]: checkpoints may have gaps, reads must not.
    ///
    /// # Errors
    /// Retry if [`Error::is_transient`].
    ///
    /// # Cancellation
    /// Safe.
    async fn read(&self, query: LogQuery) -> Result<LogPage>;

    /// Returns the checkpoint of a changeset; `None` if the changeset does not exist, or has no checkpoint
    /// yet.
    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>>;

    /// Returns where the log ends, and which log it is.
    async fn head(&self) -> Result<LogHead>;

    /// Returns the place where the log reaches a time: the changeset before it is older than the time, and the one
    /// after it is not. At the head, if all changesets are older.
    ///
    /// Times ascend within each stream, not over all of them. Where the clocks of those who commit differ by a
    /// second at most, no changeset before the place is more than a second later than the time, and none after it
    /// more than a second earlier. A changeset without a time (a quarantined one may have none) is passed over.
    ///
    /// It is found by bisection: some 30 changesets of a log of a billion are read.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a log without times. Retry if [`Error::is_transient`].
    ///
    /// # Cancellation
    /// Safe.
    async fn checkpoint_at(&self, time: Timestamp) -> Result<Checkpoint> {
        time_search::bisect(self, time).await
    }

    /// Returns whether the log can be read by segments. Default: `false`.
    fn has_segments(&self) -> bool {
        false
    }

    /// Reads a part of the log that holds each of its streams whole: for readers that need the order within streams
    /// only, and read all of it at the same time. The segments together hold each changeset before
    /// [`SegmentQuery::until`] once. Later ones are left out: read them from there by [`read`](Self::read).
    ///
    /// Always continue at [`SegmentPage::next`], or after any changeset of the page. Default: refuses.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] if the log [has no segments](Self::has_segments). Retry if
    /// [`Error::is_transient`].
    ///
    /// # Cancellation
    /// Safe.
    async fn read_segment(&self, query: SegmentQuery) -> Result<SegmentPage> {
        let _ = query;
        Err(Error::InvalidRequest("this log can't be read by segments".to_owned()))
    }
}

/// What to read of the log.
#[derive(Clone, Debug)]
pub struct LogQuery {
    /// The first checkpoint to read.
    pub from: Checkpoint,
    /// At most this many changesets.
    pub limit: usize,
    /// At most this many bytes of events and metadata; a page that is not empty holds at least one changeset,
    /// whatever its size. Default: [`Self::MAX_BYTES`].
    pub max_bytes: usize,
    /// How long to wait for a changeset if there is none yet. Default: zero.
    pub wait: Duration,
    /// Which changesets to return; the others are skipped. Default: all.
    pub filter: Filter,
}

impl LogQuery {
    /// The default maximum size of a page, in bytes.
    pub const MAX_BYTES: usize = 4 * 1024 * 1024;

    /// Up to `limit` changesets, beginning at a checkpoint, without waiting.
    pub fn from(from: Checkpoint, limit: usize) -> Self {
        Self { from, limit, max_bytes: Self::MAX_BYTES, wait: Duration::ZERO, filter: Filter::default() }
    }

    /// Waits this long for a changeset if there is none yet.
    #[must_use]
    pub fn with_wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Returns only the changesets that the filter accepts.
    #[must_use]
    pub fn with_filter(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }
}

/// One page of the log.
///
/// A page without a filter that is empty has reached the head: nothing after it exists yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogPage {
    /// The changesets, in global order.
    pub changesets: Vec<LogEntry>,
    /// Where the next page begins: past all changesets that this page returned or filtered out.
    pub next: Checkpoint,
    /// The head of the log when the page was read: at least [`next`](Self::next), unless the query began
    /// after the head.
    pub head: LogHead,
}

impl LogPage {
    /// The page of a query that began at `from`.
    ///
    /// What was read is in the log. So the head is at least `next`, although `head` may be older than the
    /// page.
    pub fn new(from: Checkpoint, changesets: Vec<LogEntry>, next: Checkpoint, mut head: LogHead) -> Self {
        if next > from {
            head.checkpoint = head.checkpoint.max(next);
        }
        Self { changesets, next, head }
    }
}

/// The identity of a log, and where it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// The checkpoint after the newest changeset.
    pub checkpoint: Checkpoint,
    /// The log's id, generated when the log was created. Another id means another history.
    pub log_id: LogId,
    /// Changes whenever the log may have been replaced by an older state of itself, as when the store was
    /// reopened. A reader that sees another value checks what it read last before it continues.
    pub incarnation: Uuid,
}

/// The UUID of a log, generated when the log was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogId(pub Uuid);

impl std::fmt::Display for LogId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
