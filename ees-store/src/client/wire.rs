//! Pages as they come over the wire. Events stay the text they are.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    Changeset, ChangesetId, Checkpoint, EventId, Events, Json, LogEntry, LogHead, LogId, LogPage,
    Quarantined, StreamId, StreamPage, StreamType, Timestamp, TraceContext, json,
};

/// What a commit is answered with.
#[derive(Deserialize)]
pub(super) struct Stored {
    pub(super) changeset_id: ChangesetId,
}

/// A part of a stream.
#[derive(Deserialize)]
pub(crate) struct OfStream<'a> {
    #[serde(borrow)]
    changesets: Vec<Entry<'a>>,
    next: Option<ChangesetId>,
    /// The place in the global order of the last changeset, when it has one.
    pub(super) last_checkpoint: Option<Checkpoint>,
}

impl<'a> OfStream<'a> {
    /// The page, or what a server of the base contract tells.
    pub(crate) fn page(self, stream_id: &StreamId) -> Result<StreamPage, Vec<Unplaced<'a>>> {
        let changesets: Result<_, _> =
            self.changesets.iter().map(|entry| entry.changeset(stream_id.clone())).collect();
        match changesets {
            Ok(changesets) => Ok(StreamPage { changesets, next: self.next }),
            Err(NoPosition) => Err(self.changesets.into_iter().map(Entry::unplaced).collect()),
        }
    }
}

/// A part of the log.
#[derive(Deserialize)]
pub(crate) struct OfLog<'a> {
    #[serde(borrow)]
    changesets: Vec<Placed<'a>>,
    pub(super) next_checkpoint: Checkpoint,
    head: Option<Checkpoint>,
    log_id: Option<LogId>,
    incarnation: Option<Uuid>,
}

/// What a server of the base contract tells of a part of the log.
pub(crate) type BasePage<'a> = Vec<(Checkpoint, StreamId, Unplaced<'a>)>;

impl<'a> OfLog<'a> {
    /// The page of a query that began at `from`, or what a server of the base contract tells.
    pub(crate) fn page(self, from: Checkpoint) -> Result<LogPage, BasePage<'a>> {
        let changesets: Result<_, _> = self.changesets.iter().map(Placed::entry).collect();
        match (self.head, self.log_id, self.incarnation, changesets) {
            (Some(checkpoint), Some(log_id), Some(incarnation), Ok(changesets)) => {
                let head = LogHead { checkpoint, log_id, incarnation };
                Ok(LogPage::new(from, changesets, self.next_checkpoint, head))
            }
            _ => Err(self.changesets.into_iter().map(Placed::unplaced).collect()),
        }
    }
}

/// A changeset as the base contract has it.
#[derive(Deserialize)]
pub(crate) struct Unplaced<'a> {
    pub(super) changeset_id: ChangesetId,
    #[serde(borrow)]
    pub(super) events: &'a RawValue,
    #[serde(borrow)]
    pub(super) metadata: &'a RawValue,
}

/// The server tells no positions.
struct NoPosition;

#[derive(Deserialize)]
struct Entry<'a> {
    changeset_id: ChangesetId,
    first_event_id: Option<EventId>,
    timestamp: Option<Timestamp>,
    #[serde(borrow)]
    stream_type: Option<Name<'a>>,
    #[serde(borrow)]
    events: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
    event_count: Option<u64>,
    quarantined: Option<Held>,
    #[serde(borrow)]
    traceparent: Option<Name<'a>>,
    #[serde(borrow)]
    tracestate: Option<Name<'a>>,
}

impl<'a> Entry<'a> {
    /// What the server has checked is not checked again: its answers are valid JSON without white space.
    fn changeset(&self, stream_id: StreamId) -> Result<Changeset, NoPosition> {
        let (Some(first_event_id), Some(timestamp)) = (self.first_event_id, self.timestamp) else {
            return Err(NoPosition);
        };
        let text = self.events.get();
        let count = self.event_count.unwrap_or_else(|| json::elements(text).count() as u64);
        let events = match self.quarantined.clone() {
            Some(Held { reason, events, metadata }) => {
                Events::quarantine(Quarantined::new(reason, events, metadata), count)
            }
            None => Events::stored(text, count),
        };
        let trace = self.traceparent.as_ref().and_then(|Name(traceparent)| {
            TraceContext::from_headers(traceparent, self.tracestate.as_ref().map(|Name(list)| &**list))
        });
        Ok(Changeset {
            stream_id,
            changeset_id: self.changeset_id,
            first_event_id,
            events,
            metadata: Json::stored(self.metadata.get()),
            timestamp,
            stream_type: self.stream_type.as_ref().map(|Name(name)| StreamType::stored(name)),
            trace,
        })
    }

    fn unplaced(self) -> Unplaced<'a> {
        Unplaced { changeset_id: self.changeset_id, events: self.events, metadata: self.metadata }
    }
}

// Not an `Entry` with two more members: serde's `flatten` would buffer each changeset.
#[derive(Deserialize)]
struct Placed<'a> {
    checkpoint: Checkpoint,
    #[serde(borrow)]
    stream_id: Cow<'a, str>,
    changeset_id: ChangesetId,
    first_event_id: Option<EventId>,
    timestamp: Option<Timestamp>,
    #[serde(borrow)]
    stream_type: Option<Name<'a>>,
    #[serde(borrow)]
    events: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
    event_count: Option<u64>,
    quarantined: Option<Held>,
    #[serde(borrow)]
    traceparent: Option<Name<'a>>,
    #[serde(borrow)]
    tracestate: Option<Name<'a>>,
}

impl<'a> Placed<'a> {
    fn entry(&self) -> Result<LogEntry, NoPosition> {
        let entry = Entry {
            changeset_id: self.changeset_id,
            first_event_id: self.first_event_id,
            timestamp: self.timestamp,
            stream_type: self.stream_type.clone(),
            events: self.events,
            metadata: self.metadata,
            event_count: self.event_count,
            quarantined: self.quarantined.clone(),
            traceparent: self.traceparent.clone(),
            tracestate: self.tracestate.clone(),
        };
        let changeset = entry.changeset(StreamId::stored(&self.stream_id))?;
        Ok(LogEntry { checkpoint: self.checkpoint, changeset })
    }

    fn unplaced(self) -> (Checkpoint, StreamId, Unplaced<'a>) {
        let unplaced =
            Unplaced { changeset_id: self.changeset_id, events: self.events, metadata: self.metadata };
        (self.checkpoint, StreamId::stored(&self.stream_id), unplaced)
    }
}

/// A changeset that the store can't read.
#[derive(Clone, Deserialize)]
struct Held {
    reason: String,
    events: String,
    metadata: String,
}

/// Borrowed where it can be, which serde does not do for a `Cow` within an `Option`.
#[derive(Clone, Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// How many of the first changesets fit a page with these limits on their number and bytes; at least one.
pub(super) fn fitting<'c>(
    changesets: impl Iterator<Item = &'c Changeset>,
    limit: usize,
    max_bytes: usize,
) -> usize {
    let mut bytes = 0_usize;
    let fit = changesets.take(limit).take_while(|changeset| {
        bytes = bytes.saturating_add(changeset.size_bytes());
        bytes <= max_bytes
    });
    fit.count().max(1)
}
