//! The write and stream side of a store.

use async_trait::async_trait;

use futures::TryStreamExt;

use crate::{
    Changeset, ChangesetId, Commit, Committed, Error, EventId, Result, StreamId, Tail, TypePage, TypeQuery,
    pages,
};

/// Appends to streams and reads them: what each backend implements, and the HTTP client too.
///
/// Object-safe: keep it as `Arc<dyn EventStore>`.
///
/// Guarantees, each of which is a law in [`laws`](crate::laws):
/// a commit that was answered is on disk; of two commits with the same expectation one wins; a stream's changesets
/// and events are numbered from 1 without gaps; what was committed reads back token for token.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Appends a changeset to a stream.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) when the expectation is not met, the size limit passed, the type
    /// another, or the idempotency key used for something else. After any other error it is unknown whether the
    /// changeset was stored: send it again with the same idempotency key.
    ///
    /// # Cancellation
    /// A dropped call may still be stored.
    async fn commit(&self, commit: Commit) -> Result<Committed>;

    /// Appends several changesets one after the other, each with its own verdict; a refused one does not stop the
    /// rest. In the global order they stand in the order given. Faster than one call each.
    async fn commit_in_order(&self, commits: Vec<Commit>) -> Vec<Result<Committed>> {
        let mut verdicts = Vec::with_capacity(commits.len());
        for commit in commits {
            verdicts.push(self.commit(commit).await);
        }
        verdicts
    }

    /// The most bytes of events and metadata in one changeset; 1 MiB unless the store says otherwise.
    fn limit_bytes(&self) -> usize {
        1024 * 1024
    }

    /// Reads a part of a stream.
    ///
    /// # Errors
    /// [`Error::StreamNotFound`](crate::Error::StreamNotFound); an existing stream without anything in the range is
    /// an empty page.
    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage>;

    /// Where a stream ends; of one that does not exist, [`Tail::default`].
    ///
    /// What a store does not say otherwise is found by reading the stream.
    async fn tail(&self, stream_id: &StreamId) -> Result<Tail> {
        let whole = pages::stream_changesets(self, StreamQuery::all(stream_id.clone()));
        let last = whole.try_fold(None, |_, changeset| std::future::ready(Ok(Some(changeset)))).await;
        match last {
            Ok(last) => Ok(last.as_ref().map(Tail::after).unwrap_or_default()),
            Err(Error::StreamNotFound(_)) => Ok(Tail::default()),
            Err(error) => Err(error),
        }
    }

    /// Lists the streams of a type, the one that was updated last at the end.
    ///
    /// Read on at [`TypePage::next`] while others commit: a stream that is updated between two pages moves on and may come
    /// twice, with two ends; one that was there when the first page was read is not missed.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`](crate::Error::InvalidRequest) from a store that has no such list, as the HTTP client.
    async fn read_type(&self, query: TypeQuery) -> Result<TypePage> {
        let why = format!("the streams of type \"{}\" can't be listed here", query.stream_type);
        Err(Error::InvalidRequest(why))
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
    /// At most so many changesets.
    pub limit: usize,
    /// At most so many bytes of events and metadata; a page holds at least one changeset whatever its size.
    pub max_bytes: usize,
}

impl StreamQuery {
    /// Bytes of a page unless set otherwise.
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

    /// At most so many changesets a page.
    #[must_use]
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }
}

/// A range within a stream; both ends are included, and 0 as `from` is the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRange {
    /// By changeset number.
    Changesets {
        /// The first.
        from: ChangesetId,
        /// The last, or to the end.
        to: Option<ChangesetId>,
    },
    /// By event number; changesets come whole.
    Events {
        /// The first.
        from: EventId,
        /// The last, or to the end.
        to: Option<EventId>,
    },
}

impl StreamRange {
    /// Whether it ends before it begins, so that nothing is in it, whatever the stream holds.
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

/// A part of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamPage {
    /// Changesets, oldest first.
    pub changesets: Vec<Changeset>,
    /// The changeset the rest begins with, when the page was cut.
    pub next: Option<ChangesetId>,
}
