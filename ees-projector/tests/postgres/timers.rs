//! A process with a reactor, killed again and again while timers are set and fire.
//!
//! `EES_KILL_TIMERS` is the number of timers; `EES_KILL_TIMERS=10000` takes some minutes.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projector::database::{Database, LedgerRows, TimerRows};
use ees_projector::reactor::{
    Cause, Effect, EffectQuery, EffectState, Firing, Reactor, Settings, Start, TimerQuery,
};
use ees_projector::{BoxError, Projector, ReadModelId, postgres, sqlite};
use ees_store::client::Client;
use ees_store::http::{Api, Server};
use ees_store::{Commit, EventStore, Events, Expectation, Timestamp, memory};
use ees_test_postgres::TestDatabase;
use serde_json::Value;

use crate::support::until;

const LEDGER: &str = "EES_TEST_REACTOR_LEDGER";
const LOG: &str = "EES_TEST_REACTOR_LOG";
const FIRED: &str = "EES_TEST_REACTOR_FIRED";

const MS: Duration = Duration::from_millis(1);
const STREAMS: usize = 10;
/// The timers of an event, due within the next seconds.
const TIMERS_OF_AN_EVENT: u32 = 20;

/// Appends a line to a file for each timer that fires: its key for the receiver, when it was due, and when it fired.
struct Appending(std::path::PathBuf);

impl Reactor for Appending {
    type Event = Value;

    fn name(&self) -> &str {
        "appending"
    }
    async fn react(&self, cause: Cause<'_, Value>) -> Result<(), BoxError> {
        for timer in 0..TIMERS_OF_AN_EVENT {
            let due = cause.timestamp() + timer * 100 * MS;
            cause.at(due, &format!("{}/{timer}", cause.event_id), &cause.stream_id()).await?;
        }
        Ok(())
    }
    async fn on_timer(&self, firing: Firing<'_>) -> Result<(), BoxError> {
        let append = async || {
            let (key, due, now) = (firing.key("append"), firing.timer().due, Timestamp::now());
            let mut file = OpenOptions::new().append(true).create(true).open(&self.0)?;
            file.write_all(format!("{key} {} {}\n", due.as_micros(), now.as_micros()).as_bytes())
        };
        firing.effect("append", append).await
    }
}

/// The program of the reactor: works until its standard input is closed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a program that the other tests start"]
async fn reactor() {
    let Ok(ledger) = std::env::var(LEDGER) else { return };
    let log = Arc::new(Client::new(&std::env::var(LOG).unwrap()).unwrap());
    let appending = Appending(std::env::var(FIRED).unwrap().into());
    let settings = Settings {
        start: Start::Beginning,
        streams_at_once: STREAMS,
        effect_timeout: 200 * MS,
        ..Settings::default()
    };
    let mut projector = Projector::new(log);
    if ledger.starts_with("postgres") {
        let database = postgres::Database::connect(&ledger).await.unwrap();
        projector.reactor(appending, database, settings).unwrap();
    } else {
        projector.reactor(appending, sqlite::Database::open(&ledger).unwrap(), settings).unwrap();
    }
    let running = projector.start();
    println!("\nstarted");
    let closed = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    closed.await.unwrap().unwrap();
    running.shut_down().await;
}

struct Process(Child);

impl Process {
    fn start(ledger: &str, log: &str, fired: &Path) -> Self {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["timers::reactor", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
        program.env(LEDGER, ledger).env(LOG, log).env(FIRED, fired);
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = program.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line == "started")), "it does not start");
        Self(child)
    }
}

impl Drop for Process {
    /// Kills it.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn ledger_of<D: Database>(database: &D) -> (Vec<Effect>, usize) {
    let mut tx = database.begin().await.unwrap();
    let model = ReadModelId::live("appending");
    let all = EffectQuery { limit: usize::MAX >> 1, ..EffectQuery::default() };
    let effects = tx.effects(&model, &all).await.unwrap();
    let left = tx.timers(&model, &TimerQuery { limit: 1, ..TimerQuery::default() }).await.unwrap();
    (effects, left.len())
}

/// Kills the reactor's process each second while it sets and fires timers. `patience`: how long a process that was
/// killed may keep the next one waiting.
async fn under_fire<D: Database>(ledger: &str, database: &D, patience: Duration) {
    let timers: usize = std::env::var("EES_KILL_TIMERS").map_or(400, |text| text.parse().unwrap());
    let events = timers / TIMERS_OF_AN_EVENT as usize;
    let (store, folder) = (Arc::new(memory::Store::new()), tempfile::tempdir().unwrap());
    let fired = folder.path().join("fired");
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let log = format!("http://{}", server.local_addr().unwrap());
    let router = Api::new(store.clone(), store.clone()).router();
    tokio::spawn(server.serve(router, std::future::pending()));
    for event in 0..events {
        let expected = Expectation::LastChangeset(((event / STREAMS) as u64).into());
        let stream = format!("s{}", event % STREAMS).parse().unwrap();
        let commit = Commit::new(stream, expected, Events::parse(r#"[{"type":"noted"}]"#).unwrap());
        store.commit(commit).await.unwrap();
    }

    let end = Instant::now() + Duration::from_secs(timers as u64 / 100);
    while Instant::now() < end {
        let process = Process::start(ledger, &log, &fired);
        tokio::time::sleep(patience + fastrand::u32(200..1_000) * MS).await;
        drop(process);
    }
    let last = Process::start(ledger, &log, &fired);
    let is_all_fired = || async {
        let (effects, left) = ledger_of(database).await;
        // For each timer: it was set, it fired, and the effect of that.
        effects.len() == 3 * timers && left == 0
    };
    until("each timer has fired", Duration::from_secs(60 + timers as u64 / 20), is_all_fired).await;
    drop(last);

    let (effects, _) = ledger_of(database).await;
    assert!(effects.iter().all(|effect| effect.state == EffectState::Done));
    let mut lines: BTreeMap<String, u32> = BTreeMap::new();
    for line in std::fs::read_to_string(&fired).unwrap().lines() {
        let [key, due, at] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert!(at.parse::<i64>().unwrap() >= due.parse::<i64>().unwrap(), "it fired early: {line}");
        *lines.entry(key.to_owned()).or_default() += 1;
    }
    let appended: Vec<_> = effects.iter().filter(|effect| effect.effect.ends_with("/append")).collect();
    assert_eq!((lines.len(), appended.len()), (timers, timers), "each timer has one key for its receiver");
    for effect in appended {
        let times = lines[&effect.key("appending")];
        assert!((1..=effect.attempts).contains(&times), "{times} lines: {effect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_timer_fires_once_and_none_early_whatever_is_killed_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let database = sqlite::Database::open(&path).unwrap();
    under_fire(path.to_str().unwrap(), &database, Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_timer_fires_once_and_none_early_whatever_is_killed_on_postgresql() {
    let own = TestDatabase::new().await;
    let database = postgres::Database::connect(own.url()).await.unwrap();
    // Until the lease of the process before has ended.
    under_fire(own.url(), &database, Duration::from_secs(5)).await;
}
