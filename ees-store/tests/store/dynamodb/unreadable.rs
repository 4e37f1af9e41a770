//! Items that somebody has written or mended by hand, and not well.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use ees_store::dynamodb::Indexer;
use ees_store::{ChangesetLog, Checkpoint, LogQuery};
use ees_test_aws::{Account, Faults};

use super::support::{
    TABLE, account, append, candidate, client, committing, get, indexer, is_gapless_and_ordered, labels,
    read, s, store,
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

/// In the log it would stop everybody.
#[tokio::test]
async fn what_can_not_be_read_gets_no_place_until_it_is_mended() {
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
    let swept = sweep(&indexer(&account, &Faults::none()).await).await;
    assert_eq!(swept, 6, "what stands before it, and the other stream");
    // What comes after it waits, also when it is told by its record.
    let told = indexer(&account, &Faults::none()).await;
    let third = NEEDED.iter().map(|stream| candidate(stream, 3)).chain([candidate("sound", 1)]).collect();
    assert_eq!(told.index(third).await.unwrap(), 0);
    let log = read(&writer).await;
    assert_eq!(log.len(), 6);
    is_gapless_and_ordered(&log);

    for (name, value) in NEEDED.iter().zip(sound) {
        set(&account, name, 2, name, value).await;
    }
    assert_eq!(sweep(&indexer(&account, &Faults::none()).await).await, 10);
    let log = read(&writer).await;
    assert_eq!(log.len(), 16);
    is_gapless_and_ordered(&log);
}

#[tokio::test]
async fn what_contradicts_itself_gets_no_place() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    for (name, value) in [
        ("events", s("[1, 2]")),
        ("events", s("[1")),
        ("events", s("{}")),
        ("metadata", s("{")),
        ("timestamp", s("yesterday")),
        ("last_event_id", AttributeValue::N(u64::MAX.to_string())),
    ] {
        let stream = format!("{name} {value:?}");
        append(&writer, &stream, 0).await;
        set(&account, &stream, 1, name, Some(value)).await;
    }
    assert_eq!(sweep(&indexer(&account, &Faults::none()).await).await, 0);
}

/// Broken after it got its place.
#[tokio::test]
async fn what_stands_before_an_item_that_can_not_be_read_is_read_and_the_item_is_named() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    for stream in ["a", "b", "broken", "c"] {
        append(&writer, stream, 0).await;
    }
    let all = ["a", "b", "broken", "c"].map(|stream| candidate(stream, 1)).into();
    indexer(&account, &Faults::none()).await.index(all).await.unwrap();
    let sound = set(&account, "broken", 1, "timestamp", None).await;
    let reader = store(&account, &Faults::none()).await;
    let page = reader.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
    assert_eq!((labels(&page.changesets), page.next.get()), (vec!["0 a1".to_owned(), "1 b1".to_owned()], 2));
    let error = reader.read(LogQuery::from(page.next, 10)).await.unwrap_err().to_string();
    assert!(error.contains("broken") && error.contains("`timestamp`"), "{error}");
    set(&account, "broken", 1, "timestamp", sound).await;
    assert_eq!(labels(&read(&reader).await), ["0 a1", "1 b1", "2 broken1", "3 c1"]);
}
