//! A request to append events, and its result.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{
    ChangesetId, Checkpoint, EventId, Events, InvalidName, Json, StreamId, StreamType, Timestamp,
    TraceContext,
};

/// What the committer believes to be the stream's last changeset or event.
///
/// Concurrency control is never optional: a commit says what it has seen, and is refused when the stream has
/// moved on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// The stream does not exist yet.
    NewStream,
    /// The stream's last changeset is this one.
    LastChangeset(ChangesetId),
    /// The stream's last event is this one.
    LastEvent(EventId),
}

impl Expectation {
    /// The number expected: of the last changeset or event, 0 for a new stream.
    pub fn number(self) -> u64 {
        match self {
            Self::NewStream => 0,
            Self::LastChangeset(id) => id.get(),
            Self::LastEvent(id) => id.get(),
        }
    }

    /// The unit of [`number`](Self::number): `changeset` or `event`.
    pub fn unit(self) -> &'static str {
        match self {
            Self::LastEvent(_) => "event",
            Self::NewStream | Self::LastChangeset(_) => "changeset",
        }
    }
}

/// Identifies a commit, so that a retry is not stored twice.
///
/// 1 to 255 visible ASCII characters. It belongs to one stream: the same key on another stream is another
/// commit. Stores keep keys for at least 7 days by default.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// The maximum length, in characters.
    pub const LENGTH_MAX: usize = 255;

    /// Validates a text as a key.
    ///
    /// # Errors
    /// [`InvalidName`] when it is empty, longer than 255 characters, or not visible ASCII throughout.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let refuse = |why| Err(InvalidName::new("an idempotency key", why));
        match text {
            "" => refuse("must not be empty"),
            _ if text.len() > Self::LENGTH_MAX => refuse("must not be longer than 255 characters"),
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                refuse("must be visible ASCII characters only")
            }
            _ => Ok(Self(text.into())),
        }
    }

    /// A random key.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string().into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stores keep of it: the SHA-256 of stream and key, with a zero byte between them, which no stream
    /// id contains.
    pub fn digest(&self, stream_id: &StreamId) -> [u8; 32] {
        let hash = Sha256::new_with_prefix(stream_id.as_str());
        hash.chain_update([0]).chain_update(self.as_str()).finalize().into()
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for IdempotencyKey {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

/// A request to append events to a stream.
///
/// ```
/// use ees_store::{Commit, Events, Expectation, Json};
/// let opened = Events::parse(r#"[{"type": "opened"}]"#)?;
/// let commit = Commit::new("account/42".parse()?, Expectation::NewStream, opened)
///     .with_metadata(Json::parse(r#"{"user": "ada"}"#)?)?
///     .with_stream_type("account".parse()?)
///     .with_idempotency_key("request-17".parse()?);
/// assert_eq!(commit.size_bytes(), 33);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Commit {
    /// The stream to append to.
    pub stream_id: StreamId,
    /// What the committer has seen of it.
    pub expectation: Expectation,
    /// What to append.
    pub events: Events,
    /// A JSON object about the commit: see [`with_metadata`](Commit::with_metadata).
    pub(crate) metadata: Json,
    /// The stream's type. The first commit sets it; later commits may repeat it.
    pub stream_type: Option<StreamType>,
    /// Makes the commit safe to retry.
    pub idempotency_key: Option<IdempotencyKey>,
    /// When it was committed, for importing a log. Default: the store's clock.
    pub recorded_at: Option<Timestamp>,
    /// The trace that the commit belongs to. Stored beside the changeset; it decides nothing.
    pub trace: Option<TraceContext>,
}

impl Commit {
    /// A commit with empty metadata, no stream type and no idempotency key.
    pub fn new(stream_id: StreamId, expectation: Expectation, events: Events) -> Self {
        Self {
            stream_id,
            expectation,
            events,
            metadata: Json::stored("{}"),
            stream_type: None,
            idempotency_key: None,
            recorded_at: None,
            trace: None,
        }
    }

    /// Sets the metadata. Default: `{}`.
    ///
    /// # Errors
    /// [`InvalidJson`](crate::InvalidJson) when it is not a JSON object, or nests deeper than
    /// [`Json::DEPTH_MAX`].
    pub fn with_metadata(self, metadata: Json) -> Result<Self, crate::InvalidJson> {
        metadata.check_depth(Json::DEPTH_MAX)?;
        if !metadata.as_str().starts_with('{') {
            return Err(crate::InvalidJson("`metadata` must be an object".to_owned()));
        }
        Ok(Self { metadata, ..self })
    }

    /// Replaces the expectation, for a retry after a conflict.
    #[must_use]
    pub fn expecting(self, expectation: Expectation) -> Self {
        Self { expectation, ..self }
    }

    /// Sets the stream's type. Default: none.
    #[must_use]
    pub fn with_stream_type(self, stream_type: StreamType) -> Self {
        Self { stream_type: Some(stream_type), ..self }
    }

    /// Sets the idempotency key, which makes the commit safe to retry. Default: none.
    #[must_use]
    pub fn with_idempotency_key(self, key: IdempotencyKey) -> Self {
        Self { idempotency_key: Some(key), ..self }
    }

    /// Sets the time of the commit, for importing a log. The store still keeps the times of a stream
    /// ascending.
    #[must_use]
    pub fn with_recorded_at(self, time: Timestamp) -> Self {
        Self { recorded_at: Some(time), ..self }
    }

    /// Sets the trace that the commit belongs to. Default: none. A repeated commit keeps the trace of the first.
    #[must_use]
    pub fn with_trace(self, trace: TraceContext) -> Self {
        Self { trace: Some(trace), ..self }
    }

    /// A JSON object about the commit.
    pub fn metadata(&self) -> &Json {
        &self.metadata
    }

    /// The text of its metadata as it will be stored: see [`Changeset::metadata_as_stored`](crate::Changeset).
    pub(crate) fn metadata_as_stored(&self) -> &str {
        self.events.quarantined().map_or(self.metadata.as_str(), crate::Quarantined::metadata)
    }

    /// The size of events and metadata in bytes, as stored. The store's limit applies to it.
    pub fn size_bytes(&self) -> usize {
        self.events.as_stored().len() + self.metadata_as_stored().len()
    }

    /// A changeset that another store holds, for importing a log. Events and metadata may be what only
    /// another system would have accepted, and quarantined.
    pub fn imported(
        stream_id: StreamId,
        expectation: Expectation,
        events: Events,
        metadata: Json,
        time: Timestamp,
    ) -> Self {
        Self { metadata, recorded_at: Some(time), ..Self::new(stream_id, expectation, events) }
    }
}

/// A commit that was stored durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The changeset that was stored. For a retry with the same idempotency key: the one that the first call
    /// stored.
    pub changeset_id: ChangesetId,
    /// Its position in the global order, if the store knows it at once.
    pub checkpoint: Option<Checkpoint>,
}
