//! The event that a projection or a reactor is given.

use ees_store::{
    Changeset, ChangesetId, Checkpoint, EventId, Json, LogEntry, StreamId, StreamType, Timestamp,
    TraceContext,
};

/// An event in the type that the projection asks for, with its stream, its checkpoint and its changeset.
#[derive(Debug)]
pub struct Recorded<'a, E> {
    /// The event.
    pub event: &'a E,
    /// The number of the event in its stream, from 1.
    pub event_id: EventId,
    changeset: &'a LogEntry,
}

// Derived, these would require `E: Clone`.
impl<E> Clone for Recorded<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<E> Copy for Recorded<'_, E> {}

impl<'a, E> Recorded<'a, E> {
    pub(crate) fn new(event: &'a E, event_id: EventId, changeset: &'a LogEntry) -> Self {
        Self { event, event_id, changeset }
    }

    /// Returns the id of the event's stream.
    pub fn stream_id(&self) -> &'a StreamId {
        &self.changeset.changeset.stream_id
    }

    /// Returns the number of the event's changeset in the stream, from 1.
    pub fn changeset_id(&self) -> ChangesetId {
        self.changeset.changeset_id
    }

    /// Returns the checkpoint of the event's changeset.
    pub fn checkpoint(&self) -> Checkpoint {
        self.changeset.checkpoint
    }

    /// Returns the time of the commit.
    pub fn timestamp(&self) -> Timestamp {
        self.changeset.timestamp
    }

    /// Returns the type of the stream, if it has one.
    pub fn stream_type(&self) -> Option<&'a StreamType> {
        self.changeset.changeset.stream_type.as_ref()
    }

    /// Returns the metadata of the event's changeset.
    pub fn metadata(&self) -> &'a Json {
        &self.changeset.changeset.metadata
    }

    /// Returns the trace that the commit belongs to, if it was given.
    pub fn trace(&self) -> Option<&'a TraceContext> {
        self.changeset.changeset.trace.as_ref()
    }

    /// Returns `true` for the first event of a changeset. Use it to count changesets.
    pub fn begins_changeset(&self) -> bool {
        self.event_id == self.changeset.first_event_id
    }

    /// Returns the whole changeset.
    pub fn changeset(&self) -> &'a Changeset {
        &self.changeset.changeset
    }
}

/// An event of a type that the projection knows, whose JSON does not fit that type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event_id} can't be read: {reason}")]
pub struct UnreadableEvent {
    /// The number of the event in its stream.
    pub event_id: EventId,
    /// What does not fit, and where.
    pub reason: String,
}
