//! An indexer that dies at each of its calls. Its records are delivered again, and the result is as if it had
//! never died.

use std::time::{Duration, Instant};

use ees_lambda::indexer;
use ees_store::dynamodb::{Indexer, Indexing, Options, Store, create_table};
use ees_store::{ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, LogQuery};
use ees_test_aws::{Account, Faults, LocalAws, dying_at_each_call};
use serde_json::{Value, json};

/// The changesets of a table. The table's stream delivers them out of order, one of them twice, and one not
/// at all.
const COMMITTED: [(&str, u64); 6] = [("a", 1), ("a", 2), ("b", 1), ("a", 3), ("b", 2), ("c", 1)];
const TOLD: [(&str, u64); 6] = [("b", 1), ("a", 2), ("c", 1), ("a", 3), ("b", 2), ("b", 1)];

fn record((stream, id): (&str, u64)) -> Value {
    let (stream, id) = (json!({"S": stream}), json!({"N": id.to_string()}));
    json!({
        "eventID": "e", "eventName": "INSERT", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1", "eventSourceARN": "arn",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_700_000_000, "SequenceNumber": "1", "SizeBytes": 1,
            "StreamViewType": "NEW_IMAGE", "Keys": {"stream_id": stream, "changeset_id": id},
            "NewImage": {
                "stream_id": stream, "changeset_id": id, "events": {"S": "[1]"}, "metadata": {"S": "{}"},
                "timestamp": {"S": "2020-01-02T03:04:05.678901Z"}, "first_event_id": id, "last_event_id": id,
            },
        },
    })
}

async fn open(account: &Account) -> Store {
    let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
    Store::open_with(&account.sdk_config(), "log", options).await.unwrap()
}

async fn table() -> Account {
    let account = LocalAws::account().await;
    create_table(&account.sdk_config(), "log", false).await.unwrap();
    let store = open(&account).await;
    for (stream, id) in COMMITTED {
        let expectation = Expectation::LastChangeset((id - 1).into());
        let commit = Commit::new(stream.parse().unwrap(), expectation, Events::parse("[1]").unwrap());
        store.commit(commit).await.unwrap();
    }
    account
}

/// Checks the log: no gaps, each stream in order, nothing twice, nothing missing.
async fn is_right(account: &Account, when: &str) {
    let page = open(account).await.read(LogQuery::from(Checkpoint::START, 100)).await.unwrap();
    assert_eq!(page.head.checkpoint.get(), COMMITTED.len() as u64, "{when}");
    assert!((0..).zip(&page.changesets).all(|(place, it)| it.checkpoint.get() == place), "{when}");
    for (stream, count) in [("a", 3), ("b", 2), ("c", 1)] {
        let of = page.changesets.iter().filter(|it| it.stream_id.as_str() == stream);
        let ids: Vec<_> = of.map(|it| it.changeset_id.get()).collect();
        assert_eq!(ids, Vec::from_iter(1..=count), "{stream}, {when}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_indexer_that_dies_at_any_call_gives_each_changeset_one_place() {
    let records = json!({ "Records": TOLD.map(record) });
    let index = async |account: &Account, faults: &Faults| {
        let indexer = Indexer::open(&account.sdk_config_with(faults), "log").await.unwrap();
        indexer::index(&indexer, &serde_json::from_value(records.clone()).unwrap()).await.unwrap();
    };
    let deaths = dying_at_each_call(table, index, is_right).await;
    assert!(deaths >= 8, "{deaths}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_dies_at_any_call_leaves_nothing_out() {
    let sweep = async |account: &Account, faults: &Faults| {
        let indexer = Indexer::open(&account.sdk_config_with(faults), "log").await.unwrap();
        assert!(indexer.sweep(Instant::now() + Duration::from_secs(60)).await.unwrap().is_done);
    };
    let deaths = dying_at_each_call(table, sweep, is_right).await;
    assert!(deaths >= 8, "{deaths}");
}
