//! Read models in DynamoDB that are compared and swapped where there is no snapshot and no lock.
#![cfg(feature = "dynamodb")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use ees_projector::database::{AuditRows, Database as _, Transaction};
use ees_projector::dynamodb::{Database, Item, Tx, create_table};
use ees_projector::{
    BoxError, Fold, InPlace, OperateError, Order, Projection, Projector, ReadModelId, Recorded, Running,
    Settings, SideBySide, StandbyRole, Status,
};
use ees_store::{ChangesetLog, Commit, EventStore, Events, Expectation, Timestamp, memory};
use ees_test_aws::{Account, Faults, LocalAws};

const LONG: Duration = Duration::from_secs(60);
const TABLE: &str = "read-models";

/// A row for each number, with a text of some length.
struct Texts {
    bytes: usize,
}

impl Fold for Texts {
    type Event = u64;
    type Key = u64;
    type State = String;

    fn name(&self) -> &str {
        "texts"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, u64>) -> Option<u64> {
        Some(*event.event)
    }
    fn fold(&self, text: Option<String>, _: Recorded<'_, u64>) -> Option<String> {
        let text = text.unwrap_or_default();
        Some(text + &"x".repeat(self.bytes))
    }
}

/// Writes its rows by itself: into one table, and in version 1 into a second one.
#[derive(Clone)]
struct Own {
    version: u32,
    /// A table of another projection that it reads.
    foreign: Option<&'static str>,
    /// Whether it writes an item that is in no table of its own.
    writes_elsewhere: bool,
}

impl Own {
    fn of(version: u32) -> Self {
        Self { version, foreign: None, writes_elsewhere: false }
    }
}

impl Projection<Tx> for Own {
    type Event = u64;

    fn name(&self) -> &str {
        "own"
    }
    fn version(&self) -> u32 {
        self.version
    }
    async fn create_tables(&self, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        tx.clear("own_rows").await?;
        tx.clear("own_old").await
    }
    async fn apply(&self, event: Recorded<'_, u64>, tx: &mut Tx) -> Result<(), BoxError> {
        let key = event.event.to_string();
        if let Some(foreign) = self.foreign {
            tx.row(foreign, &key).await?;
        }
        if self.writes_elsewhere {
            let put = Put::builder().table_name(TABLE).item("ees_partition", text("elsewhere"));
            tx.write(TransactWriteItem::builder().put(put.item("ees_key", text(&key)).build()?).build())?;
        }
        let row = Item::from([("stream".to_owned(), text(event.stream_id().as_str()))]);
        if self.version == 1 {
            tx.write_row("own_old", &key, Some(row.clone())).await?;
        }
        tx.write_row("own_rows", &key, Some(row)).await
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

async fn append(store: &memory::Store, stream: &str, number: u64) {
    let events = Events::of(&[number]).unwrap();
    store.commit(Commit::new(stream.parse().unwrap(), Expectation::NewStream, events)).await.unwrap();
}

async fn log_of(count: u64) -> Arc<memory::Store> {
    let store = Arc::new(memory::Store::new());
    for number in 0..count {
        append(&store, &format!("stream-{number}"), number).await;
    }
    store
}

async fn database(account: &Account, faults: &Faults) -> Database {
    create_table(&aws_sdk_dynamodb::Client::new(&account.sdk_config()), TABLE).await.unwrap();
    Database::new(aws_sdk_dynamodb::Client::new(&account.sdk_config_with(faults)), TABLE)
}

/// The keys in a partition.
async fn keys(database: &Database, partition: &str) -> Vec<String> {
    let query = database.client().query().table_name(TABLE).consistent_read(true);
    let query = query.key_condition_expression("ees_partition = :p");
    let pages = query.expression_attribute_values(":p", text(partition)).into_paginator().items().send();
    let items = pages.try_collect().await.unwrap();
    items.iter().map(|item| item["ees_key"].as_s().unwrap().clone()).collect()
}

async fn put(database: &Database, partition: &str, key: &str, state: &str) {
    let put = database.client().put_item().table_name(TABLE).item("ees_partition", text(partition));
    put.item("ees_key", text(key)).item("state", text(state)).send().await.unwrap();
}

async fn caught_up(running: &Running, log: &memory::Store, name: &str) {
    let head = log.head().await.unwrap().checkpoint;
    running.handle().when_reached(name, head, LONG).await.unwrap();
}

async fn status_when(running: &Running, name: &str, wanted: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + LONG;
    loop {
        let status = running.handle().status(name).await.unwrap();
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{status:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn follows(status: &Status) -> bool {
    status.standby.as_ref().is_some_and(|standby| standby.plan.role == StandbyRole::Following)
}

fn texts(log: &Arc<memory::Store>, database: &Database, bytes: usize) -> Running {
    let mut projector = Projector::new(log.clone());
    projector.fold(Texts { bytes }, database.clone(), Settings::default()).unwrap();
    projector.start()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_rows_are_compared_and_no_more_differences_are_listed_than_promised() {
    let account = LocalAws::account().await;
    let (log, database) = (log_of(40).await, database(&account, &Faults::none()).await);
    // Some pages of 1 MB, and more than 4 MB of suspects.
    let running = texts(&log, &database, 60_000);
    caught_up(&running, &log, "texts").await;
    let equal = running.handle().verify("texts").await.unwrap();
    assert_eq!((equal.rows, equal.checkpoint, equal.differences), (40, 40, vec![]));
    let partition = database.partition("texts").await.unwrap();
    for key in 10..40 {
        put(&database, &partition, &key.to_string(), "\"short\"").await;
    }
    let found = running.handle().verify("texts").await.unwrap().differences;
    assert_eq!(found.len(), 30);
    assert!(found.iter().all(|found| found.contains("changed row") && found.len() < 500), "{found:?}");
    for key in 100..200 {
        put(&database, &partition, &key.to_string(), "\"extra\"").await;
    }
    assert_eq!(running.handle().verify("texts").await.unwrap().differences.len(), 100);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_documents_notices_no_swap() {
    let account = LocalAws::account().await;
    let (log, database) = (log_of(5).await, database(&account, &Faults::none()).await);
    let running = texts(&log, &database, 1);
    caught_up(&running, &log, "texts").await;
    let stop = AtomicBool::new(false);
    let reading = async {
        let mut last = (String::new(), 5.into());
        while !stop.load(SeqCst) {
            let (text, checkpoint) = database.document::<String>("texts", "0").await.unwrap();
            let now = (text.unwrap(), checkpoint);
            assert!(now.0.len() >= last.0.len() && now.1 >= last.1, "{now:?} after {last:?}");
            last = now;
        }
    };
    let swapping = async {
        running.handle().rebuild_side_by_side("texts", SideBySide::default(), "").await.unwrap();
        status_when(&running, "texts", follows).await;
        for round in 0..4 {
            append(&log, &format!("round-{round}"), 0).await;
            running.handle().rollback("texts", false, "").await.unwrap();
        }
        caught_up(&running, &log, "texts").await;
        stop.store(true, SeqCst);
    };
    tokio::join!(reading, swapping);
    assert_eq!(database.document::<String>("texts", "0").await.unwrap().0.unwrap(), "xxxxx");
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_a_projection_writes_by_itself_are_compared_and_go_over() {
    let account = LocalAws::account().await;
    let (log, database) = (log_of(3).await, database(&account, &Faults::none()).await);
    let run = |own: Own| {
        let mut projector = Projector::new(log.clone());
        projector.projection(own, database.clone(), Settings::default()).unwrap();
        projector.start()
    };
    let old = run(Own::of(1));
    caught_up(&old, &log, "own").await;
    put(&database, &database.partition("own_old").await.unwrap(), "nobody", "\"\"").await;
    let compared = old.handle().verify("own").await.unwrap();
    assert_eq!(compared.rows, 7);
    assert!(compared.differences[0].starts_with("table own_old: extra row nobody"), "{compared:?}");
    old.shut_down().await;
    let mut projector = Projector::new(log.clone());
    let beside = ees_projector::NewVersion::SideBySide { verify: false };
    let settings = Settings { new_version: beside, ..Settings::default() };
    projector.projection(Own::of(2), database.clone(), settings).unwrap();
    let new = projector.start();
    let rows = async |table: &str| keys(&database, &database.partition(table).await.unwrap()).await;
    let deadline = Instant::now() + LONG;
    while !rows("own_old").await.is_empty() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(rows("own_rows").await, ["0", "1", "2"]);
    new.shut_down().await;
    let old = run(Own::of(1));
    append(&log, "more", 3).await;
    status_when(&old, "own", follows).await;
    old.handle().rollback("own", false, "").await.unwrap();
    caught_up(&old, &log, "own").await;
    assert_eq!(rows("own_old").await, ["0", "1", "2", "3", "nobody"]);
    assert_eq!(rows("own_rows").await, ["0", "1", "2", "3"]);
    old.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_touch_others_rows_is_refused_beside_the_live_read_model() {
    let account = LocalAws::account().await;
    let (log, database) = (log_of(3).await, database(&account, &Faults::none()).await);
    for (own, why) in [
        (Own { foreign: Some("texts"), ..Own::of(1) }, "belongs to the projection \"texts\""),
        (Own { writes_elsewhere: true, ..Own::of(1) }, "`Tx::write`"),
    ] {
        let mut projector = Projector::new(log.clone());
        projector.fold(Texts { bytes: 1 }, database.clone(), Settings::default()).unwrap();
        projector.projection(own, database.clone(), Settings::default()).unwrap();
        let running = projector.start();
        caught_up(&running, &log, "texts").await;
        caught_up(&running, &log, "own").await;
        match running.handle().verify("own").await {
            Err(OperateError::Failed(error)) => assert!(error.contains(why), "{error}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(running.handle().verify("texts").await.unwrap().differences, Vec::<String>::new());
        running.handle().rebuild("own", "for the next").await.unwrap();
        running.shut_down().await;
    }
}

/// More rows change places than a transaction has items. The standby stays, and its note says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_stays_while_too_many_workers_rebuild_the_live_read_model() {
    let account = LocalAws::account().await;
    let (log, database) = (log_of(20).await, database(&account, &Faults::none()).await);
    let running = texts(&log, &database, 1);
    caught_up(&running, &log, "texts").await;
    let handle = running.handle();
    let by_segments = InPlace { by_segments: true, workers: Some(48), ..InPlace::default() };
    handle.rebuild_in_place("texts", by_segments, "").await.unwrap();
    handle.pause("texts", "").await.unwrap();
    handle.rebuild_side_by_side("texts", SideBySide::default(), "").await.unwrap();
    let note = |status: &Status| status.standby.as_ref().and_then(|standby| standby.plan.note.clone());
    let status = status_when(&running, "texts", |status| note(status).is_some()).await;
    assert!(note(&status).unwrap().contains("more than 100 items"), "{status:?}");
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_standby_leaves_no_rows() {
    let account = LocalAws::account().await;
    let (log, database) = (log_of(60).await, database(&account, &Faults::none()).await);
    let running = texts(&log, &database, 1);
    caught_up(&running, &log, "texts").await;
    let before = database.partition("texts").await.unwrap();
    running.handle().rebuild_side_by_side("texts", SideBySide::default(), "").await.unwrap();
    status_when(&running, "texts", follows).await;
    let now = database.partition("texts").await.unwrap();
    assert_ne!(before, now);
    running.handle().discard_standby("texts", "").await.unwrap();
    assert_eq!(status_when(&running, "texts", |status| status.standby.is_none()).await.checkpoint.get(), 60);
    running.shut_down().await;
    loop {
        let mut tx = database.begin().await.unwrap();
        let gone = tx.sweep(&ReadModelId::live("texts"), Timestamp::from_micros(0), 100).await.unwrap();
        tx.commit().await.unwrap();
        if gone == 0 {
            break;
        }
    }
    assert_eq!((keys(&database, &before).await.len(), keys(&database, &now).await.len()), (0, 60));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_bad_day_read_models_are_compared_and_swapped() {
    let account = LocalAws::account().await;
    let (log, database) = (log_of(60).await, database(&account, &Faults::everything(1)).await);
    let running = texts(&log, &database, 1);
    let wanted = SideBySide { verify: true, ..SideBySide::default() };
    let mut begun = running.handle().rebuild_side_by_side("texts", wanted, "").await;
    // The answer to a commit may be lost, so that it has begun already.
    while !matches!(begun, Ok(()) | Err(OperateError::AlreadyBuilding)) {
        begun = running.handle().rebuild_side_by_side("texts", wanted, "").await;
    }
    status_when(&running, "texts", follows).await;
    for number in 0..20 {
        append(&log, &format!("more-{number}"), number).await;
    }
    caught_up(&running, &log, "texts").await;
    let mut verified = running.handle().verify("texts").await;
    while matches!(verified, Err(OperateError::Unavailable(_) | OperateError::Overtaken)) {
        verified = running.handle().verify("texts").await;
    }
    let verified = verified.unwrap();
    assert_eq!((verified.rows, verified.differences), (60, vec![]));
    running.shut_down().await;
}
