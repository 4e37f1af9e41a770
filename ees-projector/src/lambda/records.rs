//! Reads changesets from the records of a DynamoDB table's stream.

use aws_lambda_events::dynamodb::EventRecord;
use aws_lambda_events::streams::DynamoDbBatchItemFailure;
use ees_store::{Changeset, ChangesetId, Events, Json, StreamId, StreamType, Timestamp, TraceContext};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The attributes of a changeset's item that are needed here.
#[derive(Deserialize)]
struct Item {
    stream_id: String,
    changeset_id: u64,
    first_event_id: u64,
    last_event_id: u64,
    events: String,
    metadata: String,
    timestamp: String,
    #[serde(default)]
    stream_type: Option<String>,
    #[serde(default)]
    trace_context: Option<String>,
    /// Its place in the order.
    #[serde(default)]
    page: Option<IgnoredAny>,
}

/// The keys of an item.
#[derive(Deserialize)]
struct Keys {
    stream_id: String,
    changeset_id: u64,
}

impl Keys {
    fn are_of_a_changeset(&self) -> bool {
        !self.stream_id.starts_with(StreamId::RESERVED_PREFIX) && self.changeset_id > 0
    }
}

fn keys(record: &EventRecord) -> Result<Keys, String> {
    serde_dynamo::from_item(record.change.keys.clone()).map_err(|e| format!("its keys can't be read: {e}"))
}

/// Reports a record as failed: it and all later ones are delivered again. Without a sequence number, the
/// whole batch is.
pub(super) fn failure(sequence_number: Option<String>) -> DynamoDbBatchItemFailure {
    let mut failure = DynamoDbBatchItemFailure::default();
    failure.item_identifier = Some(sequence_number.unwrap_or_default());
    failure
}

/// The changeset that a record inserts. `None` for all other records: the store's own items, items that were changed or
/// deleted, such as a changeset that got its checkpoint, and a changeset that was inserted with its checkpoint: it was
/// moved here from another table, and published from there.
///
/// # Errors
/// Why an item that should be a changeset can't be read.
pub fn changeset(record: &EventRecord) -> Result<Option<Changeset>, String> {
    if record.event_name != "INSERT" {
        return Ok(None);
    }
    if !keys(record)?.are_of_a_changeset() {
        return Ok(None);
    }
    let item: Item = serde_dynamo::from_item(record.change.new_image.clone()).map_err(|e| e.to_string())?;
    if item.page.is_some() {
        return Ok(None);
    }
    let invalid = |e: &dyn std::fmt::Display| e.to_string();
    let stream_type = item.stream_type.as_deref().map(StreamType::new).transpose();
    let events = Events::parse(&item.events).map_err(|e| invalid(&e))?;
    if item.first_event_id.checked_add(events.count()) != item.last_event_id.checked_add(1) {
        let (count, first, last) = (events.count(), item.first_event_id, item.last_event_id);
        return Err(format!("it has {count} events, but their ids are {first} to {last}"));
    }
    Ok(Some(Changeset {
        stream_id: item.stream_id.parse().map_err(|e| invalid(&e))?,
        changeset_id: item.changeset_id.into(),
        first_event_id: item.first_event_id.into(),
        events,
        metadata: Json::parse(&item.metadata).map_err(|e| invalid(&e))?,
        timestamp: timestamp(&item.timestamp)?,
        stream_type: stream_type.map_err(|e| invalid(&e))?,
        trace: item.trace_context.as_deref().and_then(TraceContext::from_stored),
    }))
}

/// The stream and the number of the changeset that a record inserts, also of one that can't be read otherwise. `None` for all
/// other records.
pub fn changeset_id(record: &EventRecord) -> Option<(StreamId, ChangesetId)> {
    let keys = keys(record).ok().filter(|keys| record.event_name == "INSERT" && keys.are_of_a_changeset())?;
    Some((StreamId::adopted(&keys.stream_id).ok()?, keys.changeset_id.into()))
}

fn timestamp(written: &str) -> Result<Timestamp, String> {
    Timestamp::parse_assuming_utc(written).map_err(|_| format!("its `timestamp` is \"{written}\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(name: &str, value: Option<&serde_json::Value>) -> Result<Option<Changeset>, String> {
        changeset(&record(name, value))
    }

    fn record(name: &str, value: Option<&serde_json::Value>) -> EventRecord {
        let mut image = json!({
            "stream_id": {"S": "a"}, "changeset_id": {"N": "1"}, "first_event_id": {"N": "1"}, "last_event_id": {"N": "2"},
            "events": {"S": "[1, 2]"}, "metadata": {"S": "{}"}, "timestamp": {"S": "2020-01-02T03:04:05.678901"},
        });
        match value {
            Some(value) => image[name] = value.clone(),
            None => image.as_object_mut().map(|image| image.remove(name)).map(drop).unwrap_or_default(),
        }
        let record = json!({
            "awsRegion": "eu-central-1", "eventID": "1", "eventName": "INSERT",
            "dynamodb": {
                "ApproximateCreationDateTime": 1, "SizeBytes": 1, "SequenceNumber": "1", "NewImage": image,
                "Keys": {"stream_id": {"S": "a"}, "changeset_id": {"N": "1"}},
            },
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn a_changeset_that_can_not_be_read_is_known_by_its_key() {
        let unreadable = record("events", Some(&json!({"S": "[1"})));
        assert!(changeset(&unreadable).is_err());
        assert_eq!(changeset_id(&unreadable), Some(("a".parse().unwrap(), 1.into())));
        let mut changed = unreadable;
        changed.event_name = "MODIFY".to_owned();
        assert_eq!(changeset_id(&changed), None);
    }

    #[test]
    fn a_changeset_that_comes_with_its_place_was_committed_elsewhere() {
        assert!(read("commit_id", Some(&json!({"B": "AA=="}))).unwrap().is_some());
        assert_eq!(read("page", Some(&json!({"N": "0"}))), Ok(None));
    }

    /// An item that lacks any of these attributes would stop the readers of the log.
    #[test]
    fn a_changeset_is_one_with_all_that_readers_of_the_log_need() {
        assert_eq!(read("none", None).unwrap().unwrap().last_event_id().get(), 2);
        assert!(read("timestamp", Some(&json!({"S": "2020-01-02T03:04:05Z"}))).is_ok());
        for name in ["first_event_id", "last_event_id", "events", "metadata", "timestamp"] {
            assert!(read(name, None).unwrap_err().contains(name), "{name}");
        }
        for (name, value) in [
            ("events", json!({"S": "[1"})),
            ("events", json!({"S": "[1]"})),
            ("metadata", json!({"S": "{"})),
            ("timestamp", json!({"S": "yesterday"})),
            ("last_event_id", json!({"N": "3"})),
            ("last_event_id", json!({"N": u64::MAX.to_string()})),
            ("first_event_id", json!({"N": u64::MAX.to_string()})),
            ("last_event_id", json!({"S": "2"})),
        ] {
            assert!(read(name, Some(&value)).is_err(), "{name}: {value}");
        }
    }
}
