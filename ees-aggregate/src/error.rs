//! What can go wrong, for whoever acts on it.

use ees_store::{ChangesetId, EventId, StreamId, StreamType};

/// Why an aggregate could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed. [`is_transient`](ees_store::Error::is_transient) tells whether waiting can help.
    #[error(transparent)]
    Store(#[from] ees_store::Error),
    /// An event does not fit the aggregate's type, or is of a type it does not know. Teach the type about it, by an
    /// upcaster if it is an old form, or upgrade this program if a newer one wrote it.
    #[error("event {event_id} of stream {stream_id} can't be read: {reason}")]
    Unreadable {
        /// The stream.
        stream_id: StreamId,
        /// The event's number in it.
        event_id: EventId,
        /// What does not fit, and where.
        reason: String,
    },
    /// The stream is of another aggregate.
    #[error("stream {stream_id} is of the type \"{found}\", not \"{wanted}\"")]
    WrongType {
        /// The stream.
        stream_id: StreamId,
        /// The stream's type.
        found: StreamType,
        /// The aggregate's.
        wanted: &'static str,
    },
    /// The stream does not have that changeset yet.
    #[error("stream {stream_id} has no changeset {asked}: its last one is {last}")]
    NotThere {
        /// The stream.
        stream_id: StreamId,
        /// The changeset that was asked for.
        asked: ChangesetId,
        /// The last there is; 0 when the stream does not exist.
        last: ChangesetId,
    },
    /// The store left something out, or was replaced while the stream was read. Never decided upon; load again.
    #[error("stream {stream_id} went from changeset {expected} on with {got}")]
    Gap {
        /// The stream.
        stream_id: StreamId,
        /// The changeset that had to come.
        expected: ChangesetId,
        /// The one that came.
        got: ChangesetId,
    },
}

/// Why a command was not carried out.
///
/// Nothing was stored, save that it is unknown after a [`Store`](Error::Store) error that
/// [may pass](ees_store::Error::is_transient): repeat the command under the same idempotency key then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError<R> {
    /// The aggregate refused: its own words.
    #[error(transparent)]
    Refused(R),
    /// Others appended first, each time. The stream is in great demand: try again later, or let fewer write to it.
    #[error("stream {stream_id} was changed by others {attempts} times while the command was decided")]
    Conflict {
        /// The stream.
        stream_id: StreamId,
        /// How often a decision was overtaken.
        attempts: usize,
    },
    /// A command under this idempotency key was carried out before on this stream, and would now end otherwise. Its
    /// effects are in the stream: load it.
    #[error("a command with this idempotency key was carried out before on stream {stream_id}")]
    AlreadyExecuted {
        /// The stream.
        stream_id: StreamId,
    },
    /// The aggregate could not be loaded, or the store failed.
    #[error(transparent)]
    Failed(#[from] Error),
    /// The events or the metadata have no JSON form that a store takes.
    #[error("the decision can't be stored: {0}")]
    Unwritable(#[from] ees_store::InvalidJson),
}

impl<R> From<ees_store::Error> for ExecuteError<R> {
    fn from(error: ees_store::Error) -> Self {
        Self::Failed(Error::Store(error))
    }
}
