//! What is particular to read models in DynamoDB: transactions of 100 items, and rows that are removed afterwards.
#![cfg(feature = "dynamodb")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use ees_projector::ReadModelId;
use ees_projector::database::{AuditRows, Database as _, Transaction};
use ees_projector::dynamodb::{Database, create_table};
use ees_projector::read_model::{Column, ColumnType};
use ees_projector::{
    Drained, Fold, OnDemand, OperateError, Order, Projector, RebuildStreams, Recorded, Retry, Running,
    Settings, State, Table,
};
use ees_store::{ChangesetLog, Commit, EventStore, Events, Expectation, StreamId, Timestamp, memory};
use ees_test_aws::{Account, Faults, LocalAws, dying_at_each_call};

const LONG: Duration = Duration::from_secs(60);

/// Counts how often each number was seen: a row a number.
/// Tells of each event, by its checkpoint, before it counts it.
struct Numbers<F>(F);

impl<F: Fn(u64) + Send + Sync + 'static> Fold for Numbers<F> {
    type Event = u64;
    type Key = u64;
    type State = u64;

    fn name(&self) -> &str {
        "numbers"
    }
    fn key(&self, event: Recorded<'_, u64>) -> Option<u64> {
        Some(*event.event)
    }
    fn fold(&self, times: Option<u64>, event: Recorded<'_, u64>) -> Option<u64> {
        (self.0)(event.checkpoint().get());
        Some(times.unwrap_or(0) + 1)
    }
}

fn numbers() -> Numbers<fn(u64)> {
    Numbers(|_| ())
}

async fn append(store: &memory::Store, stream: &str, events: &[u64]) {
    let id: StreamId = stream.parse().unwrap();
    let commit = Commit::new(id, Expectation::NewStream, Events::of(events).unwrap());
    store.commit(commit).await.unwrap();
}

/// A changeset each.
async fn log_of(numbers: impl IntoIterator<Item = u64>) -> Arc<memory::Store> {
    let store = Arc::new(memory::Store::new());
    for (at, number) in numbers.into_iter().enumerate() {
        append(&store, &format!("stream-{at}"), &[number]).await;
    }
    store
}

async fn database(account: &Account, faults: &Faults) -> Database {
    let client = aws_sdk_dynamodb::Client::new(&account.sdk_config());
    create_table(&client, "read-models").await.unwrap();
    Database::new(aws_sdk_dynamodb::Client::new(&account.sdk_config_with(faults)), "read-models")
}

/// How many items a partition has, on a good day.
async fn count(account: &Account, partition: &str) -> usize {
    let query = aws_sdk_dynamodb::Client::new(&account.sdk_config()).query().table_name("read-models");
    let query = query.key_condition_expression("ees_partition = :p").consistent_read(true);
    let query = query.expression_attribute_values(":p", AttributeValue::S(partition.to_owned()));
    query.into_paginator().items().send().try_collect().await.unwrap().len()
}

fn settings() -> Settings {
    let retry = Retry { times: 1, delay_min: Duration::from_millis(1), delay_max: Duration::from_millis(20) };
    Settings { retry, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_changes_more_than_a_transaction_takes_is_cut() {
    let account = LocalAws::account().await;
    let log = log_of((0..500).map(|n| n % 350)).await;
    let database = database(&account, &Faults::none()).await;
    let numbers = OnDemand::fold(numbers(), database.clone(), log, settings()).unwrap();
    assert_eq!(numbers.drain_until(Instant::now() + LONG).await, Drained::CaughtUp);
    assert_eq!(count(&account, &database.partition("numbers").await.unwrap()).await, 350);
    let (row, checkpoint) = database.document::<u64>("numbers", "149").await.unwrap();
    assert_eq!((row, checkpoint.get()), (Some(2), 500));
    assert_eq!(database.document::<u64>("numbers", "350").await.unwrap().0, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changeset_that_changes_too_much_pauses_the_projection_and_says_why() {
    let account = LocalAws::account().await;
    let log = log_of([1, 2]).await;
    append(&log, "fits", &Vec::from_iter(100..199)).await;
    append(&log, "does-not", &Vec::from_iter(200..300)).await;
    append(&log, "behind", &[3]).await;
    let mut projector = Projector::new(log);
    let database = database(&account, &Faults::none()).await;
    projector.fold(numbers(), database.clone(), settings()).unwrap();
    let running = projector.start();
    let deadline = Instant::now() + LONG;
    let status = loop {
        let status = running.handle().status("numbers").await.unwrap();
        if status.state == State::Paused {
            break status;
        }
        assert!(Instant::now() < deadline, "{status:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(status.checkpoint.get(), 3);
    let reason = status.pause.unwrap().reason;
    assert!(reason.contains("more than 100 items"), "{reason}");
    running.shut_down().await;
    assert_eq!(count(&account, &database.partition("numbers").await.unwrap()).await, 2 + 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_before_a_rebuild_are_removed() {
    let account = LocalAws::account().await;
    let log = log_of(0..150).await;
    let mut projector = Projector::new(log);
    let database = database(&account, &Faults::none()).await;
    projector.fold(numbers(), database.clone(), settings()).unwrap();
    let running = projector.start();
    let end = 150.into();
    running.handle().when_reached("numbers", end, LONG).await.unwrap();
    let before = database.partition("numbers").await.unwrap();
    running.handle().rebuild("numbers", "to see the rows go").await.unwrap();
    running.handle().when_reached("numbers", end, LONG).await.unwrap();
    running.shut_down().await;
    let now = database.partition("numbers").await.unwrap();
    assert_ne!(before, now);
    // A bounded number at a time; the hourly sweep of a projection does the same.
    let mut removed = 0;
    loop {
        let mut tx = database.begin().await.unwrap();
        let gone = tx.sweep(&ReadModelId::live("numbers"), Timestamp::from_micros(0), 100).await.unwrap();
        tx.commit().await.unwrap();
        assert!(gone <= 100);
        removed += gone;
        if gone == 0 {
            break;
        }
    }
    assert!(removed <= 150);
    assert_eq!((count(&account, &before).await, count(&account, &now).await), (0, 150));
}

/// Holds up a fold, and nobody else: other tasks may go on.
fn wait_until(is_so: &AtomicBool) {
    let deadline = Instant::now() + LONG;
    tokio::task::block_in_place(|| {
        while !is_so.load(SeqCst) {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

/// The second host sees that the first has moved the projection, while the row that goes with it is still to be
/// written. It is by the time that the second host writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_transaction_that_is_seen_in_part_is_not_undone() {
    let account = LocalAws::account().await;
    let (slow, other) = (Faults::none(), Faults::none());
    let one_by_one = Settings { batch_changesets_max: 1, span_changesets_max: 1, ..settings() };
    let [goes_on, is_over] = [(), ()].map(|()| Arc::new(AtomicBool::new(false)));
    let log = log_of([7]).await;
    let first = Numbers({
        let (goes_on, is_over) = (goes_on.clone(), is_over.clone());
        move |checkpoint| {
            if checkpoint == 2 {
                goes_on.store(true, SeqCst);
                wait_until(&is_over);
            }
        }
    });
    let first = OnDemand::fold(first, database(&account, &slow).await, log.clone(), one_by_one).unwrap();
    assert_eq!(first.drain_until(Instant::now() + LONG).await, Drained::CaughtUp);
    append(&log, "second", &[7]).await;
    slow.halt_after(&[0]);
    let first = tokio::spawn(async move { first.drain_until(Instant::now() + LONG).await });
    slow.halted().await;
    append(&log, "third", &[7]).await;

    let second = Numbers({
        let slow = slow.clone();
        move |checkpoint| {
            assert_eq!(checkpoint, 2, "the first one has moved it");
            tokio::task::block_in_place(|| slow.go_on());
            wait_until(&goes_on);
        }
    });
    let database = database(&account, &other).await;
    let second = OnDemand::fold(second, database.clone(), log, one_by_one).unwrap();
    let second = tokio::spawn(async move { second.drain_until(Instant::now() + LONG).await });
    while other.calls().of("TransactGetItems") == 0 && !second.is_finished() {
        tokio::task::yield_now().await;
    }
    slow.go_on();
    assert_eq!(second.await.unwrap(), Drained::CaughtUp);
    is_over.store(true, SeqCst);
    assert_eq!(first.await.unwrap(), Drained::CaughtUp);
    let (times, checkpoint) = database.document::<u64>("numbers", "7").await.unwrap();
    assert_eq!((times, checkpoint.get()), (Some(3), 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_bad_day_each_changeset_is_applied_once_by_whichever_host() {
    for seed in 1..=3 {
        let account = LocalAws::account().await;
        let log = log_of((0..300).map(|n| n % 40)).await;
        let database = database(&account, &Faults::everything(seed).item_by_item(0.5)).await;
        let settings = Settings { batch_changesets_max: 20, ..settings() };
        let hosts = (0..3).map(|_| {
            let numbers = OnDemand::fold(numbers(), database.clone(), log.clone(), settings).unwrap();
            tokio::spawn(async move { numbers.drain_until(Instant::now() + LONG).await })
        });
        for host in Vec::from_iter(hosts) {
            assert_eq!(host.await.unwrap(), Drained::CaughtUp, "seed {seed}");
        }
        let kind = Database::new(aws_sdk_dynamodb::Client::new(&account.sdk_config()), "read-models");
        for number in 0..40 {
            let (times, checkpoint) = kind.document::<u64>("numbers", &number.to_string()).await.unwrap();
            let expected = if number < 20 { 8 } else { 7 };
            assert_eq!((times, checkpoint.get()), (Some(expected), 300), "seed {seed}, number {number}");
        }
    }
}

/// A row for each stream: its number, and what the code adds to it, which is 0 once the code is mended.
struct Mended(Arc<AtomicU64>);

impl Fold for Mended {
    type Event = u64;
    type Key = String;
    type State = u64;

    fn name(&self) -> &str {
        "mended"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, u64>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, _: Option<u64>, event: Recorded<'_, u64>) -> Option<u64> {
        Some(event.event + self.0.load(SeqCst))
    }
}

/// Runs the projection to the end of the log.
async fn mended(log: &Arc<memory::Store>, database: Database, code: &Arc<AtomicU64>) -> Running {
    let mut projector = Projector::new(log.clone());
    projector.fold(Mended(code.clone()), database, settings()).unwrap();
    let running = projector.start();
    let end = log.head().await.unwrap().checkpoint;
    running.handle().when_reached("mended", end, LONG).await.unwrap();
    running
}

fn streams(count: u64) -> RebuildStreams {
    RebuildStreams::of((0..count).map(|number| format!("stream-{number}").parse().unwrap()))
}

/// The number of rows that the code made while it was wrong.
async fn wrong_rows(database: &Database, count: u64) -> u64 {
    let mut wrong = 0;
    for number in 0..count {
        let (row, _) = database.document::<u64>("mended", &format!("stream-{number}")).await.unwrap();
        wrong += u64::from(row != Some(number));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_do_not_fit_one_transaction_are_not_rebuilt_by_their_streams() {
    let account = LocalAws::account().await;
    let (log, code) = (log_of(0..120).await, Arc::new(AtomicU64::new(500)));
    let database = database(&account, &Faults::none()).await;
    let running = mended(&log, database.clone(), &code).await;
    code.store(0, SeqCst);
    let told = RebuildStreams { dry_run: true, ..streams(120) };
    assert_eq!(running.handle().rebuild_streams("mended", told, "").await.unwrap().changed, 120);
    let refused = running.handle().rebuild_streams("mended", streams(120), "").await;
    let Err(OperateError::Failed(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("more than 100 items") && why.contains("Name fewer streams"), "{why}");
    assert_eq!(wrong_rows(&database, 120).await, 120);
    let rebuilt = running.handle().rebuild_streams("mended", streams(90), "").await.unwrap();
    assert_eq!((rebuilt.changed, wrong_rows(&database, 120).await), (90, 30));
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_of_streams_that_dies_at_any_call_is_whole_or_has_not_happened() {
    let world = async || {
        let (account, log) = (LocalAws::account().await, log_of(0..3).await);
        let database = database(&account, &Faults::none()).await;
        mended(&log, database.clone(), &Arc::new(AtomicU64::new(500))).await.shut_down().await;
        (account, log, database)
    };
    let rebuild = async |(account, log, database): &(Account, Arc<memory::Store>, Database),
                         faults: &Faults| {
        let wrong = wrong_rows(database, 3).await;
        assert!(wrong == 0 || wrong == 3, "{wrong}");
        let client = aws_sdk_dynamodb::Client::new(&account.sdk_config_with(faults));
        let running = mended(log, Database::new(client, "read-models"), &Arc::default()).await;
        running.handle().rebuild_streams("mended", streams(3), "mended").await.unwrap();
        running.shut_down().await;
    };
    let is_right = async |(_, _, database): &(Account, Arc<memory::Store>, Database), when: &str| {
        assert_eq!(wrong_rows(database, 3).await, 0, "{when}");
    };
    let deaths = dying_at_each_call(world, rebuild, is_right).await;
    assert!(deaths >= 10, "{deaths}");
}

/// A row for each stream, with a column.
struct Lengths;

impl Lengths {
    fn table() -> Table {
        let column = Column::new("length", ColumnType::BigInt);
        Table::new("lengths", Column::new("stream_id", ColumnType::Text)).with_column(column)
    }
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Length {
    length: u64,
}

impl Fold for Lengths {
    type Event = u64;
    type Key = String;
    type State = Length;

    fn name(&self) -> &str {
        "lengths"
    }
    fn table(&self) -> Table {
        Self::table()
    }
    fn key(&self, event: Recorded<'_, u64>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<Length>, _: Recorded<'_, u64>) -> Option<Length> {
        Some(Length { length: row.map_or(0, |row| row.length) + 1 })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_fold_are_read_by_prefix_in_pages() {
    let account = LocalAws::account().await;
    let log = Arc::new(memory::Store::new());
    for stream in ["b/2", "a", "b/1", "b/\u{10ffff}", "c", "b", "b/3"] {
        append(&log, stream, &[1, 2]).await;
    }
    let database = database(&account, &Faults::none()).await;
    let table = Lengths::table();
    let rows = async |prefix: &str, after: Option<&str>, limit| {
        database.rows::<Length>("lengths", 1, &table, prefix, after, limit).await.unwrap()
    };
    assert_eq!(rows("", None, 10).await, None);
    let lengths = OnDemand::fold(Lengths, database.clone(), log, settings()).unwrap();
    assert_eq!(lengths.drain_until(Instant::now() + LONG).await, Drained::CaughtUp);
    for (prefix, after, limit, expected) in [
        ("", None, 10, &["a", "b", "b/1", "b/2", "b/3", "b/\u{10ffff}", "c"][..]),
        ("b/", None, 2, &["b/1", "b/2"]),
        ("b/", Some("b/2"), 10, &["b/3", "b/\u{10ffff}"]),
        ("b/", Some("b/nothing"), 10, &["b/\u{10ffff}"]),
        ("b/", Some("a"), 1, &["b/1"]),
        ("b/", Some("c"), 10, &[]),
        ("z", None, 10, &[]),
    ] {
        let (found, checkpoint) = rows(prefix, after, limit).await.unwrap();
        let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!((keys.as_slice(), checkpoint.get()), (expected, 7), "{prefix:?} {after:?}");
        assert!(found.iter().all(|(_, row)| *row == Length { length: 2 }), "{found:?}");
    }
    assert_eq!(database.rows::<Length>("lengths", 2, &table, "", None, 10).await.unwrap(), None);
}
