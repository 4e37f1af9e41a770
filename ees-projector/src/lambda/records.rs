//! The records of a DynamoDB table's stream, as changesets.

use aws_lambda_events::dynamodb::EventRecord;
use aws_lambda_events::streams::DynamoDbBatchItemFailure;
use ees_store::{Changeset, Events, Json, StreamId, StreamType, Timestamp};
use serde::Deserialize;

/// A changeset's item, as far as it matters.
#[derive(Deserialize)]
struct Item {
    stream_id: String,
    changeset_id: u64,
    first_event_id: u64,
    events: String,
    metadata: String,
    timestamp: String,
    #[serde(default)]
    stream_type: Option<String>,
}

/// The keys of an item.
#[derive(Deserialize)]
struct Keys {
    stream_id: String,
    changeset_id: u64,
}

/// From this record on, all come again. Without a number all of the batch do.
pub(super) fn failure(sequence_number: Option<String>) -> DynamoDbBatchItemFailure {
    let mut failure = DynamoDbBatchItemFailure::default();
    failure.item_identifier = Some(sequence_number.unwrap_or_default());
    failure
}

/// The changeset that a record tells of. `None` for all else: what is the store's own, and items that were changed or
/// removed, as by giving them a place in the log.
///
/// # Errors
/// Why an item that should be a changeset is none.
pub(super) fn changeset(record: &EventRecord) -> Result<Option<Changeset>, String> {
    if record.event_name != "INSERT" {
        return Ok(None);
    }
    let keys: Keys =
        serde_dynamo::from_item(record.change.keys.clone()).map_err(|e| format!("no keys: {e}"))?;
    if keys.stream_id.starts_with(StreamId::RESERVED_PREFIX) || keys.changeset_id == 0 {
        return Ok(None);
    }
    let item: Item = serde_dynamo::from_item(record.change.new_image.clone()).map_err(|e| e.to_string())?;
    let invalid = |e: &dyn std::fmt::Display| e.to_string();
    let stream_type = item.stream_type.as_deref().map(StreamType::new).transpose();
    Ok(Some(Changeset {
        stream_id: item.stream_id.parse().map_err(|e| invalid(&e))?,
        changeset_id: item.changeset_id.into(),
        first_event_id: item.first_event_id.into(),
        events: Events::parse(&item.events).map_err(|e| invalid(&e))?,
        metadata: Json::parse(&item.metadata).map_err(|e| invalid(&e))?,
        // No message has it, and other makers of tables wrote it in other ways.
        timestamp: item.timestamp.parse().unwrap_or(Timestamp::from_micros(0)),
        stream_type: stream_type.map_err(|e| invalid(&e))?,
    }))
}
