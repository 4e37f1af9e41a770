//! The streams of a type, in the order of their last changesets.

use crate::{StreamId, StreamType, Tail, Timestamp};

/// Which streams to list: those of one type, least recently updated first.
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
    /// Only streams that were updated at this time or later.
    pub updated_from: Timestamp,
    /// Only streams after this position: where the previous page ended.
    pub after: Option<TypePosition>,
    /// At most this many streams in a page. Default: [`Self::LIMIT`], which is also the maximum.
    pub limit: usize,
}

impl TypeQuery {
    /// The default and the maximum number of streams in a page.
    pub const LIMIT: usize = 1_000;

    /// All streams of a type.
    pub fn all(stream_type: StreamType) -> Self {
        Self { stream_type, updated_from: Timestamp::from_micros(i64::MIN), after: None, limit: Self::LIMIT }
    }

    /// Only streams that were updated at this time or later.
    #[must_use]
    pub fn updated_from(self, updated_from: Timestamp) -> Self {
        Self { updated_from, ..self }
    }

    /// Only streams after this position, such as [`TypePage::next`] of the previous page.
    #[must_use]
    pub fn after(self, position: TypePosition) -> Self {
        Self { after: Some(position), ..self }
    }

    /// At most this many streams in a page.
    #[must_use]
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Streams of a page as it is read: at least one, so that reading on gets on.
    pub(crate) fn page_length(&self) -> usize {
        self.limit.clamp(1, Self::LIMIT)
    }
}

/// A stream's position among the streams of its type. It moves to the end when the stream is updated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypePosition {
    /// When the stream was last updated.
    pub updated_at: Timestamp,
    /// The stream. Of two that were updated in the same microsecond, the one with the lesser id comes first;
    /// on DynamoDB the order of the two is not defined.
    pub stream_id: StreamId,
}

/// A stream of the type, with its tail at the time of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedStream {
    /// The stream.
    pub stream_id: StreamId,
    /// Its last changeset and event.
    pub tail: Tail,
}

impl TypedStream {
    /// Its position among the streams of its type.
    pub fn position(&self) -> TypePosition {
        TypePosition { updated_at: self.tail.last_timestamp, stream_id: self.stream_id.clone() }
    }
}

/// One page of the streams of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypePage {
    /// The streams, least recently updated first.
    pub streams: Vec<TypedStream>,
    /// Where the next page begins; `None` after the last page.
    pub next: Option<TypePosition>,
}

impl TypePage {
    /// The page made of these streams, which are one more than it may hold if there is a next page.
    pub(crate) fn cut(mut streams: Vec<TypedStream>, page_length: usize) -> Self {
        let is_cut = streams.len() > page_length;
        streams.truncate(page_length);
        let next = streams.last().filter(|_| is_cut).map(TypedStream::position);
        Self { streams, next }
    }
}
