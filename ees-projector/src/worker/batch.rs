//! A page of the log, read as a projection's events before any transaction is open.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::AssertUnwindSafe;

use ees_store::event::Reading;
use ees_store::{Checkpoint, EventId, Filter, Indexed, LogHead, LogPage};
use serde::de::DeserializeOwned;

use crate::control::Applied;
use crate::event::{Recorded, UnreadableEvent};

/// Changesets and their events, decoded.
pub(crate) struct Batch<E> {
    pub(crate) changesets: Vec<Indexed>,
    events: Vec<Decoded<E>>,
    /// By changeset, counted within the batch.
    pub(crate) unreadable: BTreeMap<usize, UnreadableEvent>,
    /// The changeset before `next`, whether the filter passes it or not.
    pub(crate) last: Option<Applied>,
    /// Where it was read from: it is for a projection that stands there, and no other.
    pub(crate) from: Checkpoint,
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
    /// Decodes what was read from a checkpoint on.
    pub(crate) fn decode(from: Checkpoint, page: LogPage, filter: &Filter, reading: &Reading) -> Self {
        let mut events = Vec::with_capacity(page.changesets.len());
        let mut unreadable = BTreeMap::new();
        for (changeset, indexed) in page.changesets.iter().enumerate() {
            for (event_id, text) in indexed.numbered_events() {
                match guarded(text, filter, reading) {
                    Ok(Some(event)) => events.push(Decoded { changeset, event_id, event }),
                    Ok(None) => {}
                    Err(reason) => {
                        unreadable.entry(changeset).or_insert(UnreadableEvent { event_id, reason });
                    }
                }
            }
        }
        let last = None;
        Self { changesets: page.changesets, events, unreadable, last, from, next: page.next, head: page.head }
    }
}

/// Reads an event; a panic in the type's own code is an event that can't be read, not the end of the worker.
fn guarded<E: DeserializeOwned>(text: &str, filter: &Filter, reading: &Reading) -> Result<Option<E>, String> {
    // What panicked in there left nothing half-done behind: filter and upcasters are only read.
    std::panic::catch_unwind(AssertUnwindSafe(|| reading.read(text, filter)))
        .unwrap_or_else(|_| Err("reading it panicked".to_owned()))
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

    /// Which changeset an event of this batch is of, counted within the batch.
    pub(crate) fn index_of(&self, event: &Recorded<'_, E>) -> usize {
        self.changesets.partition_point(|it| it.checkpoint < event.checkpoint())
    }

    /// Where a projection stands that has seen the changesets before this one.
    pub(crate) fn position_before(&self, changeset: usize) -> Checkpoint {
        match self.changesets.get(changeset) {
            Some(indexed) => indexed.checkpoint,
            None => self.next,
        }
    }

    /// The last changeset that a projection has passed which has seen those before this one.
    pub(crate) fn passed_before(&self, changeset: usize) -> Option<Applied> {
        if changeset >= self.changesets.len() {
            return self.last.clone();
        }
        changeset.checked_sub(1).and_then(|before| self.place(before))
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
        timestamp: indexed.timestamp,
    }
}
