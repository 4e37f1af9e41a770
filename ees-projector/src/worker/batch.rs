//! A page of the log, decoded as a projection's events before any transaction is open.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::AssertUnwindSafe;

use ees_store::{Checkpoint, EventId, LogEntry, LogHead, LogPage, SegmentPlace, StreamId};
use serde::de::DeserializeOwned;

use crate::event::{Recorded, UnreadableEvent};
use crate::projection_state::{ChangesetRef, ProjectionState};
use crate::segment_progress::SegmentProgress;
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
    /// The part of a segment that it is, if it is one.
    pub(crate) segment: Option<PartOfSegment>,
}

/// A part of a segment of the log.
pub(crate) struct PartOfSegment {
    /// How far the segment was read before.
    pub(crate) from: SegmentProgress,
    /// Where the rest begins. `None`: this is the last part.
    pub(crate) next: Option<SegmentPlace>,
    /// How many changesets of the log it has passed, also those that the filter left out.
    pub(crate) passed: u64,
    /// The read units that it took, if the database of the log charges any.
    pub(crate) read_units: Option<f64>,
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
            segment: None,
        }
    }

    /// Returns `true` if a projection in this state applies it next.
    pub(crate) fn follows(&self, state: &ProjectionState) -> bool {
        self.from == state.position.next
            && self.segment.as_ref().map(|part| &part.from) == state.segment.as_ref()
    }

    /// Returns `true` if nothing comes before it.
    pub(crate) fn is_first(&self) -> bool {
        self.from == Checkpoint::START && self.segment.as_ref().is_none_or(|part| part.from.passed == 0)
    }

    /// Returns `true` if there was nothing to read.
    pub(crate) fn is_idle(&self) -> bool {
        self.segment.is_none() && self.next == self.from
    }

    /// Returns `true` if it has passed something before its first changeset.
    pub(crate) fn begins_before_its_first(&self) -> bool {
        self.segment.is_none() && self.position_before(0) > self.from
    }

    /// Returns the state of a projection that has passed all changesets before this one.
    pub(crate) fn state_before(&self, changeset: usize, from: &ProjectionState) -> ProjectionState {
        let log_id = self.head.log_id;
        let Some(part) = &self.segment else {
            return from.advanced(self.position_before(changeset), log_id, self.passed_before(changeset));
        };
        if changeset < self.changesets.len() {
            let before = changeset.checked_sub(1).map(|before| SegmentPlace::after(&self.changesets[before]));
            let after =
                before.map_or_else(|| part.from.clone(), |place| part.from.at(place, changeset as u64));
            return from.in_segment(after, log_id);
        }
        match &part.next {
            Some(next) => from.in_segment(part.from.at(next.clone(), part.passed), log_id),
            None => from.past_segment(part.from.until, log_id, self.last.clone()),
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
