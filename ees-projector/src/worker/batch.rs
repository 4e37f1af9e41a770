//! A page of the log, read as a projection's events before any transaction is open.

use std::collections::BTreeMap;
use std::ops::Range;

use ees_store::{Checkpoint, EventId, Filter, Indexed, LogHead, LogPage};
use serde::de::DeserializeOwned;

use crate::control::Applied;
use crate::event::{Recorded, UnreadableEvent, read_event};

/// Changesets and their events, decoded.
pub(crate) struct Batch<E> {
    pub(crate) changesets: Vec<Indexed>,
    events: Vec<Decoded<E>>,
    /// By changeset, counted within the batch.
    pub(crate) unreadable: BTreeMap<usize, UnreadableEvent>,
    /// Where the log goes on.
    pub(crate) next: Checkpoint,
    pub(crate) head: LogHead,
}

struct Decoded<E> {
    changeset: usize,
    event_id: EventId,
    event: E,
}

impl<E: DeserializeOwned> Batch<E> {
    pub(crate) fn decode(page: LogPage, filter: &Filter) -> Self {
        let mut events = Vec::with_capacity(page.changesets.len());
        let mut unreadable = BTreeMap::new();
        for (changeset, indexed) in page.changesets.iter().enumerate() {
            for (event_id, text) in indexed.numbered_events() {
                if !filter.accepts_event(text) {
                    continue;
                }
                match read_event(text) {
                    Ok(Some(event)) => events.push(Decoded { changeset, event_id, event }),
                    Ok(None) => {}
                    Err(reason) => {
                        unreadable.entry(changeset).or_insert(UnreadableEvent { event_id, reason });
                    }
                }
            }
        }
        Self { changesets: page.changesets, events, unreadable, next: page.next, head: page.head }
    }
}

impl<E> Batch<E> {
    /// The events of some of the changesets.
    pub(crate) fn events(&self, changesets: Range<usize>) -> impl Iterator<Item = Recorded<'_, E>> {
        let begin = self.events.partition_point(|event| event.changeset < changesets.start);
        let end = self.events.partition_point(|event| event.changeset < changesets.end);
        self.events[begin..end].iter().map(|decoded| {
            Recorded::new(&decoded.event, decoded.event_id, &self.changesets[decoded.changeset])
        })
    }

    /// Where a projection stands that has seen the changesets before this one.
    pub(crate) fn position_before(&self, changeset: usize) -> Checkpoint {
        match self.changesets.get(changeset) {
            Some(indexed) => indexed.checkpoint,
            None => self.next,
        }
    }

    pub(crate) fn place(&self, changeset: usize) -> Option<Applied> {
        self.changesets.get(changeset).map(place_of)
    }
}

pub(crate) fn place_of(indexed: &Indexed) -> Applied {
    Applied {
        checkpoint: indexed.checkpoint,
        stream_id: indexed.stream_id.clone(),
        changeset_id: indexed.changeset_id,
    }
}
