//! What the table holds, attribute by attribute.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use uuid::Uuid;

use super::plan::Candidate;
use crate::quarantine::StoredBody;
use crate::{
    Changeset, ChangesetId, Checkpoint, Error, EventId, LogEntry, Result, StreamId, StreamType, Tail,
    Timestamp, TraceContext, TypedStream,
};

/// An item, or its key.
pub(crate) type Item = HashMap<String, AttributeValue>;

pub(super) const STREAM_ID: &str = "stream_id";
pub(super) const CHANGESET_ID: &str = "changeset_id";
pub(super) const EVENTS: &str = "events";
pub(super) const METADATA: &str = "metadata";
pub(super) const TIMESTAMP: &str = "timestamp";
pub(crate) const FIRST_EVENT_ID: &str = "first_event_id";
pub(crate) const LAST_EVENT_ID: &str = "last_event_id";
/// Ours, and absent from what another system has written.
pub(super) const STREAM_TYPE: &str = "stream_type";
/// Ours, too, and absent from a changeset without a trace.
const TRACE_CONTEXT: &str = "trace_context";
/// Names the call that stored a changeset: so a lost answer is told from a lost race.
pub(super) const COMMIT_ID: &str = "commit_id";
/// Of a stream's head.
pub(super) const UPDATED_AT: &str = "updated_at";
/// Of a changeset whose commit had an idempotency key: the digest of stream and key.
pub(super) const KEY_DIGEST: &str = "idempotency_key";
/// Beside the digest: until when it counts, in seconds since 1970. Not the attribute by which DynamoDB removes
/// items: the changeset stays.
pub(super) const KEY_EXPIRES_AT: &str = "key_expires_at";
/// Of an idempotency key that is an item: when DynamoDB may remove it, in seconds since 1970.
pub(super) const EXPIRES_AT: &str = "expires_at";
/// Of a stream's head: its last changeset.
pub(crate) const HEAD_CHANGESET_ID: &str = "head_changeset_id";
const HEAD_EVENT_ID: &str = "head_event_id";

pub(super) fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(super) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn bytes(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

pub(super) fn key(stream_id: &str, changeset_id: u64) -> Item {
    Item::from([(STREAM_ID.to_owned(), text(stream_id)), (CHANGESET_ID.to_owned(), number(changeset_id))])
}

pub(crate) fn of_changeset(changeset: &Changeset, commit_id: Uuid) -> Item {
    let mut item = key(changeset.stream_id.as_str(), changeset.changeset_id.get());
    item.insert(EVENTS.to_owned(), text(changeset.events.as_stored()));
    item.insert(METADATA.to_owned(), text(changeset.metadata_as_stored()));
    item.insert(TIMESTAMP.to_owned(), text(changeset.timestamp.to_string()));
    item.insert(FIRST_EVENT_ID.to_owned(), number(changeset.first_event_id.get()));
    item.insert(LAST_EVENT_ID.to_owned(), number(changeset.last_event_id().get()));
    item.insert(COMMIT_ID.to_owned(), bytes(commit_id.as_bytes().to_vec()));
    if let Some(stream_type) = &changeset.stream_type {
        item.insert(STREAM_TYPE.to_owned(), text(stream_type.as_str()));
    }
    if let Some(trace) = &changeset.trace {
        item.insert(TRACE_CONTEXT.to_owned(), text(trace.as_stored()));
    }
    item
}

/// What is kept of a typed stream under changeset 0, where the index by type and time finds it. Without the
/// sort keys of the local indexes, so that it does not show up there.
pub(super) fn of_head(changeset: &Changeset, stream_type: &StreamType) -> Item {
    let mut item = key(changeset.stream_id.as_str(), 0);
    item.insert(STREAM_TYPE.to_owned(), text(stream_type.as_str()));
    item.insert(UPDATED_AT.to_owned(), text(changeset.timestamp.to_string()));
    item.insert(HEAD_CHANGESET_ID.to_owned(), number(changeset.changeset_id.get()));
    item.insert(HEAD_EVENT_ID.to_owned(), number(changeset.last_event_id().get()));
    item
}

pub(crate) fn to_head(item: &Item) -> Result<TypedStream> {
    let updated_at =
        to_text(item, UPDATED_AT)?.parse::<Timestamp>().map_err(|_| damaged(item, UPDATED_AT))?;
    Ok(TypedStream {
        stream_id: StreamId::stored(to_text(item, STREAM_ID)?),
        tail: Tail {
            last_changeset: ChangesetId::new(to_number(item, HEAD_CHANGESET_ID)?),
            last_event: EventId::new(to_number(item, HEAD_EVENT_ID)?),
            last_timestamp: updated_at,
            stream_type: to_stream_type(item),
        },
    })
}

/// A changeset, readable or not: another system may have written it, or somebody by hand.
pub(crate) fn to_changeset(item: &Item) -> Result<Changeset> {
    let text = |name| to_text(item, name).unwrap_or_default();
    let number = |name| to_number(item, name).unwrap_or_default();
    let first = number(FIRST_EVENT_ID);
    let body = StoredBody {
        events: text(EVENTS).as_bytes(),
        metadata: text(METADATA).as_bytes(),
        count: number(LAST_EVENT_ID).saturating_add(1).saturating_sub(first),
    };
    let timestamp = to_timestamp(item);
    let lacks = [
        (EVENTS, to_text(item, EVENTS).is_err()),
        (METADATA, to_text(item, METADATA).is_err()),
        (TIMESTAMP, timestamp.is_err()),
        (FIRST_EVENT_ID, to_number(item, FIRST_EVENT_ID).is_err()),
        (LAST_EVENT_ID, to_number(item, LAST_EVENT_ID).is_err()),
    ];
    let (events, metadata) = match lacks.into_iter().find(|(_, lacks)| *lacks) {
        None => body.read(),
        Some((name, _)) => body.quarantined(format!("it has no readable `{name}`")),
    };
    Ok(Changeset {
        stream_id: StreamId::stored(to_text(item, STREAM_ID)?),
        changeset_id: ChangesetId::new(to_number(item, CHANGESET_ID)?),
        first_event_id: EventId::new(first),
        events,
        metadata,
        timestamp: timestamp.unwrap_or_default(),
        stream_type: to_stream_type(item),
        trace: to_text(item, TRACE_CONTEXT).ok().and_then(TraceContext::from_stored),
    })
}

pub(super) fn to_indexed(item: &Item, checkpoint: Checkpoint) -> Result<LogEntry> {
    Ok(LogEntry { checkpoint, changeset: to_changeset(item)? })
}

pub(crate) fn to_tail(item: &Item) -> Result<Tail> {
    Ok(Tail {
        last_changeset: ChangesetId::new(to_number(item, CHANGESET_ID)?),
        last_event: EventId::new(to_number(item, LAST_EVENT_ID)?),
        last_timestamp: to_timestamp(item)?,
        stream_type: to_stream_type(item),
    })
}

/// Whether it is the store's own, and no changeset.
pub(crate) fn is_reserved(item: &Item) -> bool {
    let is_ours = |stream_id: &str| stream_id.starts_with(StreamId::RESERVED_PREFIX);
    to_text(item, STREAM_ID).is_ok_and(is_ours) || to_number(item, CHANGESET_ID).is_ok_and(|id| id == 0)
}

/// A changeset that is to be indexed, as far as it was read.
pub(crate) fn candidate(item: &Item) -> Result<Candidate> {
    Ok(Candidate {
        stream_id: StreamId::stored(to_text(item, STREAM_ID)?),
        changeset_id: ChangesetId::new(to_number(item, CHANGESET_ID)?),
        size_bytes: size_bytes(item),
    })
}

/// Bytes of an item as DynamoDB counts them, about.
pub(crate) fn size_bytes(item: &Item) -> usize {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
        AttributeValue::B(blob) => blob.as_ref().len(),
        _ => 1,
    };
    item.iter().map(|(name, it)| name.len() + value(it)).sum()
}

pub(crate) fn to_number(item: &Item, name: &str) -> Result<u64> {
    let digits = item.get(name).and_then(|value| value.as_n().ok());
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| damaged(item, name))
}

pub(super) fn to_text<'a>(item: &'a Item, name: &str) -> Result<&'a str> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str).ok_or_else(|| damaged(item, name))
}

fn to_stream_type(item: &Item) -> Option<StreamType> {
    to_text(item, STREAM_TYPE).ok().map(StreamType::stored)
}

fn to_timestamp(item: &Item) -> Result<Timestamp> {
    Timestamp::parse_assuming_utc(to_text(item, TIMESTAMP)?).map_err(|_| damaged(item, TIMESTAMP))
}

fn damaged(item: &Item, name: &str) -> Error {
    let shown = |name| item.get(name).map_or_else(|| "?".to_owned(), |value| format!("{value:?}"));
    let (stream_id, changeset_id) = (shown(STREAM_ID), shown(CHANGESET_ID));
    Error::Storage {
        detail: format!("DynamoDB: the item {stream_id}, {changeset_id} has no readable `{name}`"),
        source: "the attribute is missing or invalid".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Events, Json};

    #[test]
    fn what_is_written_reads_back_and_is_as_large_as_it_says() {
        let changeset = Changeset {
            stream_id: "a/b".parse().unwrap(),
            changeset_id: 3.into(),
            first_event_id: 7.into(),
            events: Events::parse("[1,2]").unwrap(),
            metadata: Json::stored("{}"),
            timestamp: Timestamp::from_micros(1),
            stream_type: Some("t".parse().unwrap()),
            trace: TraceContext::from_stored("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 a=1"),
        };
        let item = of_changeset(&changeset, Uuid::nil());
        assert_eq!(to_changeset(&item).unwrap(), changeset);
        assert_eq!(to_tail(&item).unwrap(), Tail::after(&changeset));
        let head = of_head(&changeset, &"t".parse().unwrap());
        assert!(!is_reserved(&item) && is_reserved(&head));
        assert_eq!(to_head(&head).unwrap().tail, Tail::after(&changeset));
        assert_eq!(size_bytes(&key("abc", 10)), 9 + 3 + 12 + 2);
    }
}
