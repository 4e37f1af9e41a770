//! Items that another system has written, or somebody by hand, and not well.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use ees_store::dynamodb::Indexer;
use ees_test_aws::{Account, Faults};

use super::support::{
    TABLE, account, append, client, committing, get, indexer, is_gapless_and_ordered, labels, read, s,
};

const NEEDED: [&str; 5] = ["events", "metadata", "timestamp", "first_event_id", "last_event_id"];

/// Sets an attribute of a stream's changeset, or takes it away; what it was.
async fn set(
    account: &Account,
    stream: &str,
    changeset: u64,
    name: &str,
    value: Option<AttributeValue>,
) -> Option<AttributeValue> {
    let client = client(account);
    let mut there = get(&client, TABLE, stream, changeset).await.unwrap();
    let before = there.remove(name);
    there.extend(value.map(|value| (name.to_owned(), value)));
    client.put_item().table_name(TABLE).set_item(Some(there)).send().await.unwrap();
    before
}

async fn sweep(indexer: &Indexer) -> u64 {
    let swept = indexer.sweep(Instant::now() + Duration::from_secs(60)).await.unwrap();
    assert!(swept.is_done);
    swept.indexed
}

/// In the log it stops nobody, and its stream goes on behind it.
#[tokio::test]
async fn what_can_not_be_read_gets_its_place_and_is_quarantined_until_it_is_repaired() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    append(&writer, "sound", 0).await;
    let mut sound = Vec::new();
    for name in NEEDED {
        for last in 0..3 {
            append(&writer, name, last).await;
        }
        sound.push(set(&account, name, 2, name, None).await);
    }
    assert_eq!(sweep(&indexer(&account, &Faults::none()).await).await, 16);
    let log = read(&writer).await;
    for entry in &log {
        let quarantined = entry.events.quarantined().map(|it| it.reason().to_owned());
        let expected = (entry.stream_id.as_str() != "sound" && entry.changeset_id.get() == 2)
            .then(|| format!("it has no readable `{}`", entry.stream_id));
        assert_eq!(quarantined, expected, "{entry:?}");
    }

    for (name, value) in NEEDED.iter().zip(sound) {
        set(&account, name, 2, name, value).await;
    }
    let repaired = read(&writer).await;
    is_gapless_and_ordered(&repaired);
    assert_eq!(labels(&repaired), labels(&log));
    assert!(repaired.iter().all(|entry| entry.events.quarantined().is_none()));
}

#[tokio::test]
async fn what_contradicts_itself_is_quarantined_with_its_text() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    let contradictions = [
        ("events", s("[1, 2]"), "2 events, but numbers for 1"),
        ("events", s("[1"), "`events` are not JSON"),
        ("events", s("[NaN]"), "`events` are not JSON"),
        ("events", AttributeValue::N("7".to_owned()), "no readable `events`"),
        ("metadata", s("{"), "`metadata` are not JSON"),
        ("timestamp", s("yesterday"), "no readable `timestamp`"),
        ("last_event_id", AttributeValue::N(u64::MAX.to_string()), "1 events, but numbers for"),
    ];
    for (number, (name, value, _)) in contradictions.iter().enumerate() {
        append(&writer, &number.to_string(), 0).await;
        set(&account, &number.to_string(), 1, name, Some(value.clone())).await;
    }
    assert_eq!(sweep(&indexer(&account, &Faults::none()).await).await, 7);
    for entry in read(&writer).await {
        let (name, value, reason) = &contradictions[entry.stream_id.as_str().parse::<usize>().unwrap()];
        let quarantined = entry.events.quarantined().unwrap();
        assert!(quarantined.reason().contains(reason), "{quarantined}");
        if *name == "events" {
            assert_eq!(Some(quarantined.events()), value.as_s().ok().map(String::as_str).or(Some("")));
        }
    }
}

/// What the other system accepts, and lists as it is.
#[tokio::test]
async fn what_is_json_but_no_list_of_events_is_read_as_it_is() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    for (stream, events, last) in
        [("none", "[ ]", 0), ("object", "{\"a\": 1, \"b\": 2}", 2), ("text", "\"abc\"", 3)]
    {
        append(&writer, stream, 0).await;
        set(&account, stream, 1, "events", Some(s(events))).await;
        set(&account, stream, 1, "last_event_id", Some(AttributeValue::N(last.to_string()))).await;
    }
    sweep(&indexer(&account, &Faults::none()).await).await;
    let mut read = read(&writer).await;
    read.sort_by_key(|entry| entry.stream_id.clone());
    let read: Vec<_> =
        read.iter().map(|it| (it.events.as_json().unwrap().as_str(), it.events.count())).collect();
    assert_eq!(read, [("[]", 0), ("{\"a\":1,\"b\":2}", 2), ("\"abc\"", 3)]);
}
