//! Functions and workers that die at each of their calls: what they were told comes again, and in the end all is as if
//! nothing had happened.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_dynamodb::types::AttributeValue;
use ees_projector::database::{Database, FoldRows, LedgerRows, TimerRows, Transaction};
use ees_projector::lambda::{Function, publish_records};
use ees_projector::reactor::{self, Cause, EffectQuery, EffectState, Firing, Reactor, Start, TimerQuery};
use ees_projector::sqs::{Queue, Worker};
use ees_projector::{
    BoxError, Drained, Fold, OnDemand, Position, ProjectionState, Projector, ReadModelId, Recorded,
    SegmentProgress, Settings, Split, dynamodb, sqlite,
};
use ees_store::dynamodb::{Candidate, Indexer, Indexing, Options, Store};
use ees_store::publish::{Message, group_id};
use ees_store::{
    Changeset, ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, LogQuery, Segment, memory,
};
use ees_test_aws::{Account, Faults, LocalAws, dying_at_each_call};
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::sync::oneshot;

use crate::stream::{failures, item, records, whole};
use crate::support::{Bus, LONG, append, until};

/// The events of each stream, in the order in which they were applied.
pub struct ByStream;

impl Fold for ByStream {
    type Event = IgnoredAny;
    type Key = String;
    type State = Vec<u64>;

    fn name(&self) -> &str {
        "by_stream"
    }
    fn key(&self, event: Recorded<'_, IgnoredAny>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, applied: Option<Vec<u64>>, event: Recorded<'_, IgnoredAny>) -> Option<Vec<u64>> {
        let mut applied = applied.unwrap_or_default();
        applied.push(event.event_id.get());
        Some(applied)
    }
}

/// In portions, so that there is something between them to die in.
fn settings() -> Settings {
    Settings { batch_changesets_max: 3, span_changesets_max: 3, ..Settings::default() }
}

/// Six changesets of two streams.
const HISTORY: [(&str, u64); 6] = [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2), ("a", 4)];

/// As Lambda hands a FIFO queue's messages to a function.
fn messages(changesets: &[Changeset]) -> SqsEvent {
    let record = |(number, changeset): (usize, &Changeset)| {
        json!({
            "messageId": number.to_string(), "receiptHandle": "r", "md5OfBody": "",
            "body": Message::of_changeset(changeset).unwrap().body(),
            "attributes": {"MessageGroupId": group_id(&changeset.stream_id), "ApproximateReceiveCount": "1"},
            "messageAttributes": {}, "eventSource": "aws:sqs", "awsRegion": "eu-central-1", "eventSourceARN": "arn",
        })
    };
    let records: Vec<_> = changesets.iter().enumerate().map(record).collect();
    serde_json::from_value(json!({ "Records": records })).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_dies_at_any_call_leaves_nothing_out_and_the_topics_remove_what_comes_twice() {
    let event = records(&HISTORY.map(|(stream, id)| ("INSERT", item(stream, id, Some(&id.to_string())))));
    let world = async || {
        let bus = Bus::new().await;
        let changesets = bus.subscribed("changesets", &bus.changesets, true).await;
        let events = bus.subscribed("events", &bus.events, true).await;
        (bus, changesets, events)
    };
    let publish = async |(bus, ..): &(Bus, String, String), faults: &Faults| {
        let response = publish_records(&bus.publisher_with(faults), &event, Instant::now() + LONG).await;
        assert_eq!(failures(&response), [""; 0]);
    };
    let is_right = async |(bus, changesets, events): &(Bus, String, String), when: &str| {
        let of = |bodies: &[String], stream: &str| {
            let name = format!(r#""stream_id":"{stream}""#);
            bodies.iter().filter(|body| body.contains(&name)).cloned().collect::<Vec<_>>()
        };
        let (told, told_events) = tokio::join!(bus.bodies(changesets, 6), bus.bodies(events, 6));
        for (stream, count) in [("a", 4), ("b", 2)] {
            let expected: Vec<_> = (1..=count).map(|id| whole(stream, id, &id.to_string())).collect();
            assert_eq!(of(&told, stream), expected, "{when}");
            let told = of(&told_events, stream);
            let ids = told
                .iter()
                .map(|body| serde_json::from_str::<serde_json::Value>(body).unwrap()["event_id"].as_u64());
            assert_eq!(ids.collect::<Vec<_>>(), (1..=count).map(Some).collect::<Vec<_>>(), "{when}");
        }
    };
    let deaths = dying_at_each_call(world, publish, is_right).await;
    assert!(deaths >= 8, "{deaths}");
}

/// A log in DynamoDB with its read models, and what a queue tells of it.
struct Table {
    account: Account,
    told: SqsEvent,
}

impl Table {
    async fn new() -> Self {
        let account = LocalAws::account().await;
        let config = account.sdk_config();
        ees_store::dynamodb::create_table(&config, "log", false).await.unwrap();
        dynamodb::create_table(&aws_sdk_dynamodb::Client::new(&config), "read-models").await.unwrap();
        let store = Self::open(&account, &Faults::none()).await;
        let mut candidates = Vec::new();
        for (stream, id) in HISTORY {
            let expectation = Expectation::LastChangeset((id - 1).into());
            let events = Events::parse("[1,2]").unwrap();
            store.commit(Commit::new(stream.parse().unwrap(), expectation, events)).await.unwrap();
            candidates.push(Candidate {
                stream_id: stream.parse().unwrap(),
                changeset_id: id.into(),
                size_bytes: 300,
            });
        }
        Indexer::open(&config, "log").await.unwrap().index(candidates).await.unwrap();
        let log = store.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap().changesets;
        let log: Vec<_> = log.into_iter().map(|indexed| indexed.changeset).collect();
        Self { account, told: messages(&log) }
    }

    async fn open(account: &Account, faults: &Faults) -> Store {
        let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
        Store::open_with(&account.sdk_config_with(faults), "log", options).await.unwrap()
    }

    fn read_models(&self, faults: &Faults) -> dynamodb::Database {
        let client = aws_sdk_dynamodb::Client::new(&self.account.sdk_config_with(faults));
        dynamodb::Database::new(client, "read-models")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_for_a_queue_that_dies_at_any_call_applies_each_changeset_once() {
    let handle = async |table: &Table, faults: &Faults| {
        let log = Arc::new(Table::open(&table.account, faults).await);
        let by_stream = OnDemand::fold(ByStream, table.read_models(faults), log, settings()).unwrap();
        let response = Function::new(by_stream).on_messages(&table.told, Instant::now() + LONG).await;
        assert!(response.batch_item_failures.is_empty(), "{response:?}");
    };
    let is_right = async |table: &Table, when: &str| {
        for (stream, events) in [("a", 8), ("b", 4)] {
            let database = table.read_models(&Faults::none());
            let (row, next) = database.document::<Vec<u64>>("by_stream", stream).await.unwrap();
            assert_eq!((row, next.get()), (Some((1..=events).collect()), 6), "{stream}, {when}");
        }
    };
    let deaths = dying_at_each_call(Table::new, handle, is_right).await;
    assert!(deaths >= 20, "{deaths}");
}

/// A rebuild that so many workers read by segments, at its beginning: as the operator's command leaves it.
async fn to_be_rebuilt(count: u32) -> Table {
    let table = Table::new().await;
    let (database, log) =
        (table.read_models(&Faults::none()), Table::open(&table.account, &Faults::none()).await);
    let host = OnDemand::fold(ByStream, database.clone(), Arc::new(log), settings()).unwrap();
    assert_eq!(host.drain_until(Instant::now() + LONG).await, Drained::CaughtUp);
    let live = ReadModelId::live("by_stream");
    let mut tx = database.begin().await.unwrap();
    let mut row = tx.load(&live).await.unwrap().unwrap();
    let (applied, until) = (row.position, Checkpoint::new(5));
    row.position = Position { next: Checkpoint::START, epoch: applied.epoch + 1 };
    (row.last, row.rebuild_until) = (None, Some(until));
    let segment = |index| {
        let segment = Segment { index, count };
        Some(SegmentProgress { segment, until, after: None, passed: 0 })
    };
    row.segment = segment(0);
    if count > 1 {
        row.split = Some(Split { count, next_count: Some(1), barrier: Some(until) });
        for index in 0..count {
            let of_worker = ProjectionState { segment: segment(index), ..row.clone() };
            tx.add_partition(&live.with_partition(index), &of_worker).await.unwrap();
        }
    }
    assert!(tx.replace(&live, applied, &row).await.unwrap());
    tx.drop_table(&ByStream.table()).await.unwrap();
    tx.create_table(&ByStream.table()).await.unwrap();
    tx.commit().await.unwrap();
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_by_segments_that_dies_at_any_call_applies_each_changeset_once() {
    let rebuild = async |table: &Table, faults: &Faults| {
        // As if the leases of a process that died had expired.
        for index in 0..2 {
            let client = aws_sdk_dynamodb::Client::new(&table.account.sdk_config());
            let lease = client.delete_item().table_name("read-models");
            let lease = lease.key("ees_partition", AttributeValue::S("!by_stream".to_owned()));
            let key = AttributeValue::S(format!("worker/{index:03}/lease"));
            lease.key("ees_key", key).send().await.unwrap();
        }
        let log = Arc::new(Table::open(&table.account, faults).await);
        let by_stream = OnDemand::fold(ByStream, table.read_models(faults), log, settings()).unwrap();
        assert_eq!(by_stream.drain_until(Instant::now() + LONG).await, Drained::CaughtUp);
    };
    let is_right = async |table: &Table, when: &str| {
        for (stream, events) in [("a", 8), ("b", 4)] {
            let database = table.read_models(&Faults::none());
            let (row, next) = database.document::<Vec<u64>>("by_stream", stream).await.unwrap();
            assert_eq!((row, next.get()), (Some((1..=events).collect()), 6), "{stream}, {when}");
        }
    };
    for (workers, least) in [(1, 20), (2, 40)] {
        let deaths = dying_at_each_call(async || to_be_rebuilt(workers).await, rebuild, is_right).await;
        assert!(deaths >= least, "{deaths}");
    }
}

/// A queue with messages, the log they tell of, and a read model in a file.
struct Desk {
    bus: Bus,
    queue: String,
    log: Arc<memory::Store>,
    rows: sqlite::Database,
    _folder: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Self {
        let (bus, log) = (Bus::new().await, history().await);
        let folder = tempfile::tempdir().unwrap();
        let rows = sqlite::Database::open(folder.path().join("rows.db")).unwrap();
        let queue = bus.queue("mine", &[]).await;
        for (number, changeset) in all(&log).await.iter().enumerate() {
            let message = Message::of_changeset(changeset).unwrap();
            let send = bus.sqs.send_message().queue_url(&queue).message_body(message.body());
            let send = send.message_group_id(message.group_id()).message_deduplication_id(number.to_string());
            send.send().await.unwrap();
        }
        Self { bus, queue, log, rows, _folder: folder }
    }
}

async fn history() -> Arc<memory::Store> {
    let log = Arc::new(memory::Store::new());
    for (stream, _) in HISTORY {
        append(&log, stream, "[1,2]").await;
    }
    log
}

/// The events that were applied, by stream.
async fn rows(database: &sqlite::Database) -> Vec<(String, String)> {
    let read = database.read(|connection| {
        let mut all = connection.prepare("SELECT key, state FROM by_stream ORDER BY key")?;
        all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<Vec<_>>>()
    });
    read.await.unwrap()
}

async fn all(log: &memory::Store) -> Vec<Changeset> {
    let page = log.read(LogQuery::from(Checkpoint::START, 1_000)).await.unwrap();
    page.changesets.into_iter().map(|indexed| indexed.changeset).collect()
}

fn expected_rows() -> Vec<(String, String)> {
    [("a", "[1,2,3,4,5,6,7,8]"), ("b", "[1,2,3,4]")].map(|(stream, ids)| (stream.into(), ids.into())).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_at_any_call_applies_each_changeset_once_and_empties_its_queue() {
    let work = async |desk: &Desk, faults: &Faults| {
        let client = aws_sdk_sqs::Client::new(&desk.bus.account.sdk_config_with(faults));
        let queue = Queue::new(client, &desk.queue).with_wait(Duration::from_secs(1));
        // What a worker that died has in hand comes again after that.
        let queue = queue.with_visibility(Duration::from_secs(1));
        let mut projector = Projector::new(desk.log.clone());
        projector.fold(ByStream, desk.rows.clone(), settings()).unwrap();
        let running = projector.start();
        let worker = Worker::new(queue, running.handle().clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let working = Box::pin(worker.run(async { drop(stopped.await) }));
        tokio::join!(working, async {
            until("the queue is empty", async || desk.bus.count(&desk.queue).await == 0).await;
            drop(stop);
        });
        assert_eq!(rows(&desk.rows).await, expected_rows());
        running.shut_down().await;
    };
    let is_right =
        async |desk: &Desk, when: &str| assert_eq!(rows(&desk.rows).await, expected_rows(), "{when}");
    let deaths = dying_at_each_call(Desk::new, work, is_right).await;
    assert!(deaths >= 4, "{deaths}");
}

/// Sets a timer for each event, and another one that the next event cancels.
struct Reminders(Arc<Mutex<Reminded>>);

/// The reminders by their idempotency key: a receiver that recognizes repetitions.
type Reminded = BTreeMap<String, String>;

impl Reactor for Reminders {
    type Event = IgnoredAny;

    fn name(&self) -> &str {
        "reminders"
    }
    async fn react(&self, cause: Cause<'_, IgnoredAny>) -> Result<(), BoxError> {
        cause.cancel("gone").await?;
        cause.at(cause.timestamp(), &format!("{}", cause.event_id), &cause.changeset_id()).await?;
        cause.at(cause.timestamp() + LONG * 100, "gone", &()).await
    }
    async fn on_timer(&self, firing: Firing<'_>) -> Result<(), BoxError> {
        let remind = async || {
            let what = format!("{} {}", firing.stream_id(), firing.timer().key);
            self.0.lock().unwrap().insert(firing.key("remind"), what);
            Ok::<_, BoxError>(())
        };
        firing.effect("remind", remind).await
    }
}

/// A reminder for each event, whatever died; nothing is left but the timer that no event has cancelled, and the
/// ledger has each as done.
async fn assert_reminded<D: Database>(database: &D, reminded: &Mutex<Reminded>, events: usize, when: &str) {
    let all: Vec<_> =
        reminded.lock().unwrap().values().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let expected: Vec<_> = (1..=events).map(|id| format!("a {id}")).collect();
    assert_eq!((all, reminded.lock().unwrap().len()), (expected, events), "{when}");
    let mut tx = database.begin().await.unwrap();
    let model = ReadModelId::live("reminders");
    let left = tx.timers(&model, &TimerQuery::default()).await.unwrap();
    assert_eq!(left.iter().map(|timer| &*timer.key).collect::<Vec<_>>(), ["gone"], "{when}");
    let effects = tx.effects(&model, &EffectQuery { limit: 1_000, ..EffectQuery::default() }).await.unwrap();
    let fired = effects.iter().filter(|effect| effect.effect.starts_with("timer:fire:"));
    // Each firing, and its effect.
    assert_eq!(fired.count(), 2 * events, "{when}");
    assert!(effects.iter().all(|effect| effect.state == EffectState::Done), "{effects:#?}, {when}");
}

/// What a worker that died has begun is left to it for so long.
fn of_reminders() -> reactor::Settings {
    let effect_timeout = Duration::from_millis(500);
    reactor::Settings { start: Start::Beginning, effect_timeout, ..Default::default() }
}

async fn remind(log: &Arc<memory::Store>, database: impl Database, reminded: &Arc<Mutex<Reminded>>) {
    let reactor =
        OnDemand::reactor(Reminders(reminded.clone()), database, log.clone(), of_reminders()).unwrap();
    assert_eq!(reactor.drain_until(Instant::now() + LONG).await, Drained::CaughtUp);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reactor_that_dies_at_any_call_fires_each_timer_and_records_it_once() {
    let world = async || {
        let (account, log) = (LocalAws::account().await, Arc::new(memory::Store::new()));
        let client = aws_sdk_dynamodb::Client::new(&account.sdk_config());
        dynamodb::create_table(&client, "read-models").await.unwrap();
        append(&log, "a", "[1]").await;
        (account, log, Arc::<Mutex<Reminded>>::default())
    };
    let ledger = |account: &Account, faults: &Faults| {
        let client = aws_sdk_dynamodb::Client::new(&account.sdk_config_with(faults));
        dynamodb::Database::new(client, "read-models")
    };
    let react = async |(account, log, reminded): &(Account, Arc<memory::Store>, Arc<Mutex<Reminded>>),
                       faults: &Faults| {
        remind(log, ledger(account, faults), reminded).await;
    };
    let is_right = async |(account, _, reminded): &(Account, Arc<memory::Store>, Arc<Mutex<Reminded>>),
                          when: &str| {
        assert_reminded(&ledger(account, &Faults::none()), reminded, 1, when).await;
    };
    let deaths = dying_at_each_call(world, react, is_right).await;
    assert!(deaths >= 30, "{deaths}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reactor_that_dies_wherever_it_waits_fires_each_timer_and_records_it_once() {
    for times in 0.. {
        let (folder, log) = (tempfile::tempdir().unwrap(), Arc::new(memory::Store::new()));
        append(&log, "a", "[1,2]").await;
        let reminded = Arc::<Mutex<Reminded>>::default();
        let database = sqlite::Database::open(folder.path().join("ledger.db")).unwrap();
        let lived = polled(times, remind(&log, database.clone(), &reminded)).await;
        remind(&log, database.clone(), &reminded).await;
        assert_reminded(&database, &reminded, 2, &format!("after {times} polls")).await;
        if lived.is_some() {
            assert!(times > 10, "it waits for each transaction: {times}");
            return;
        }
    }
}

/// Polls so often, and then never again: as a process that is killed while it waits for anything, be it a call or a thread.
async fn polled<T>(times: usize, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut left) = (pin!(work), times);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_dies_wherever_it_waits_applies_each_changeset_once() {
    for times in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let (log, database) =
            (history().await, sqlite::Database::open(folder.path().join("rows.db")).unwrap());
        let told = messages(&all(&log).await);
        let function =
            || Function::new(OnDemand::fold(ByStream, database.clone(), log.clone(), settings()).unwrap());
        let lived = polled(times, async { function().on_messages(&told, Instant::now() + LONG).await }).await;
        let response = function().on_messages(&told, Instant::now() + LONG).await;
        assert!(response.batch_item_failures.is_empty(), "{times}: {response:?}");
        assert_eq!(rows(&database).await, expected_rows(), "{times}");
        if lived.is_some() {
            assert!(times > 3, "it waits for something");
            return;
        }
    }
}
