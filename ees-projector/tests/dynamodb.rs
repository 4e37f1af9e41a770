//! What is particular to read models in DynamoDB: transactions of 100 items, and rows that are removed afterwards.
#![cfg(feature = "dynamodb")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use ees_projector::database::{AuditRows, Database as _, Lease, Transaction};
use ees_projector::dynamodb::{Database, create_table};
use ees_projector::read_model::{Column, ColumnType};
use ees_projector::{
    Drained, Fold, Handle, InPlace, OnDemand, OperateError, Order, Projector, ReadModelId, RebuildStreams,
    Recorded, Retry, Running, Settings, SideBySide, State, Status, Table,
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

/// Counts the events of each stream. Tells of each event before it counts it.
struct Streams<F>(F);

impl<F: Fn(&str) + Send + Sync + 'static> Fold for Streams<F> {
    type Event = u64;
    type Key = String;
    type State = u64;

    fn name(&self) -> &str {
        "streams"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, u64>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, times: Option<u64>, event: Recorded<'_, u64>) -> Option<u64> {
        (self.0)(event.stream_id().as_str());
        Some(times.unwrap_or(0) + 1)
    }
}

/// A process of its own that runs the fold, in small steps.
fn streams_in<F: Fn(&str) + Send + Sync + 'static>(
    log: &Arc<memory::Store>,
    database: Database,
    tells: F,
) -> Running {
    let mut projector = Projector::new(log.clone());
    let small = Settings { batch_changesets_max: 3, span_changesets_max: 3, fingerprint: true, ..settings() };
    projector.fold(Streams(tells), database, small).unwrap();
    projector.start()
}

async fn status_when(handle: &Handle, wanted: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + LONG;
    loop {
        let status = handle.status("streams").await.unwrap();
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{status:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The items of a read model's rows.
async fn rows(account: &Account, database: &Database) -> Vec<(String, String)> {
    let partition = database.partition("streams").await.unwrap();
    let query = aws_sdk_dynamodb::Client::new(&account.sdk_config()).query().table_name("read-models");
    let query = query.key_condition_expression("ees_partition = :p").consistent_read(true);
    let query = query.expression_attribute_values(":p", AttributeValue::S(partition));
    let found = query.into_paginator().items().send().try_collect().await.unwrap();
    let text = |value: &AttributeValue| value.as_s().unwrap().clone();
    found.iter().map(|row| (text(&row["ees_key"]), text(&row["state"]))).collect()
}

/// The log of so many streams, each with five changesets.
async fn log_of_streams(count: u64) -> Arc<memory::Store> {
    let store = Arc::new(memory::Store::new());
    for number in 0..count * 5 {
        let (stream, last) = (format!("s{}", number % count), number / count);
        let commit = Commit::new(
            stream.parse().unwrap(),
            Expectation::LastChangeset(last.into()),
            Events::of(&[number]).unwrap(),
        );
        store.commit(commit).await.unwrap();
    }
    store
}

const BY_FOUR: InPlace = InPlace { force: false, keep_skips: None, workers: Some(4), by_segments: true };

/// Another process takes over its segment meanwhile, and ends the rebuild.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_that_wakes_late_in_its_segment_changes_nothing() {
    let account = LocalAws::account().await;
    let (log, late) = (log_of_streams(12).await, Faults::none());
    let end = log.head().await.unwrap().checkpoint;
    let [is_armed, is_frozen, wakes] = [(), (), ()].map(|()| Arc::new(AtomicBool::new(false)));
    let first = streams_in(&log, database(&account, &late).await, {
        let (is_armed, is_frozen, wakes) = (is_armed.clone(), is_frozen.clone(), wakes.clone());
        move |stream| {
            if stream == "s7" && is_armed.swap(false, SeqCst) {
                is_frozen.store(true, SeqCst);
                wait_until(&wakes);
            }
        }
    });
    first.handle().when_reached("streams", end, LONG).await.unwrap();
    let database = database(&account, &Faults::none()).await;
    let before =
        (rows(&account, &database).await, first.handle().status("streams").await.unwrap().fingerprint);
    assert!(before.1.is_some());
    is_armed.store(true, SeqCst);
    first.handle().rebuild_in_place("streams", BY_FOUR, "").await.unwrap();
    while !is_frozen.load(SeqCst) {
        tokio::task::yield_now().await;
    }
    let second = streams_in(&log, database.clone(), |_| ());
    let rebuilt = |status: &Status| {
        status.rebuild.is_none() && status.checkpoint == end && status.partitions.is_empty()
    };
    let status = status_when(second.handle(), rebuilt).await;
    assert_eq!((rows(&account, &database).await, status.fingerprint), before);
    late.calls().take();
    wakes.store(true, SeqCst);
    while late.calls().of("TransactWriteItems") == 0 {
        tokio::task::yield_now().await;
    }
    status_when(first.handle(), rebuilt).await;
    assert_eq!(rows(&account, &database).await, before.0);
    for stream in ["s7", "s1"] {
        let commit = Commit::new(
            stream.parse().unwrap(),
            Expectation::LastChangeset(5.into()),
            Events::of(&[0]).unwrap(),
        );
        log.commit(commit).await.unwrap();
        let next = log.head().await.unwrap().checkpoint;
        first.handle().when_reached("streams", next, LONG).await.unwrap();
        assert_eq!(database.document::<u64>("streams", stream).await.unwrap().0, Some(6));
    }
    assert!(first.handle().verify_quickly("streams").await.unwrap().is_equal());
    assert!(first.handle().verify("streams").await.unwrap().is_equal());
    first.shut_down().await;
    second.shut_down().await;
}

/// Each process has its own part, and in the end nothing of it is left beside the row of the projection.
#[tokio::test(flavor = "multi_thread")]
async fn processes_share_the_segments_of_a_rebuild_on_a_bad_day() {
    let account = LocalAws::account().await;
    let log = log_of_streams(24).await;
    let end = log.head().await.unwrap().checkpoint;
    let processes = [1, 2].map(|seed| Faults::everything(seed).item_by_item(0.5));
    let [first, second] = &processes;
    let first = streams_in(&log, database(&account, first).await, |_| ());
    let second = streams_in(&log, database(&account, second).await, |_| ());
    first.handle().when_reached("streams", end, LONG).await.unwrap();
    let database = database(&account, &Faults::none()).await;
    let before = rows(&account, &database).await;
    assert_eq!(before.len(), 24);
    while let Err(error) = first.handle().rebuild_in_place("streams", BY_FOUR, "").await {
        assert!(matches!(error, OperateError::Unavailable(_) | OperateError::Overtaken), "{error:?}");
    }
    status_when(first.handle(), |status| status.rebuild.is_none() && status.checkpoint == end).await;
    assert_eq!(rows(&account, &database).await, before);
    let wanted = SideBySide { workers: Some(3), by_segments: true, verify: true, ..SideBySide::default() };
    let epoch = first.handle().status("streams").await.unwrap().standby.map(|standby| standby.epoch);
    while let Err(error) = second.handle().rebuild_side_by_side("streams", wanted, "").await {
        let begun = matches!(error, OperateError::AlreadyBuilding);
        assert!(
            begun || matches!(error, OperateError::Unavailable(_) | OperateError::Overtaken),
            "{error:?}"
        );
        if begun {
            break;
        }
    }
    status_when(first.handle(), |status| {
        let built = status.standby.as_ref().filter(|standby| Some(standby.epoch) != epoch);
        built.is_some_and(|standby| standby.plan.role == ees_projector::StandbyRole::Following)
    })
    .await;
    assert_eq!(rows(&account, &database).await, before);
    first.shut_down().await;
    second.shut_down().await;
    for home in ["!streams", "!streams__standby"] {
        let mut tx = database.begin().await.unwrap();
        let model = ReadModelId::live(&home[1..]);
        assert_eq!(tx.partitions(&model, false).await.unwrap(), []);
    }
}

#[tokio::test]
async fn the_lease_on_a_segment_passes_when_it_is_given_back_or_expires() {
    let account = LocalAws::account().await;
    let [first, second] =
        [database(&account, &Faults::none()).await, database(&account, &Faults::none()).await];
    let segment = ReadModelId::live("streams").with_partition(0);
    let look = async |database: &Database| {
        let mut tx = database.begin().await.unwrap();
        tx.lease(&segment, 1, true).await.unwrap()
    };
    let Lease::Ours { worker } = look(&first).await else { panic!("it is free") };
    assert_eq!(look(&second).await, Lease::Elsewhere { worker: Some(worker.clone()) });
    assert_eq!(look(&first).await, Lease::Ours { worker: worker.clone() });
    first.begin().await.unwrap().release_lease(&segment).await.unwrap();
    let Lease::Ours { worker: other } = look(&second).await else { panic!("it was given back") };
    // As if the second one had died some time ago.
    let lease = [("ees_partition", "!streams"), ("ees_key", "worker/000/lease"), ("owner", &*other)];
    let mut put = aws_sdk_dynamodb::Client::new(&account.sdk_config()).put_item().table_name("read-models");
    for (name, value) in lease {
        put = put.item(name, AttributeValue::S(value.to_owned()));
    }
    let until = Timestamp::now().earlier_by(Duration::from_secs(1)).as_micros();
    put.item("until", AttributeValue::N(until.to_string())).send().await.unwrap();
    assert_eq!(look(&first).await, Lease::Ours { worker });
    let whole = ReadModelId::live("streams");
    let mut tx = first.begin().await.unwrap();
    assert_eq!(tx.lease(&whole, 1, true).await.unwrap(), Lease::NotNeeded);
}

/// It would replay the log from its start beside those who read segments. It stops before a version that is newer than
/// its own, which it finds.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_know_of_segments_is_kept_out_while_they_are_read() {
    let account = LocalAws::account().await;
    let (log, is_open) = (log_of_streams(4).await, Arc::new(AtomicBool::new(true)));
    let end = log.head().await.unwrap().checkpoint;
    let database = database(&account, &Faults::none()).await;
    let running = streams_in(&log, database.clone(), {
        let is_open = is_open.clone();
        move |_| wait_until(&is_open)
    });
    running.handle().when_reached("streams", end, LONG).await.unwrap();
    let versions = async || {
        let get = database.client().get_item().table_name("read-models").consistent_read(true);
        let get = get.key("ees_partition", AttributeValue::S("!streams".to_owned()));
        let row =
            get.key("ees_key", AttributeValue::S("control".to_owned())).send().await.unwrap().item.unwrap();
        let seen: u32 = row["version"].as_n().unwrap().parse().unwrap();
        let mut tx = database.begin().await.unwrap();
        (seen, tx.load(&ReadModelId::live("streams")).await.unwrap().unwrap().version)
    };
    assert_eq!(versions().await, (1, 1));
    is_open.store(false, SeqCst);
    running.handle().rebuild_in_place("streams", BY_FOUR, "").await.unwrap();
    assert_eq!(versions().await, (u32::MAX, 1));
    is_open.store(true, SeqCst);
    status_when(running.handle(), |status| status.rebuild.is_none() && status.checkpoint == end).await;
    assert_eq!(versions().await, (1, 1));
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_is_shared_by_segments_only_and_by_no_more_than_a_transaction_can_begin() {
    let account = LocalAws::account().await;
    let log = log_of_streams(4).await;
    let running = streams_in(&log, database(&account, &Faults::none()).await, |_| ());
    let end = log.head().await.unwrap().checkpoint;
    running.handle().when_reached("streams", end, LONG).await.unwrap();
    let refused =
        running.handle().rebuild_in_place("streams", InPlace { by_segments: false, ..BY_FOUR }, "").await;
    assert!(
        matches!(&refused, Err(OperateError::NotSupported(why)) if why.contains("by segments")),
        "{refused:?}"
    );
    let most = ees_projector::dynamodb::SEGMENT_WORKERS_MAX;
    let too_many = InPlace { workers: Some(most + 1), ..BY_FOUR };
    let refused = running.handle().rebuild_in_place("streams", too_many, "").await;
    assert_eq!(refused, Err(OperateError::PartitionCount { max: most }));
    let all = InPlace { workers: Some(most), ..BY_FOUR };
    running.handle().rebuild_in_place("streams", all, "").await.unwrap();
    // Again, while it is dealt out, and an ordinary one in its place.
    running.handle().rebuild_in_place("streams", all, "").await.unwrap();
    running.handle().rebuild("streams", "").await.unwrap();
    status_when(running.handle(), |status| status.rebuild.is_none() && status.checkpoint == end).await;
    assert!(running.handle().verify("streams").await.unwrap().is_equal());
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_share_a_rebuild_leave_it_to_another_time_to_remove_the_rows_of_before() {
    let account = LocalAws::account().await;
    let (log, faults) = (log_of_streams(24).await, Faults::none());
    let running = streams_in(&log, database(&account, &faults).await, |_| ());
    let end = log.head().await.unwrap().checkpoint;
    running.handle().when_reached("streams", end, LONG).await.unwrap();
    running.handle().rebuild_in_place("streams", BY_FOUR, "").await.unwrap();
    status_when(running.handle(), |status| status.rebuild.is_none() && status.checkpoint == end).await;
    assert_eq!(
        faults.calls().of("BatchWriteItem"),
        0,
        "each would delete the same rows, for a write unit each"
    );
    running.shut_down().await;
}
