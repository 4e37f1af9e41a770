//! From the stream of a DynamoDB table to the topics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lambda_events::dynamodb::Event;
use aws_lambda_events::streams::DynamoDbEventResponse;
use ees_projector::lambda::publish_records;
use ees_projector::sqs::DeadLetterQueue;
use ees_store::publish::{DeadLetter, Message};
use ees_store::{Changeset, Events, Json, Timestamp};
use serde_json::{Value, json};

use crate::flaky::Flaky;
use crate::support::{Bus, LONG};

/// A table's item; the store's own ones have no events.
pub fn item(stream: &str, changeset_id: u64, event: Option<&str>) -> Value {
    let number = |number: u64| json!({"N": number.to_string()});
    let mut item = json!({"stream_id": {"S": stream}, "changeset_id": number(changeset_id)});
    if let Some(event) = event {
        item["events"] = json!({"S": format!("[{event}]")});
        item["metadata"] = json!({"S": "{}"});
        // As another maker of such tables wrote it.
        item["timestamp"] = json!({"S": "2020-01-02T03:04:05.678901"});
        item["first_event_id"] = number(changeset_id);
        item["last_event_id"] = number(changeset_id);
    }
    item
}

/// Records with the sequence numbers 0, 1, ...
pub fn records(records: &[(&str, Value)]) -> Event {
    let records = records.iter().enumerate().map(|(number, (name, item))| {
        json!({
            "eventID": number.to_string(), "eventName": name, "eventVersion": "1.1", "eventSource": "aws:dynamodb",
            "awsRegion": "eu-central-1", "eventSourceARN": "arn",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_700_000_000, "SequenceNumber": number.to_string(), "SizeBytes": 1,
                "StreamViewType": "NEW_IMAGE", "NewImage": item,
                "Keys": {"stream_id": item["stream_id"], "changeset_id": item["changeset_id"]},
            },
        })
    });
    serde_json::from_value(json!({"Records": records.collect::<Vec<_>>()})).unwrap()
}

pub fn failures(response: &DynamoDbEventResponse) -> Vec<&str> {
    response.batch_item_failures.iter().filter_map(|it| it.item_identifier.as_deref()).collect()
}

pub fn whole(stream: &str, changeset_id: u64, event: &str) -> String {
    format!(r#"{{"stream_id":"{stream}","changeset_id":{changeset_id},"events":[{event}],"metadata":{{}}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn new_changesets_are_published_in_order_and_nothing_else_is() {
    let bus = Bus::new().await;
    let queue = bus.subscribed("changesets", &bus.changesets, true).await;
    let event = records(&[
        ("INSERT", item("!!!RESERVED:GLOBAL-COUNTER!!!", 0, None)),
        ("INSERT", item("a", 0, None)),
        ("INSERT", item("a", 1, Some("1"))),
        ("MODIFY", item("a", 1, Some("1"))),
        ("INSERT", item("a", 2, Some("2"))),
        ("REMOVE", item("!!!RESERVED:KEY!!!0", 1, None)),
    ]);
    for _ in 0..2 {
        let response = publish_records(&bus.publisher(), &event, Instant::now() + LONG).await;
        assert_eq!(failures(&response), [""; 0]);
    }
    assert_eq!(bus.bodies(&queue, 2).await, [whole("a", 1, "1"), whole("a", 2, "2")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_record_that_is_not_done_with_is_reported_and_the_next_call_goes_on_there() {
    let bus = Bus::new().await;
    let queue = bus.subscribed("changesets", &bus.changesets, true).await;
    let event = records(&[
        ("INSERT", item("a", 1, Some("1"))),
        ("MODIFY", item("a", 1, Some("1"))),
        ("INSERT", item("b", 1, Some("\"!poison!\""))),
        ("INSERT", item("b", 2, Some("2"))),
        ("INSERT", item("a", 2, Some("2"))),
    ]);
    let flaky = bus.flaky_publisher(Flaky::seeded(1));
    let response = publish_records(&flaky, &event, Instant::now() + LONG).await;
    assert_eq!(failures(&response), ["2"]);
    assert_eq!(bus.bodies(&queue, 2).await, [whole("a", 1, "1"), whole("a", 2, "2")], "b waits, a does not");
    let mut again = event;
    again.records.drain(..2);
    let response = publish_records(&bus.publisher(), &again, Instant::now() + LONG).await;
    assert_eq!(failures(&response), [""; 0]);
    assert_eq!(bus.bodies(&queue, 2).await, [whole("b", 1, "\"!poison!\""), whole("b", 2, "2")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pass_in_time_is_reported_before_the_time_is_over() {
    let bus = Bus::new().await;
    let flaky = Flaky { refused: 1.0, ..Flaky::seeded(1) };
    let event = records(&[("INSERT", item("a", 1, Some("1")))]);
    let began = Instant::now();
    let response = publish_records(&bus.flaky_publisher(flaky), &event, began + Duration::from_secs(1)).await;
    assert_eq!(failures(&response), ["0"]);
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// One that can be read, one that can't and one that does not even say which it is, and two that follow.
fn with_unreadable() -> Event {
    let mut broken = item("b", 1, Some("1"));
    broken["events"] = json!({"S": "["});
    let mut nameless = item("c", 1, Some("1"));
    nameless["stream_id"] = json!({"N": "7"});
    records(&[
        ("INSERT", item("a", 1, Some("1"))),
        ("INSERT", broken),
        ("INSERT", nameless),
        ("INSERT", item("b", 2, Some("2"))),
        ("INSERT", item("a", 2, Some("2"))),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_can_not_be_read_becomes_a_dead_letter_and_does_not_hold_up_the_others() {
    let bus = Bus::new().await;
    let queue = bus.subscribed("changesets", &bus.changesets, true).await;
    let events = bus.subscribed("events", &bus.events, true).await;
    let dead = DeadLetterQueue::new(bus.sqs.clone(), bus.queue("dead", &[]).await);
    let publisher = bus.publisher().with_dead_letters(Arc::new(dead.clone()));
    let response = publish_records(&publisher, &with_unreadable(), Instant::now() + LONG).await;
    assert_eq!(failures(&response), [""; 0]);
    let mut told = bus.bodies(&queue, 3).await;
    told.sort();
    assert_eq!(told, [whole("a", 1, "1"), whole("a", 2, "2"), whole("b", 2, "2")]);
    bus.bodies(&events, 3).await;

    let mut letters: Vec<_> = dead.take().await.unwrap().into_iter().filter_map(|it| it.letter).collect();
    letters.sort_by_key(|letter| letter.each_event);
    let named = |letter: &DeadLetter| {
        (letter.topic_arn.clone(), letter.stream_id.clone(), letter.changeset_id.get(), letter.each_event)
    };
    let letter = |topic: &String, each_event| (topic.clone(), "b".to_owned(), 1, each_event);
    let expected = [letter(&bus.changesets, false), letter(&bus.events, true)];
    assert_eq!(letters.iter().map(named).collect::<Vec<_>>(), expected);

    // When somebody has mended the item, they go where they belong.
    let mended = Changeset {
        stream_id: "b".parse().unwrap(),
        changeset_id: 1.into(),
        first_event_id: 1.into(),
        events: Events::parse("[1,2]").unwrap(),
        metadata: Json::parse("{}").unwrap(),
        timestamp: Timestamp::from_micros(0),
        stream_type: None,
        trace: None,
    };
    for letter in &letters {
        publisher.redrive(letter, &mended, Instant::now() + LONG).await.unwrap();
    }
    assert_eq!(bus.bodies(&queue, 1).await, [whole("b", 1, "1,2")]);
    let each: Vec<_> =
        Message::of_events(&mended).unwrap().map(|message| message.body().to_owned()).collect();
    assert_eq!(bus.bodies(&events, 2).await, each);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_dead_letters_a_record_that_can_not_be_read_is_left_out() {
    let bus = Bus::new().await;
    let queue = bus.subscribed("changesets", &bus.changesets, true).await;
    let response = publish_records(&bus.publisher(), &with_unreadable(), Instant::now() + LONG).await;
    assert_eq!(failures(&response), [""; 0]);
    bus.bodies(&queue, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_can_not_be_read_comes_again_while_its_letter_can_not_be_kept() {
    let bus = Bus::new().await;
    let nowhere = DeadLetterQueue::new(bus.sqs.clone(), bus.queue("dead", &[]).await.replace("dead", "none"));
    let publisher = bus.publisher().with_dead_letters(Arc::new(nowhere));
    let response = publish_records(&publisher, &with_unreadable(), Instant::now() + LONG).await;
    assert_eq!(failures(&response), ["1"]);
}
