//! Pages as they come over the wire. Events stay the text they are.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    Changeset, ChangesetId, Checkpoint, EventId, Events, Json, LogEntry, LogHead, LogId, LogPage,
    Quarantined, StreamId, StreamPage, StreamType, Timestamp, json,
};

/// What a commit is answered with.
#[derive(Deserialize)]
pub(super) struct Stored {
    pub(super) changeset_id: ChangesetId,
}

/// A part of a stream.
#[derive(Deserialize)]
pub(super) struct OfStream<'a> {
    #[serde(borrow)]
    changesets: Vec<Entry<'a>>,
    next: Option<ChangesetId>,
    /// The place in the global order of the last changeset, when it has one.
    pub(super) last_checkpoint: Option<Checkpoint>,
}

impl OfStream<'_> {
    pub(super) fn page(self, stream_id: &StreamId) -> StreamPage {
        let changesets =
            self.changesets.into_iter().map(|entry| entry.changeset(stream_id.clone())).collect();
        StreamPage { changesets, next: self.next }
    }
}

/// A part of the log.
#[derive(Deserialize)]
pub(super) struct OfLog<'a> {
    #[serde(borrow)]
    changesets: Vec<Placed<'a>>,
    next_checkpoint: Checkpoint,
    head: Checkpoint,
    log_id: LogId,
    incarnation: Uuid,
}

impl OfLog<'_> {
    pub(super) fn head(&self) -> LogHead {
        LogHead { checkpoint: self.head, log_id: self.log_id, incarnation: self.incarnation }
    }

    /// The page of a query that began at `from`.
    pub(super) fn page(self, from: Checkpoint) -> LogPage {
        let (head, next) = (self.head(), self.next_checkpoint);
        LogPage::new(from, self.changesets.into_iter().map(Placed::indexed).collect(), next, head)
    }
}

#[derive(Deserialize)]
struct Entry<'a> {
    changeset_id: ChangesetId,
    first_event_id: EventId,
    timestamp: Timestamp,
    #[serde(borrow)]
    stream_type: Option<Name<'a>>,
    #[serde(borrow)]
    events: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
    event_count: Option<u64>,
    quarantined: Option<Held>,
}

impl Entry<'_> {
    /// What the server has checked is not checked again: its answers are valid JSON without white space.
    fn changeset(self, stream_id: StreamId) -> Changeset {
        let text = self.events.get();
        let count = self.event_count.unwrap_or_else(|| json::elements(text).count() as u64);
        let events = match self.quarantined {
            Some(Held { reason, events, metadata }) => {
                Events::quarantine(Quarantined::new(reason, events, metadata), count)
            }
            None => Events::stored(text, count),
        };
        Changeset {
            stream_id,
            changeset_id: self.changeset_id,
            first_event_id: self.first_event_id,
            events,
            metadata: Json::stored(self.metadata.get()),
            timestamp: self.timestamp,
            stream_type: self.stream_type.map(|Name(name)| StreamType::stored(&name)),
        }
    }
}

// Not an `Entry` with two more members: serde's `flatten` would buffer each changeset.
#[derive(Deserialize)]
struct Placed<'a> {
    checkpoint: Checkpoint,
    #[serde(borrow)]
    stream_id: Cow<'a, str>,
    changeset_id: ChangesetId,
    first_event_id: EventId,
    timestamp: Timestamp,
    #[serde(borrow)]
    stream_type: Option<Name<'a>>,
    #[serde(borrow)]
    events: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
    event_count: Option<u64>,
    quarantined: Option<Held>,
}

impl<'a> Placed<'a> {
    fn indexed(self) -> LogEntry {
        let entry: Entry<'a> = Entry {
            changeset_id: self.changeset_id,
            first_event_id: self.first_event_id,
            timestamp: self.timestamp,
            stream_type: self.stream_type,
            events: self.events,
            metadata: self.metadata,
            event_count: self.event_count,
            quarantined: self.quarantined,
        };
        LogEntry {
            checkpoint: self.checkpoint,
            changeset: entry.changeset(StreamId::stored(&self.stream_id)),
        }
    }
}

/// A changeset that the store can't read.
#[derive(Deserialize)]
struct Held {
    reason: String,
    events: String,
    metadata: String,
}

/// Borrowed where it can be, which serde does not do for a `Cow` within an `Option`.
#[derive(Deserialize)]
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
