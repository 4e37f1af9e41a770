//! Sixteen commit, four index and four project at once on DynamoDB, while all that can go wrong there does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projector::{BoxError, OnDemand, Projection, Projector, Recorded, Retry, Settings};
use ees_projector::{dynamodb, sqlite};
use ees_store::dynamodb::{Candidate, Indexer, Indexing, Options, Store};
use ees_store::{
    ChangesetLog, Checkpoint, Commit, Error, EventStore, Events, Expectation, LogEntry, LogQuery, StreamQuery,
};
use ees_test_aws::{Account, Faults, LocalAws};
use fastrand::Rng;
use futures::future::join_all;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::dying::ByStream;
use crate::support::LONG;

const LOG: &str = "log";
const READ_MODELS: &str = "read-models";
const COMMITTERS: u64 = 16;
const COMMITS: u64 = 12;
const TOTAL: u64 = COMMITTERS * COMMITS;

/// A row for each time an event is applied: in SQLite.
struct Applied;

impl Projection<sqlite::Tx> for Applied {
    type Event = String;

    fn name(&self) -> &str {
        "applied"
    }
    async fn create_tables(&self, tx: &mut sqlite::Tx) -> Result<(), BoxError> {
        Ok(tx.connection().execute_batch("CREATE TABLE applied (place INTEGER, event TEXT)")?)
    }
    async fn drop_tables(&self, tx: &mut sqlite::Tx) -> Result<(), BoxError> {
        Ok(tx.connection().execute_batch("DROP TABLE IF EXISTS applied")?)
    }
    async fn apply(&self, event: Recorded<'_, String>, tx: &mut sqlite::Tx) -> Result<(), BoxError> {
        let row = (event.checkpoint().get(), event.event);
        tx.connection().execute("INSERT INTO applied VALUES (?1, ?2)", row)?;
        Ok(())
    }
}

/// Where it all happens.
#[derive(Clone)]
struct Day {
    account: Account,
    faults: Faults,
    seed: u64,
    rows: sqlite::Database,
}

impl Day {
    async fn new(seed: u64, folder: &tempfile::TempDir) -> Self {
        let account = LocalAws::account().await;
        let config = account.sdk_config();
        ees_store::dynamodb::create_table(&config, LOG, false).await.unwrap();
        dynamodb::create_table(&aws_sdk_dynamodb::Client::new(&config), READ_MODELS).await.unwrap();
        let rows = sqlite::Database::open(folder.path().join("rows.db")).unwrap();
        Self { account, faults: Faults::everything(seed), seed, rows }
    }

    async fn store(&self, faults: &Faults) -> Arc<Store> {
        let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
        let config = self.account.sdk_config_with(faults);
        Arc::new(Store::open_with(&config, LOG, options).await.unwrap())
    }

    fn documents(&self, faults: &Faults) -> dynamodb::Database {
        let client = aws_sdk_dynamodb::Client::new(&self.account.sdk_config_with(faults));
        dynamodb::Database::new(client, READ_MODELS)
    }

    fn rng(&self, who: u64) -> Rng {
        Rng::with_seed(self.seed * 1_000 + who)
    }
}

fn text_of(writer: u64, number: u64, event: u64) -> String {
    format!("{writer}-{number}-{event}")
}

/// Appends to a stream of its own and to one that four share.
async fn commit(store: Arc<Store>, writer: u64, indexers: Vec<UnboundedSender<Candidate>>, mut rng: Rng) {
    for number in 0..COMMITS {
        let is_own = number % 2 == 0;
        let stream = if is_own { format!("own/{writer}") } else { format!("shared/{}", writer % 4) };
        let texts: Vec<_> = (0..=number % 3).map(|event| text_of(writer, number, event)).collect();
        let mut last = if is_own { number / 2 } else { 0 };
        let committed = loop {
            let expectation = Expectation::LastChangeset(last.into());
            let attempt = Commit::new(stream.parse().unwrap(), expectation, Events::of(&texts).unwrap());
            let attempt = attempt.with_idempotency_key(format!("{writer}-{number}").parse().unwrap());
            match store.commit(attempt).await {
                Ok(committed) => break committed,
                Err(Error::Refused(_)) if !is_own => {
                    let page = store.read_stream(StreamQuery::all(stream.parse().unwrap())).await;
                    last = page.map_or(0, |page| page.changesets.len() as u64);
                }
                Err(other) => panic!("expected a commit, got {other:?}"),
            }
        };
        let stream_id = stream.parse().unwrap();
        let told = Candidate { stream_id, changeset_id: committed.changeset_id, size_bytes: 400 };
        // Records get lost, and come twice.
        for _ in 0..[0, 1, 1, 1, 2][rng.usize(..5)] {
            indexers[rng.usize(..indexers.len())].send(told.clone()).unwrap();
        }
    }
}

/// Takes what it is told of in any order, and sweeps for what nobody was told of.
async fn index(day: Day, mut told: UnboundedReceiver<Candidate>, mut rng: Rng) {
    let indexer = Indexer::open(&day.account.sdk_config_with(&day.faults), LOG).await.unwrap();
    let mut candidates = Vec::new();
    while told.recv_many(&mut candidates, 30).await > 0 {
        rng.shuffle(&mut candidates);
        while let Err(error) = indexer.index(candidates.clone()).await {
            assert!(matches!(error, Error::Overloaded | Error::Unavailable(_)), "{error:?}");
        }
        candidates.clear();
    }
    while !indexer.sweep(Instant::now() + LONG).await.is_ok_and(|swept| swept.is_done) {}
}

fn settings() -> Settings {
    let retry = Retry {
        delay_min: Duration::from_millis(1),
        delay_max: Duration::from_millis(20),
        ..Retry::default()
    };
    let poll_interval = Duration::from_millis(500);
    Settings { batch_changesets_max: 7, span_changesets_max: 20, poll_interval, retry, ..Settings::default() }
}

/// A process that stays.
async fn work(day: Day) {
    let mut projector = Projector::new(day.store(&day.faults).await);
    projector.fold(ByStream, day.documents(&day.faults), settings()).unwrap();
    projector.projection(Applied, day.rows.clone(), settings()).unwrap();
    let running = projector.start();
    for name in ["by_stream", "applied"] {
        running.handle().when_reached(name, Checkpoint::new(TOTAL), LONG).await.unwrap();
    }
    running.shut_down().await;
}

/// Functions, one after the other; each is killed in the middle of what it does.
async fn call(day: Day, mut rng: Rng) {
    let log = day.store(&day.faults).await;
    let deadline = Instant::now() + LONG;
    loop {
        let by_stream =
            OnDemand::fold(ByStream, day.documents(&day.faults), log.clone(), settings()).unwrap();
        let applied = OnDemand::projection(Applied, day.rows.clone(), log.clone(), settings()).unwrap();
        let life = Duration::from_millis(rng.u64(10..400));
        let lived = tokio::time::timeout(life, async {
            tokio::join!(by_stream.drain_until(deadline), applied.drain_until(deadline));
            (by_stream.checkpoint().await, applied.checkpoint().await)
        });
        let end = Checkpoint::new(TOTAL);
        if lived.await.is_ok_and(|(one, other)| one == Ok(end) && other == Ok(end)) {
            return;
        }
        assert!(Instant::now() < deadline, "the functions get to the end");
    }
}

/// The log on a good day: without gaps, each stream in its order, everything that was committed, once.
async fn whole_log(day: &Day) -> Vec<LogEntry> {
    let good = day.store(&Faults::none()).await;
    let log = good.read(LogQuery::from(Checkpoint::START, 1_000)).await.unwrap().changesets;
    let mut ends = BTreeMap::<&str, u64>::new();
    for (place, it) in (0..).zip(&log) {
        assert_eq!(it.checkpoint.get(), place, "seed {}", day.seed);
        let end = ends.entry(it.stream_id.as_str()).or_default();
        assert_eq!(it.changeset_id.get(), *end + 1, "seed {}: {it:?}", day.seed);
        *end += 1;
    }
    let told: Vec<_> = texts(&log).into_iter().map(|(_, text)| text).collect();
    let committed = (0..COMMITTERS).flat_map(|writer| {
        (0..COMMITS).flat_map(move |number| (0..=number % 3).map(move |event| text_of(writer, number, event)))
    });
    let committed = BTreeSet::from_iter(committed);
    assert_eq!(told.len(), committed.len(), "seed {}", day.seed);
    assert_eq!(BTreeSet::from_iter(told), committed, "seed {}", day.seed);
    log
}

/// Each event with its place, in the order of the log.
fn texts(log: &[LogEntry]) -> Vec<(u64, String)> {
    let of = |it: &LogEntry| {
        let texts = it.events.iter().unwrap().map(|text| serde_json::from_str(text).unwrap());
        texts.map(|text| (it.checkpoint.get(), text)).collect::<Vec<_>>()
    };
    log.iter().flat_map(of).collect()
}

async fn everything_at_once(seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let day = Day::new(seed, &folder).await;
    let (tell, told): (Vec<_>, Vec<_>) = (0..4).map(|_| unbounded_channel()).unzip();
    let stores = join_all((0..4).map(|_| day.store(&day.faults))).await;
    let mut all = Vec::new();
    for (indexer, told) in (0..).zip(told) {
        all.push(tokio::spawn(index(day.clone(), told, day.rng(100 + indexer))));
    }
    for writer in 0..COMMITTERS {
        let store = stores[usize::try_from(writer % 4).unwrap()].clone();
        all.push(tokio::spawn(commit(store, writer, tell.clone(), day.rng(200 + writer))));
    }
    drop(tell);
    for host in 0..2 {
        all.push(tokio::spawn(work(day.clone())));
        all.push(tokio::spawn(call(day.clone(), day.rng(300 + host))));
    }
    for done in join_all(all).await {
        done.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }

    let log = whole_log(&day).await;
    let mut streams = BTreeMap::<String, u64>::new();
    for it in &log {
        *streams.entry(it.stream_id.to_string()).or_default() += it.events.iter().unwrap().count() as u64;
    }
    for (stream, events) in streams {
        let (applied, next) =
            day.documents(&Faults::none()).document::<Vec<u64>>("by_stream", &stream).await.unwrap();
        assert_eq!((applied, next.get()), (Some(Vec::from_iter(1..=events)), TOTAL), "seed {seed}, {stream}");
    }
    let rows = day.rows.read(|connection| {
        let mut all = connection.prepare("SELECT place, event FROM applied ORDER BY rowid")?;
        all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<Vec<_>>>()
    });
    assert_eq!(rows.await.unwrap(), texts(&log), "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_a_bad_day_nothing_is_lost_and_each_changeset_is_applied_once() {
    // More of them by `just bad-days`.
    let seeds = std::env::var("EES_FAULT_SEEDS").map_or(2, |seeds| seeds.parse().unwrap());
    for seed in 1..=seeds {
        let began = Instant::now();
        everything_at_once(seed).await;
        println!("seed {seed}: {:?}", began.elapsed());
    }
}
