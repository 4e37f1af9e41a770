//! What loading and executing can fail with.

use ees_store::{ChangesetId, EventId, StreamId, StreamType};

/// Why an aggregate could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed. [`is_transient`](ees_store::Error::is_transient) says whether a retry can succeed.
    #[error(transparent)]
    Store(#[from] ees_store::Error),
    /// An event does not fit the aggregate's event type, or its type is unknown. Add it to the event type,
    /// add an upcaster if it is an old form, or upgrade this program if a newer one wrote it.
    #[error("event {event_id} of stream {stream_id} can't be read: {reason}")]
    Unreadable {
        /// The stream.
        stream_id: StreamId,
        /// The event's number in it.
        event_id: EventId,
        /// What does not fit, and where.
        reason: String,
    },
    /// The stream belongs to another aggregate.
    #[error("stream {stream_id} has the type \"{found}\", not \"{wanted}\"")]
    WrongType {
        /// The stream.
        stream_id: StreamId,
        /// The stream's type.
        found: StreamType,
        /// The aggregate's type.
        wanted: &'static str,
    },
    /// The stream does not have that changeset yet.
    #[error("stream {stream_id} has no changeset {asked}: its last one is {last}")]
    AheadOfStream {
        /// The stream.
        stream_id: StreamId,
        /// The requested changeset.
        asked: ChangesetId,
        /// The stream's last changeset; 0 if the stream does not exist.
        last: ChangesetId,
    },
    /// The store skipped a changeset, or was replaced while the stream was read. Nothing was decided; load
    /// again.
    #[error("stream {stream_id} continues with changeset {got} instead of {expected}")]
    Gap {
        /// The stream.
        stream_id: StreamId,
        /// The changeset that should have followed.
        expected: ChangesetId,
        /// The changeset that the store returned.
        got: ChangesetId,
    },
}

/// Why a command was not executed.
///
/// Nothing was stored. Exception: after a [transient](ees_store::Error::is_transient) [`Store`](Error::Store)
/// error it is unknown; retry the command with the same idempotency key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError<R> {
    /// The aggregate refused the command: its own error.
    #[error(transparent)]
    Refused(R),
    /// Other commits came first, each time. The stream is contended: retry later, or reduce the number of
    /// writers.
    #[error(
        "stream {stream_id} was changed by other commits during each of {attempts} attempts to decide the command"
    )]
    Conflict {
        /// The stream.
        stream_id: StreamId,
        /// The number of attempts, each of which ended in a conflict.
        attempts: usize,
    },
    /// A command with this idempotency key was executed before on this stream, and would now have another
    /// result. Its events are in the stream: load it.
    #[error("a command with this idempotency key was executed before on stream {stream_id}")]
    AlreadyExecuted {
        /// The stream.
        stream_id: StreamId,
    },
    /// The aggregate could not be loaded, or the store failed.
    #[error(transparent)]
    Failed(#[from] Error),
    /// The events or the metadata can't be serialized as JSON, or not as JSON that a store accepts.
    #[error("the decision can't be stored: {0}")]
    Unwritable(#[from] ees_store::InvalidJson),
}

impl<R> From<ees_store::Error> for ExecuteError<R> {
    fn from(error: ees_store::Error) -> Self {
        Self::Failed(Error::Store(error))
    }
}
