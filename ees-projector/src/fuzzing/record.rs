//! Records of a DynamoDB table's stream.

use aws_lambda_events::dynamodb::EventRecord;
use ees_store::Changeset;
use serde_json::{Map, Value, json};

use crate::lambda::changeset;

/// A record of any item is a changeset whose numbers fit its events, or it is none, or it is told why it can't be read;
/// a changeset is read from what the store writes of it. The input is the item, in DynamoDB's JSON.
pub fn record(data: &[u8]) {
    let Ok(Value::Object(image)) = serde_json::from_slice(data) else { return };
    let Some(record) = record_of(&image) else { return };
    match changeset(&record) {
        Ok(Some(read)) => {
            let numbers = read.last_event_id().get() + 1 - read.first_event_id.get();
            assert!(numbers <= read.events.count());
            assert!(!has_place(&image), "it was committed elsewhere");
            comes_back(&read);
        }
        Ok(None) => {
            let is_zero = image
                .get("changeset_id")
                .is_some_and(|id| id["N"].as_str().and_then(|digits| digits.parse().ok()) == Some(0_u64));
            let is_reserved = image.get("stream_id").and_then(|id| id["S"].as_str());
            let is_reserved = is_reserved.is_some_and(|id| id.starts_with("!!!RESERVED:"));
            assert!(has_place(&image) || is_zero || is_reserved, "a changeset was passed over");
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

fn has_place(image: &Map<String, Value>) -> bool {
    image.get("page").is_some_and(|page| page.get("NULL").is_none())
}

/// The record that inserts an item.
fn record_of(image: &Map<String, Value>) -> Option<EventRecord> {
    let keys = ["stream_id", "changeset_id"].map(|name| (name.to_owned(), image.get(name).cloned()));
    let keys: Map<String, Value> =
        keys.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let record = json!({
        "awsRegion": "eu-central-1", "eventID": "1", "eventName": "INSERT",
        "dynamodb": {
            "ApproximateCreationDateTime": 1, "SizeBytes": 1, "SequenceNumber": "1", "NewImage": image, "Keys": keys,
        },
    });
    serde_json::from_value(record).ok()
}

fn comes_back(read: &Changeset) {
    let number = |number: u64| json!({"N": number.to_string()});
    let mut image = json!({
        "stream_id": {"S": read.stream_id}, "changeset_id": number(read.changeset_id.get()),
        "first_event_id": number(read.first_event_id.get()), "last_event_id": number(read.last_event_id().get()),
        "events": {"S": read.events.as_stored()}, "metadata": {"S": read.metadata.as_str()},
        "timestamp": {"S": read.timestamp.to_string()},
    });
    if let Some(stream_type) = &read.stream_type {
        image["stream_type"] = json!({"S": stream_type});
    }
    if let Some(trace) = &read.trace {
        image["trace_context"] = json!({"S": trace.as_stored()});
    }
    // The largest numbers stand for all that are larger.
    if read.changeset_id.get() == 0 || read.last_event_id().get() >= i64::MAX as u64 {
        return;
    }
    let again = image.as_object().and_then(record_of).map(|record| changeset(&record));
    assert_eq!(again, Some(Ok(Some(read.clone()))));
}
