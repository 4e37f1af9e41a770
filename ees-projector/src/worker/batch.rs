//! A page of the log, decoded as a projection's events before any transaction is open.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::AssertUnwindSafe;

use ees_store::{Checkpoint, EventId, LogEntry, LogHead, LogPage, StreamId};
use serde::de::DeserializeOwned;

use crate::event::{Recorded, UnreadableEvent};
use crate::projection_state::ChangesetRef;
use crate::subscription::Subscription;
use crate::worker::event_tally::EventTally;

/// The most events passed over whose types are looked at.
const PASSED_OVER_MAX: usize = 20;

/// Changesets and their decoded events. Only the processor that decoded them knows the events' type.
pub(crate) struct Batch {
    pub(crate) changesets: Vec<LogEntry>,
    /// How many changesets were read for it, also those of other partitions.
    pub(crate) read: usize,
    events: Vec<EventRef>,
    /// A `Vec` of the processor's events, parallel to `events`.
    decoded: Box<dyn Any + Send + Sync>,
    /// Events that can't be read, by the index of their changeset in the batch.
    pub(crate) unreadable: BTreeMap<usize, UnreadableEvent>,
    /// What was made of the events.
    pub(crate) tally: EventTally,
    /// The first events that were passed over: their changeset, as an index, and their number in it.
    passed_over: Vec<(usize, usize)>,
    /// The changeset before `next`, even if the filter leaves it out.
    pub(crate) last: Option<ChangesetRef>,
    /// The checkpoint that the batch was read from. Only a projection at this checkpoint may apply it.
    pub(crate) from: Checkpoint,
    /// The checkpoint that comes next in the log.
    pub(crate) next: Checkpoint,
    pub(crate) head: LogHead,
}

/// An event's changeset, as an index in the batch, and its number in its stream.
struct EventRef {
    changeset: usize,
    event_id: EventId,
}

impl Batch {
    /// Decodes a page of the log that was read from a checkpoint.
    pub(crate) fn decode<E>(from: Checkpoint, page: LogPage, subscription: &Subscription) -> Self
    where
        E: DeserializeOwned + Send + Sync + 'static,
    {
        let mut events = Vec::with_capacity(page.changesets.len());
        let mut decoded = Vec::<E>::with_capacity(page.changesets.len());
        let mut unreadable = BTreeMap::new();
        let passed = page.next.get().saturating_sub(from.get());
        let (mut tally, mut passed_over) = (EventTally::default(), Vec::new());
        tally.left_out = passed.saturating_sub(page.changesets.len() as u64);
        for (changeset, entry) in page.changesets.iter().enumerate() {
            if subscription.whole_changesets {
                let event_id = entry.first_event_id;
                match serde_json::from_str("null") {
                    Ok(event) => {
                        events.push(EventRef { changeset, event_id });
                        decoded.push(event);
                    }
                    Err(error) => {
                        unreadable.insert(changeset, UnreadableEvent { event_id, reason: error.to_string() });
                    }
                }
                continue;
            }
            let numbered = match entry.numbered_events() {
                Ok(numbered) => numbered,
                Err(quarantined) => {
                    let event_id = entry.first_event_id;
                    unreadable
                        .insert(changeset, UnreadableEvent { event_id, reason: quarantined.to_string() });
                    continue;
                }
            };
            for (number, (event_id, text)) in numbered.enumerate() {
                match guarded(text, subscription) {
                    Ok(Some(event)) => {
                        events.push(EventRef { changeset, event_id });
                        decoded.push(event);
                    }
                    Ok(None) => {
                        tally.counts.passed_over += 1;
                        if passed_over.len() < PASSED_OVER_MAX {
                            passed_over.push((changeset, number));
                        }
                    }
                    Err(reason) => {
                        tally.counts.unreadable += 1;
                        unreadable.entry(changeset).or_insert(UnreadableEvent { event_id, reason });
                    }
                }
            }
        }
        tally.counts.recognized = events.len() as u64;
        Self {
            read: page.changesets.len(),
            changesets: page.changesets,
            events,
            tally,
            passed_over,
            decoded: Box::new(decoded),
            unreadable,
            last: None,
            from,
            next: page.next,
            head: page.head,
        }
    }

    /// Returns the text of the first events that were passed over.
    pub(crate) fn passed_over(&self) -> impl Iterator<Item = &str> {
        self.passed_over.iter().filter_map(|(changeset, number)| {
            self.changesets[*changeset].numbered_events().ok()?.nth(*number).map(|(_, text)| text)
        })
    }

    /// Returns some of the events, as the type that they were decoded as.
    pub(crate) fn recorded<E: 'static>(&self, events: &[usize]) -> Vec<Recorded<'_, E>> {
        #[expect(
            clippy::expect_used,
            reason = "a core has one processor, which decodes and reads its batches"
        )]
        let decoded = self.decoded.downcast_ref::<Vec<E>>().expect("events of another type");
        let recorded = |event: &usize| {
            let EventRef { changeset, event_id } = &self.events[*event];
            Recorded::new(&decoded[*event], *event_id, &self.changesets[*changeset])
        };
        events.iter().map(recorded).collect()
    }

    /// Returns the range of the events of some changesets (indexes in the batch).
    pub(crate) fn events_of(&self, changesets: Range<usize>) -> Range<usize> {
        let begin = self.events.partition_point(|event| event.changeset < changesets.start);
        let end = self.events.partition_point(|event| event.changeset < changesets.end);
        begin..end
    }

    /// Returns the number of events.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns the number of an event in its stream.
    pub(crate) fn event_id(&self, event: usize) -> EventId {
        self.events[event].event_id
    }

    /// Returns the text of an event as it is stored; `None` if the projection is given whole changesets.
    pub(crate) fn text_of(&self, event: usize) -> Option<&str> {
        let EventRef { changeset, event_id } = &self.events[event];
        let mut numbered = self.changesets[*changeset].numbered_events().ok()?;
        numbered.find(|(id, _)| id == event_id).map(|(_, text)| text)
    }

    /// Returns the changeset of an event, as an index in the batch.
    pub(crate) fn changeset_of(&self, event: usize) -> usize {
        self.events[event].changeset
    }

    /// Returns the stream of an event.
    pub(crate) fn stream_of(&self, event: usize) -> &StreamId {
        &self.changesets[self.changeset_of(event)].stream_id
    }

    /// Returns the position of a projection that has passed all changesets before this one.
    pub(crate) fn position_before(&self, changeset: usize) -> Checkpoint {
        match self.changesets.get(changeset) {
            Some(entry) => entry.checkpoint,
            None => self.next,
        }
    }

    /// Returns the last changeset that a projection has passed at that position.
    pub(crate) fn passed_before(&self, changeset: usize) -> Option<ChangesetRef> {
        if changeset >= self.changesets.len() {
            return self.last.clone();
        }
        changeset.checked_sub(1).and_then(|before| self.reference(before))
    }

    pub(crate) fn reference(&self, changeset: usize) -> Option<ChangesetRef> {
        self.changesets.get(changeset).map(reference_to)
    }
}

/// Decodes an event. A panic in the type's own code is an unreadable event and does not end the worker.
fn guarded<E: DeserializeOwned>(text: &str, subscription: &Subscription) -> Result<Option<E>, String> {
    let Subscription { filter, reading, .. } = subscription;
    // Unwind safe: the filter and the upcasters are only read.
    std::panic::catch_unwind(AssertUnwindSafe(|| reading.read(text, filter)))
        .unwrap_or_else(|_| Err("decoding the event panicked".to_owned()))
}

pub(crate) fn reference_to(entry: &LogEntry) -> ChangesetRef {
    ChangesetRef {
        checkpoint: entry.checkpoint,
        stream_id: entry.stream_id.clone(),
        changeset_id: entry.changeset_id,
        timestamp: entry.timestamp,
    }
}
