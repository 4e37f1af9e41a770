//! The streams of a type, in the order of their last changesets.

use crate::{StreamId, StreamType, Tail, Timestamp};

/// Which streams to list: those of one type, the one that was updated last at the end.
///
/// ```
/// use ees_store::{Commit, EventStore, Events, Expectation, TypeQuery, memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = memory::Store::new();
/// let opened = Commit::new("account/42".parse()?, Expectation::NewStream, Events::parse("[1]")?);
/// store.commit(opened.with_stream_type("account".parse()?)).await?;
///
/// let page = store.read_type(TypeQuery::all("account".parse()?)).await?;
/// assert_eq!(page.streams[0].stream_id.as_str(), "account/42");
/// assert_eq!(page.streams[0].tail.last_event.get(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TypeQuery {
    /// The type.
    pub stream_type: StreamType,
    /// Only streams whose last changeset is of this moment or a later one.
    pub updated_from: Timestamp,
    /// Only what comes after this place: where the page before ended.
    pub after: Option<TypePosition>,
    /// At most so many streams.
    pub limit: usize,
}

impl TypeQuery {
    /// Streams of a page unless set otherwise, and at most.
    pub const LIMIT: usize = 1_000;

    /// All streams of a type.
    pub fn all(stream_type: StreamType) -> Self {
        Self { stream_type, updated_from: Timestamp::from_micros(i64::MIN), after: None, limit: Self::LIMIT }
    }

    /// Those that were updated at this moment or later.
    #[must_use]
    pub fn updated_from(self, updated_from: Timestamp) -> Self {
        Self { updated_from, ..self }
    }

    /// What comes after a page.
    #[must_use]
    pub fn after(self, position: TypePosition) -> Self {
        Self { after: Some(position), ..self }
    }

    /// At most so many streams.
    #[must_use]
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Streams of a page as it is read: at least one, so that reading on gets on.
    pub(crate) fn page_length(&self) -> usize {
        self.limit.clamp(1, Self::LIMIT)
    }
}

/// A stream's place among those of its type. It moves on when the stream is updated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypePosition {
    /// When the stream was updated last.
    pub updated_at: Timestamp,
    /// The stream: of two that were updated in the same microsecond, the lesser id comes first; on DynamoDB, either.
    pub stream_id: StreamId,
}

/// A stream of the type, and where it ended when the page was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedStream {
    /// The stream.
    pub stream_id: StreamId,
    /// Its end.
    pub tail: Tail,
}

impl TypedStream {
    /// Its place among the streams of its type.
    pub fn position(&self) -> TypePosition {
        TypePosition { updated_at: self.tail.last_timestamp, stream_id: self.stream_id.clone() }
    }
}

/// A part of the streams of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypePage {
    /// Streams, the one updated last at the end.
    pub streams: Vec<TypedStream>,
    /// Where to go on, when there is more.
    pub next: Option<TypePosition>,
}

impl TypePage {
    /// The page made of one stream more than it may hold, if there are so many.
    pub(crate) fn cut(mut streams: Vec<TypedStream>, page_length: usize) -> Self {
        let is_cut = streams.len() > page_length;
        streams.truncate(page_length);
        let next = streams.last().filter(|_| is_cut).map(TypedStream::position);
        Self { streams, next }
    }
}
