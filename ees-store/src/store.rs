//! Writing to streams and reading them.

use async_trait::async_trait;

use crate::{
    Changeset, ChangesetId, Commit, Committed, Error, EventId, Result, StoreFigures, StreamId, Tail,
    TypePage, TypeQuery,
};

/// Appends to streams and reads them. Every backend and the HTTP client implement it.
///
/// Object-safe: use it as `Arc<dyn EventStore>`.
///
/// # Guarantees
/// Each is a law in `laws`:
/// - An acknowledged commit is durable.
/// - Of two commits with the same expectation, one wins.
/// - The changesets and events of a stream are numbered from 1 without gaps.
/// - Events and metadata read back token for token, and the [trace](crate::TraceContext) beside them.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Appends a changeset to a stream.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) when the expectation is not met, the changeset is too large,
    /// the stream has another type, or the idempotency key was used for another commit. After any other error
    /// it is unknown whether the changeset was stored: retry with the same idempotency key.
    ///
    /// # Cancellation
    /// The changeset may still be stored after the call is dropped.
    async fn commit(&self, commit: Commit) -> Result<Committed>;

    /// Appends several changesets in the order given, and returns a result for each; a refusal does not stop
    /// the rest. The global order keeps the order within each stream, and the whole order where the store
    /// assigns checkpoints at commit. Faster than separate calls.
    async fn commit_in_order(&self, commits: Vec<Commit>) -> Vec<Result<Committed>> {
        let mut verdicts = Vec::with_capacity(commits.len());
        for commit in commits {
            verdicts.push(self.commit(commit).await);
        }
        verdicts
    }

    /// The maximum size of events and metadata in one changeset, in bytes. Default: 1 MiB.
    fn limit_bytes(&self) -> usize {
        1024 * 1024
    }

    /// Fails when the store knows that it can't store commits at present, such as on a full disk. Reads may go
    /// on meanwhile.
    ///
    /// The default implementation knows of no such time.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable), with the reason.
    async fn check_writable(&self) -> Result<()> {
        Ok(())
    }

    /// Reads a part of a stream.
    ///
    /// # Errors
    /// [`Error::StreamNotFound`](crate::Error::StreamNotFound); if the stream exists, but has nothing in the
    /// range, the page is empty.
    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage>;

    /// Returns the end of a stream; [`Tail::default`] if it does not exist.
    ///
    /// The default implementation reads the whole stream.
    async fn tail(&self, stream_id: &StreamId) -> Result<Tail> {
        let mut tail = Tail::default();
        let mut rest = Some(StreamQuery::all(stream_id.clone()));
        while let Some(query) = rest {
            let page = match self.read_stream(query.clone()).await {
                Err(Error::StreamNotFound(_)) => return Ok(Tail::default()),
                page => page?,
            };
            tail = page.changesets.last().map_or(tail, Tail::after);
            rest = query.rest_after(&page);
        }
        Ok(tail)
    }

    /// Lists the streams of a type, least recently updated first.
    ///
    /// Continue at [`TypePage::next`]. A stream that is updated between two pages moves to the end and may be
    /// returned twice; no stream that existed when the first page was read is missed.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`](crate::Error::InvalidRequest) from a store without such a list, such as the
    /// HTTP client.
    async fn read_type(&self, query: TypeQuery) -> Result<TypePage> {
        let why = format!("the streams of type \"{}\" can't be listed here", query.stream_type);
        Err(Error::InvalidRequest(why))
    }

    /// Returns what the store counts of its own work, for metrics. By default, nothing.
    fn figures(&self) -> Option<StoreFigures> {
        None
    }
}

/// Which part of which stream to read.
///
/// ```
/// use ees_store::{EventId, StreamQuery};
/// let all = StreamQuery::all("account/42".parse()?);
/// let part = StreamQuery::events("account/42".parse()?, EventId::new(3), Some(EventId::new(9)));
/// # Ok::<(), ees_store::InvalidName>(())
/// ```
#[derive(Clone, Debug)]
pub struct StreamQuery {
    /// The stream.
    pub stream_id: StreamId,
    /// Which changesets.
    pub range: StreamRange,
    /// At most this many changesets. Default: no limit.
    pub limit: usize,
    /// At most this many bytes of events and metadata; a page holds at least one changeset, whatever its
    /// size. Default: [`Self::MAX_BYTES`].
    pub max_bytes: usize,
}

impl StreamQuery {
    /// The default maximum size of a page, in bytes.
    pub const MAX_BYTES: usize = 4 * 1024 * 1024;

    /// The whole stream.
    pub fn all(stream_id: StreamId) -> Self {
        Self::changesets(stream_id, ChangesetId::NONE, None)
    }

    /// The changesets from `from` to `to`, both included.
    pub fn changesets(stream_id: StreamId, from: ChangesetId, to: Option<ChangesetId>) -> Self {
        Self::new(stream_id, StreamRange::Changesets { from, to })
    }

    /// The changesets that hold an event from `from` to `to`, both included.
    pub fn events(stream_id: StreamId, from: EventId, to: Option<EventId>) -> Self {
        Self::new(stream_id, StreamRange::Events { from, to })
    }

    fn new(stream_id: StreamId, range: StreamRange) -> Self {
        Self { stream_id, range, limit: usize::MAX, max_bytes: Self::MAX_BYTES }
    }

    /// At most this many changesets a page.
    #[must_use]
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// The query for what a page of this one left out; `None` after the last page.
    pub(crate) fn rest_after(self, page: &StreamPage) -> Option<Self> {
        let next = page.next?;
        let range = match self.range {
            StreamRange::Changesets { to, .. } => StreamRange::Changesets { from: next, to },
            StreamRange::Events { to, .. } => {
                StreamRange::Events { from: page.changesets.last()?.last_event_id().next(), to }
            }
        };
        Some(Self { range, ..self })
    }
}

/// A range within a stream, both ends included. `from` 0 is the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRange {
    /// By changeset number.
    Changesets {
        /// The first.
        from: ChangesetId,
        /// The last; `None` is the end of the stream.
        to: Option<ChangesetId>,
    },
    /// By event number. Changesets are never split.
    Events {
        /// The first.
        from: EventId,
        /// The last; `None` is the end of the stream.
        to: Option<EventId>,
    },
}

impl StreamRange {
    /// Returns whether the range ends before it begins, so that it is empty for every stream.
    pub fn is_empty(self) -> bool {
        let (from, to) = match self {
            Self::Changesets { from, to } => (from.get(), to.map(ChangesetId::get)),
            Self::Events { from, to } => (from.get(), to.map(EventId::get)),
        };
        to.is_some_and(|to| to < from.max(1))
    }

    /// Whether a stream that exists has something in it: it takes in the beginning.
    #[cfg(any(feature = "postgres", feature = "dynamodb"))]
    pub(crate) fn has_the_first(self) -> bool {
        let from = match self {
            Self::Changesets { from, .. } => from.get(),
            Self::Events { from, .. } => from.get(),
        };
        from <= 1 && !self.is_empty()
    }
}

/// One page of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamPage {
    /// The changesets, oldest first.
    pub changesets: Vec<Changeset>,
    /// The changeset that the next page begins with; `None` after the last page.
    pub next: Option<ChangesetId>,
}
