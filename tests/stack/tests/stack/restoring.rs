//! A log that was lost, and restored to a moment before its last commits, as docs/aws-restore.md walks through it. The
//! emulator restores a table as it is at the time of the call, and like AWS without its stream and expiry.

use std::sync::Arc;
use std::time::Instant;

use aws_sdk_dynamodb::types::{AttributeValue, StreamSpecification, StreamViewType};
use ees_projector::{Fold, Order, Projector, Recorded, Settings, State, dynamodb};
use ees_store::dynamodb::{Indexing, Options, Store, check, check_keys, create_table};
use ees_store::{Commit, EventStore, Events, Expectation};
use ees_test_aws::{LocalAws, Stack};
use serde_json::Value;

use crate::support::LONG;

/// How many events there are.
struct Count;

impl Fold for Count {
    type Event = Value;
    type Key = String;
    type State = u64;

    fn name(&self) -> &str {
        "count"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, Value>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, count: Option<u64>, _: Recorded<'_, Value>) -> Option<u64> {
        Some(count.unwrap_or_default() + 1)
    }
}

async fn commit(store: &Store, last: u64) {
    let expectation = Expectation::LastChangeset(last.into());
    let events = Events::parse(r#"[{"type": "counted"}]"#).unwrap();
    store.commit(Commit::new("account-1".parse().unwrap(), expectation, events)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_log_goes_on_and_a_read_model_that_is_ahead_of_it_stops_until_it_is_rebuilt() {
    let account = LocalAws::account().await;
    let config = account.sdk_config();
    let client = aws_sdk_dynamodb::Client::new(&config);
    create_table(&config, "lost", false).await.unwrap();
    let lost = Arc::new(Store::open_with(&config, "lost", Options::default()).await.unwrap());
    for last in 0..3 {
        commit(&lost, last).await;
    }
    let restore = client.restore_table_to_point_in_time().source_table_name("lost");
    restore.target_table_name("restored").use_latest_restorable_time(true).send().await.unwrap();
    for last in 3..5 {
        commit(&lost, last).await;
    }
    dynamodb::create_table(&client, "rows").await.unwrap();
    let database = dynamodb::Database::new(client.clone(), "rows");
    let run = |log: Arc<Store>| {
        let mut projector = Projector::new(log);
        projector.fold(Count, database.clone(), Settings::default()).unwrap();
        projector.start()
    };
    let reached = async |wanted: (u64, u64)| {
        let deadline = Instant::now() + LONG;
        loop {
            let read = database.document::<u64>("count", "account-1").await;
            if let Ok((Some(count), checkpoint)) = read
                && (count, checkpoint.get()) == wanted
            {
                return;
            }
            assert!(Instant::now() < deadline, "{read:?} in place of {wanted:?}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let running = run(lost.clone());
    reached((5, 5)).await;
    running.shut_down().await;

    // What a restored table lacks, is named.
    let lacking = async || {
        let checks = check(&config, "restored").await.unwrap();
        let failed = checks.into_iter().filter(|check| !check.is_well).map(|check| check.what);
        failed.collect::<Vec<_>>()
    };
    assert!(lacking().await.contains(&"stream of changes"), "{:?}", lacking().await);
    let stream = StreamSpecification::builder().stream_enabled(true);
    let stream = stream.stream_view_type(StreamViewType::NewImage).build().unwrap();
    let turned_on = client.update_table().table_name("restored").stream_specification(stream).send().await;
    let arn = turned_on.unwrap().table_description.unwrap().latest_stream_arn.unwrap();
    assert!(!lacking().await.contains(&"stream of changes"), "{:?}", lacking().await);
    check_keys(&config, "restored").await.unwrap();

    // The stack goes on with it: the lost commits can be made again.
    let parameters = vec!["ExistingTable=restored".to_owned(), format!("ExistingTableStream={arn}")];
    let stack = Stack::event_store_with(&account, parameters).await;
    let post = reqwest::Client::new();
    let post = post.post(format!("{}/streams/account-1?expected_last_changeset=3", stack.url()));
    let post =
        post.header("authorization", stack.authorization()).body(r#"{"events": [{"type": "counted"}]}"#);
    assert_eq!(post.send().await.unwrap().status(), 200);

    // The read model has read what is not there any more.
    let restored = Arc::new(Store::open_with(&config, "restored", Options::default()).await.unwrap());
    let running = run(restored);
    let deadline = Instant::now() + LONG;
    let error = loop {
        let status = running.handle().status("count").await.unwrap();
        if status.state == State::Stopped {
            break status.last_error.unwrap();
        }
        assert!(Instant::now() < deadline, "{status:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert!(format!("{error:?}").contains("the log went back"), "{error:?}");
    running.handle().rebuild("count", "the log was restored").await.unwrap();
    reached((4, 4)).await;
    running.shut_down().await;
}

/// Why a global table must not take commits in two regions: DynamoDB copies items between regions after the
/// fact, and of two it keeps the later one.
#[tokio::test(flavor = "multi_thread")]
async fn two_regions_that_both_take_commits_lose_one_that_was_acknowledged() {
    let account = LocalAws::account().await;
    let config = account.sdk_config();
    let client = aws_sdk_dynamodb::Client::new(&config);
    let options = || Options { indexing: Indexing::Elsewhere, ..Options::default() };
    for table in ["here", "there"] {
        create_table(&config, table, false).await.unwrap();
    }
    let here = Store::open_with(&config, "here", options()).await.unwrap();
    let replicate = async |from: &str, to: &str| {
        for item in client.scan().table_name(from).send().await.unwrap().items.unwrap() {
            client.put_item().table_name(to).set_item(Some(item)).send().await.unwrap();
        }
    };
    replicate("here", "there").await;
    let there = Store::open_with(&config, "there", options()).await.unwrap();

    let seat = |taken_by: &str| {
        let events = Events::parse(&format!(r#"[{{"type": "taken", "by": "{taken_by}"}}]"#)).unwrap();
        Commit::new("seat-1".parse().unwrap(), Expectation::NewStream, events)
    };
    here.commit(seat("ada")).await.unwrap();
    there.commit(seat("bob")).await.unwrap();
    replicate("there", "here").await;

    let (stream, id) = (AttributeValue::S("seat-1".into()), AttributeValue::N("1".into()));
    let read = client.get_item().table_name("here").key("stream_id", stream).key("changeset_id", id);
    let item = read.send().await.unwrap().item.unwrap();
    let events = item["events"].as_s().unwrap();
    assert!(events.contains("bob") && !events.contains("ada"), "{events}");
}
