//! A loaded aggregate.

use std::ops::Deref;

use ees_store::event::Reading;
use ees_store::{Changeset, ChangesetId, EventId, Filter, StreamId, StreamType};

use crate::{Aggregate, Error};

/// An aggregate, and its position in its stream. Dereferences to the state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loaded<A> {
    /// The stream.
    pub stream_id: StreamId,
    /// The last changeset in the state; [`ChangesetId::NONE`] if the stream does not exist.
    pub changeset_id: ChangesetId,
    /// The last event in the state.
    pub event_id: EventId,
    /// The stream's type, as its first commit set it.
    pub stream_type: Option<StreamType>,
    /// The state.
    pub state: A,
}

impl<A> Deref for Loaded<A> {
    type Target = A;
    fn deref(&self) -> &A {
        &self.state
    }
}

impl<A: Aggregate> Loaded<A> {
    /// A stream that does not exist.
    pub(crate) fn new(stream_id: StreamId) -> Self {
        let (changeset_id, event_id) = (ChangesetId::NONE, EventId::NONE);
        Self { stream_id, changeset_id, event_id, stream_type: None, state: A::default() }
    }

    /// Returns whether the stream exists.
    pub fn exists(&self) -> bool {
        self.changeset_id != ChangesetId::NONE
    }

    /// Applies the changeset that comes next.
    pub(crate) fn follow(&mut self, changeset: &Changeset, reading: &Reading) -> Result<(), Error> {
        if changeset.changeset_id != self.changeset_id.next() {
            let (expected, got) = (self.changeset_id.next(), changeset.changeset_id);
            return Err(Error::Gap { stream_id: self.stream_id.clone(), expected, got });
        }
        if let Some(other) = changeset.stream_type.as_ref().filter(|name| name.as_str() != A::TYPE) {
            let stream_id = self.stream_id.clone();
            return Err(Error::WrongType { stream_id, found: other.clone(), wanted: A::TYPE });
        }
        let all = Filter::default();
        let unreadable = |event_id, reason| {
            let stream_id = changeset.stream_id.clone();
            Error::Unreadable { stream_id, event_id, reason }
        };
        let events = changeset.numbered_events();
        for (event_id, text) in events.map_err(|it| unreadable(changeset.first_event_id, it.to_string()))? {
            let read = reading.read::<A::Event>(text, &all).map_err(|reason| unreadable(event_id, reason))?;
            if let Some(event) = read {
                self.state.apply(&event);
            }
        }
        self.changeset_id = changeset.changeset_id;
        self.event_id = changeset.last_event_id();
        self.stream_type.clone_from(&changeset.stream_type);
        Ok(())
    }
}
