//! Messages wake projections, and go when their changeset is applied.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ees_projector::publisher::Publishing;
use ees_projector::reactor::{self, Cause, Reactor, Start};
use ees_projector::sqs::{Queue, Worker};
use ees_projector::{BoxError, Fold, Projector, Recorded, Running, Settings, sqlite};
use ees_store::publish::Received;
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, LogHead, LogPage, LogQuery, Result, StreamId, memory,
};
use serde::de::IgnoredAny;
use tokio::sync::{oneshot, watch};

use crate::support::{Bus, LONG, append, until};

/// Counts the events of each stream.
struct Counts;

impl Fold for Counts {
    type Event = IgnoredAny;
    type Key = String;
    type State = u64;
    fn name(&self) -> &str {
        "counts"
    }
    fn key(&self, event: Recorded<'_, IgnoredAny>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, count: Option<u64>, _: Recorded<'_, IgnoredAny>) -> Option<u64> {
        Some(count.unwrap_or(0) + 1)
    }
}

/// A log that can't tell when it has news, and gives changesets their place late: as DynamoDB's does.
struct Quiet {
    store: Arc<memory::Store>,
    /// Nothing from here on has its place yet.
    end: watch::Sender<u64>,
    /// How often a reader began to wait for news.
    waits: AtomicUsize,
    /// How often somebody asked for a changeset's place.
    asked: AtomicUsize,
}

impl Quiet {
    fn of(store: &Arc<memory::Store>) -> Arc<Self> {
        let (end, none) = (watch::Sender::new(u64::MAX), AtomicUsize::default);
        Arc::new(Self { store: store.clone(), end, waits: none(), asked: none() })
    }
    fn end(&self) -> Checkpoint {
        Checkpoint::new(*self.end.borrow())
    }
}

#[async_trait]
impl ChangesetLog for Quiet {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        let (wait, from, end) = (query.wait, query.from, self.end());
        let mut page = self.store.read(LogQuery { wait: Duration::ZERO, ..query }).await?;
        page.changesets.retain(|changeset| changeset.checkpoint < end);
        page.next = page.changesets.last().map_or(from, |last| last.checkpoint.next());
        page.head.checkpoint = page.head.checkpoint.min(end);
        if page.changesets.is_empty() && !wait.is_zero() {
            self.waits.fetch_add(1, SeqCst);
            tokio::time::sleep(wait).await;
        }
        Ok(page)
    }
    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.asked.fetch_add(1, SeqCst);
        let place = self.store.locate(stream_id, changeset_id).await?;
        Ok(place.filter(|place| *place < self.end()))
    }
    async fn head(&self) -> Result<LogHead> {
        let head = self.store.head().await?;
        Ok(LogHead { checkpoint: head.checkpoint.min(self.end()), ..head })
    }
}

struct Bench {
    bus: Bus,
    store: Arc<memory::Store>,
    log: Arc<Quiet>,
    database: sqlite::Database,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let store = Arc::new(memory::Store::new());
        let folder = tempfile::tempdir().unwrap();
        let database = sqlite::Database::open(folder.path().join("counts.db")).unwrap();
        Self { bus: Bus::new().await, log: Quiet::of(&store), store, database, _folder: folder }
    }

    fn project(&self) -> Running {
        let mut projector = Projector::new(self.log.clone());
        projector.fold(Counts, self.database.clone(), Settings::default()).unwrap();
        projector.start()
    }

    fn publish(&self) -> Running {
        let mut projector = Projector::new(self.store.clone());
        let publishing = Publishing::new("publisher", self.bus.publisher());
        let settings = reactor::Settings { start: Start::Beginning, ..Publishing::settings() };
        projector.reactor(publishing, ees_projector::memory::Database::new(), settings).unwrap();
        projector.start()
    }

    fn worker(&self, queue: &str, running: &Running) -> Worker {
        let queue = Queue::new(self.bus.sqs.clone(), queue).with_wait(Duration::from_secs(1));
        Worker::new(queue, running.handle().clone()).with_patience(LONG)
    }

    async fn counts(&self) -> BTreeMap<String, u64> {
        let read = self.database.read(|connection| {
            let mut all = connection.prepare("SELECT key, state FROM counts")?;
            let rows = all.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, String)>>>()
        });
        read.await.unwrap().into_iter().map(|(key, count)| (key, count.parse().unwrap())).collect()
    }
}

/// Runs a worker while something else goes on, and stops it then.
async fn while_working<T>(worker: &Worker, work: impl Future<Output = T>) -> T {
    let (stop, stopped) = oneshot::channel::<()>();
    let working = Box::pin(worker.run(async { drop(stopped.await) }));
    let done = Box::pin(async {
        let done = work.await;
        drop(stop);
        done
    });
    tokio::join!(working, done).1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_follows_the_messages_of_both_topics_raw_and_in_envelopes() {
    let bench = Bench::new().await;
    let bus = &bench.bus;
    let queue = bus.subscribed("mine", &bus.changesets, true).await;
    bus.subscribe(&bus.events, &queue, false, None).await;
    let (running, publishing) = (bench.project(), bench.publish());
    let worker = bench.worker(&queue, &running);
    while_working(&worker, async {
        // The log says nothing for 20 s: what comes sooner, a message has told.
        until("it waits for news", async || bench.log.waits.load(SeqCst) > 0).await;
        let began = Instant::now();
        for number in 0..20 {
            append(&bench.store, &format!("s{}", number % 4), r#"[{"type":"x"},7]"#).await;
        }
        until("all is handled", async || worker.counts().handled >= 60).await;
        assert!(began.elapsed() < Duration::from_secs(18), "{:?}", began.elapsed());
    })
    .await;
    assert_eq!(bench.counts().await, (0..4).map(|s| (format!("s{s}"), 10)).collect());
    assert_eq!(bus.count(&queue).await, 0);
    running.shut_down().await;
    publishing.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_stays_until_its_changeset_has_a_place_and_is_applied() {
    let bench = Bench::new().await;
    let queue = bench.bus.subscribed("mine", &bench.bus.changesets, true).await;
    let (running, publishing) = (bench.project(), bench.publish());
    let worker = bench.worker(&queue, &running);
    bench.log.end.send_replace(1);
    while_working(&worker, async {
        append(&bench.store, "a", "[1]").await;
        append(&bench.store, "b", "[1]").await;
        until("the first is handled", async || worker.counts().handled == 1).await;
        until("the second is there", async || worker.counts().received == 2).await;
        assert_eq!(bench.bus.count(&queue).await, 1);
        assert_eq!(bench.counts().await, BTreeMap::from([("a".to_owned(), 1)]));
        bench.log.end.send_replace(u64::MAX);
        until("the second is handled", async || worker.counts().handled == 2).await;
    })
    .await;
    assert_eq!((bench.bus.count(&queue).await, bench.counts().await.len()), (0, 2));
    running.shut_down().await;
    publishing.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_asked_for_a_place_once_however_long_a_message_waits() {
    let bench = Bench::new().await;
    let queue = bench.bus.subscribed("mine", &bench.bus.events, true).await;
    let (running, publishing) = (bench.project(), bench.publish());
    running.handle().pause("counts", "for the test").await.unwrap();
    for stream in ["a", "b", "c"] {
        append(&bench.store, stream, "[1,2,3]").await;
    }
    // What comes while a message of its stream is out of sight is not given away.
    until("all are sent", async || bench.bus.count(&queue).await == 9).await;
    let worker = bench.worker(&queue, &running);
    while_working(&worker, async {
        until("all are there", async || worker.counts().received == 9).await;
        // More than two of its longest pauses.
        tokio::time::sleep(Duration::from_secs(3)).await;
        // Each portion asks for itself, and the nine may come in as many.
        let asked = bench.log.asked.load(SeqCst);
        assert!((3..=9).contains(&asked), "{asked}");
        running.handle().resume("counts", "tested").await.unwrap();
        until("all is handled", async || worker.counts().handled == 9).await;
        assert_eq!(bench.log.asked.load(SeqCst), asked);
    })
    .await;
    running.shut_down().await;
    publishing.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_handled_is_given_back_at_the_end() {
    let bench = Bench::new().await;
    let queue = bench.bus.subscribed("mine", &bench.bus.changesets, true).await;
    let (running, publishing) = (bench.project(), bench.publish());
    running.handle().pause("counts", "for the test").await.unwrap();
    append(&bench.store, "a", "[1]").await;
    let worker = bench.worker(&queue, &running);
    while_working(&worker, async {
        until("it is there", async || worker.counts().received == 1).await;
    })
    .await;
    assert_eq!((worker.counts().given_back, worker.counts().handled), (1, 0));
    // At once, and not after the 30 s for which it was out of sight.
    let began = Instant::now();
    assert_eq!(bench.bus.bodies(&queue, 1).await.len(), 1);
    assert!(began.elapsed() < Duration::from_secs(20));
    running.shut_down().await;
    publishing.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_receive_brings_is_given_back_too() {
    let bench = Bench::new().await;
    let queue = bench.bus.subscribed("mine", &bench.bus.changesets, true).await;
    let (running, publishing) = (bench.project(), bench.publish());
    let waiting = Queue::new(bench.bus.sqs.clone(), &queue).with_wait(Duration::from_secs(20));
    let worker = Worker::new(waiting, running.handle().clone());
    // Told to stop when it is about to receive.
    let mut looks = 0;
    let stop = std::future::poll_fn(|_| {
        looks += 1;
        if looks == 1 { Poll::Pending } else { Poll::Ready(()) }
    });
    tokio::join!(worker.run(stop), append(&bench.store, "a", "[1]"));
    let counts = worker.counts();
    assert_eq!((counts.received, counts.given_back, counts.handled), (1, 1, 0));
    let began = Instant::now();
    assert_eq!(bench.bus.bodies(&queue, 1).await.len(), 1);
    assert!(began.elapsed() < Duration::from_secs(20));
    running.shut_down().await;
    publishing.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_none_of_ours_is_counted_and_left_to_the_redrive_policy() {
    let bench = Bench::new().await;
    let dead = bench.bus.queue("dead", &[]).await;
    let queue = bench.bus.queue_with_redrive("mine", &dead, 1).await;
    let send = bench.bus.sqs.send_message().queue_url(&queue).message_body("hello");
    send.message_group_id("g").message_deduplication_id("1").send().await.unwrap();
    let running = bench.project();
    let short = Queue::new(bench.bus.sqs.clone(), &queue)
        .with_wait(Duration::from_secs(1))
        .with_visibility(Duration::from_secs(1));
    let worker = Worker::new(short, running.handle().clone());
    while_working(&worker, async {
        until("it is in the other queue", async || bench.bus.count(&dead).await == 1).await;
    })
    .await;
    assert_eq!((worker.counts().unreadable, worker.counts().handled), (1, 0));
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_the_messages_themselves_receives_them_until_they_are_acknowledged() {
    let bench = Bench::new().await;
    let url = bench.bus.subscribed("mine", &bench.bus.events, false).await;
    append(&bench.store, "a", r#"[{"type":"x"}]"#).await;
    let publishing = bench.publish();
    let queue = Queue::new(bench.bus.sqs.clone(), &url);
    let first = queue.receive().await.unwrap();
    let Ok(Received::Event { data: Some(data), .. }) = &first[0].message else { panic!("{first:?}") };
    assert_eq!((data.as_str(), first[0].times), (r#"{"type":"x"}"#, 1));
    queue.give_back(&first, Duration::ZERO).await.unwrap();
    let again = queue.receive().await.unwrap();
    assert_eq!((again[0].body.clone(), again[0].times), (first[0].body.clone(), 2));
    queue.extend(&again).await.unwrap();
    queue.acknowledge(&again).await.unwrap();
    assert_eq!(bench.bus.count(&url).await, 0);
    publishing.shut_down().await;
}

/// Notes, outside of any database, what it was called for.
#[derive(Clone, Default)]
struct Bell(Arc<Mutex<Vec<String>>>);

impl Reactor for Bell {
    type Event = IgnoredAny;
    fn name(&self) -> &str {
        "bell"
    }
    async fn react(&self, cause: Cause<'_, IgnoredAny>) -> std::result::Result<(), BoxError> {
        let ring = async || {
            self.0.lock().unwrap().push(format!("{}#{}", cause.stream_id(), cause.event_id));
            Ok::<_, BoxError>(())
        };
        cause.effect("ring", ring).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reactor_is_woken_and_its_messages_go_when_it_has_acted() {
    let bench = Bench::new().await;
    let queue = bench.bus.subscribed("mine", &bench.bus.events, true).await;
    let (bell, mut projector) = (Bell::default(), Projector::new(bench.log.clone()));
    let settings = reactor::Settings { start: Start::Beginning, ..reactor::Settings::default() };
    projector.reactor(bell.clone(), bench.database.clone(), settings).unwrap();
    let (running, publishing) = (projector.start(), bench.publish());
    let worker = bench.worker(&queue, &running);
    while_working(&worker, async {
        until("it waits for news", async || bench.log.waits.load(SeqCst) > 0).await;
        append(&bench.store, "a", r#"[{"type":"x"},{"type":"x"}]"#).await;
        until("all is handled", async || worker.counts().handled == 2).await;
    })
    .await;
    assert_eq!(*bell.0.lock().unwrap(), ["a#1", "a#2"]);
    running.shut_down().await;
    publishing.shut_down().await;
}
