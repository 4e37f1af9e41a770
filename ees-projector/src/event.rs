//! What a projection is given: an event with its place, read as the type the projection asks for.

use ees_store::{
    Changeset, ChangesetId, Checkpoint, EventId, Indexed, Json, StreamId, StreamType, Timestamp,
};

/// One event, with all that is known of it.
#[derive(Debug)]
pub struct Recorded<'a, E> {
    /// The event as the projection's own type.
    pub event: &'a E,
    /// Its number in its stream, from 1.
    pub event_id: EventId,
    changeset: &'a Indexed,
}

// Derived, they would ask for `E: Clone`.
impl<E> Clone for Recorded<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<E> Copy for Recorded<'_, E> {}

impl<'a, E> Recorded<'a, E> {
    pub(crate) fn new(event: &'a E, event_id: EventId, changeset: &'a Indexed) -> Self {
        Self { event, event_id, changeset }
    }

    /// The stream it was committed to.
    pub fn stream_id(&self) -> &'a StreamId {
        &self.changeset.changeset.stream_id
    }

    /// The number of its changeset in the stream, from 1.
    pub fn changeset_id(&self) -> ChangesetId {
        self.changeset.changeset_id
    }

    /// The place of its changeset in the global order.
    pub fn checkpoint(&self) -> Checkpoint {
        self.changeset.checkpoint
    }

    /// When it was committed.
    pub fn timestamp(&self) -> Timestamp {
        self.changeset.timestamp
    }

    /// The type of its stream.
    pub fn stream_type(&self) -> Option<&'a StreamType> {
        self.changeset.changeset.stream_type.as_ref()
    }

    /// The metadata of its changeset.
    pub fn metadata(&self) -> &'a Json {
        &self.changeset.changeset.metadata
    }

    /// Whether it is the first event of its changeset: for what counts changesets.
    pub fn begins_changeset(&self) -> bool {
        self.event_id == self.changeset.first_event_id
    }

    /// The whole changeset.
    pub fn changeset(&self) -> &'a Changeset {
        &self.changeset.changeset
    }
}

/// An event that is the projection's, and can't be read: the text does not fit the type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event_id} can't be read: {reason}")]
pub struct UnreadableEvent {
    /// The event's number in its stream.
    pub event_id: EventId,
    /// What does not fit, and where.
    pub reason: String,
}
