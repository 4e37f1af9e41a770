//! A process with a reactor, killed in the middle of effects, against a receiver that is late, fails, or hangs up.
//!
//! `EES_KILL_MINUTES` makes the killing last longer: a quarter of this many minutes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ees_projector::ReadModelId;
use ees_projector::database::{Database, Fenced, LedgerRows, Transaction};
use ees_projector::reactor::{Effect, EffectId, EffectQuery, EffectState, Ended, Settings, Start};
use ees_projector::webhook::{Delivery, HttpReactor};
use ees_projector::{Parking, Projector, postgres, sqlite};
use ees_store::client::Client;
use ees_store::http::{Api, Server};
use ees_store::{Commit, EventStore, Events, Expectation, Timestamp, memory};
use ees_test_postgres::TestDatabase;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::process::{Process, work};
use crate::support::until;

const LEDGER: &str = "EES_TEST_REACTOR_LEDGER";
const LOG: &str = "EES_TEST_REACTOR_LOG";
const HOOK: &str = "EES_TEST_REACTOR_HOOK";

const MS: Duration = Duration::from_millis(1);
const STREAMS: usize = 12;

/// The program of a reactor: works until its standard input is closed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a program that the other tests start"]
async fn reactor() {
    let Ok(ledger) = std::env::var(LEDGER) else { return };
    let log = Arc::new(Client::new(&std::env::var(LOG).unwrap()).unwrap());
    let hook = HttpReactor::<Value>::new("hook", std::env::var(HOOK).unwrap());
    let settings = Settings {
        start: Start::Beginning,
        streams_at_once: 4,
        effect_timeout: 200 * MS,
        parking: Parking { retry_after_min: 5 * MS, retry_after_max: 50 * MS, ..Parking::default() },
        ..Settings::default()
    };
    let mut projector = Projector::new(log);
    if ledger.starts_with("postgres") {
        let database = postgres::Database::connect(&ledger).await.unwrap();
        projector.reactor(hook, database, settings).unwrap();
    } else {
        projector.reactor(hook, sqlite::Database::open(&ledger).unwrap(), settings).unwrap();
    }
    let running = projector.start();
    work(running).await;
}

fn start(ledger: &str, log: &str, hook: &str) -> Process {
    Process::start("effects::reactor", &[(LEDGER, ledger), (LOG, log), (HOOK, hook)])
}

/// Counts what arrives, by key.
#[derive(Default)]
struct Receiver {
    arrived: Mutex<HashMap<String, u32>>,
    /// The events of each stream in the order in which they came first.
    order: Mutex<BTreeMap<String, Vec<u64>>>,
    accepted: Mutex<HashMap<String, u32>>,
}

impl Receiver {
    async fn serve(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let receiver = self.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let receiver = receiver.clone();
                tokio::spawn(async move { receiver.answer(tokio::io::BufReader::new(connection)).await });
            }
        });
        url
    }

    /// One request on a connection of its own; then it hangs up.
    async fn answer(&self, mut connection: tokio::io::BufReader<TcpStream>) -> Option<()> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            connection.read_line(&mut line).await.ok().filter(|bytes| *bytes > 0)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body).await.ok()?;
        let delivery: Delivery = serde_json::from_slice(&body).unwrap();
        let first = {
            let mut arrived = self.arrived.lock().unwrap();
            let times = arrived.entry(delivery.id.clone()).or_default();
            *times += 1;
            *times == 1
        };
        if first {
            let mut order = self.order.lock().unwrap();
            order.entry(delivery.stream_id.to_string()).or_default().push(delivery.event_id.get());
        }
        let status = match fastrand::u8(0..100) {
            0..10 => return None,
            10..20 => "500 Internal Server Error",
            20..30 => {
                tokio::time::sleep(fastrand::u32(20..180) * MS).await;
                "204 No Content"
            }
            _ => {
                tokio::time::sleep(fastrand::u32(0..10) * MS).await;
                "204 No Content"
            }
        };
        if status.starts_with("204") {
            *self.accepted.lock().unwrap().entry(delivery.id).or_default() += 1;
        }
        let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        connection.get_mut().write_all(answer.as_bytes()).await.ok()
    }
}

async fn ledger_of<D: Database>(database: &D) -> Vec<Effect> {
    let all = EffectQuery { limit: usize::MAX >> 1, ..EffectQuery::default() };
    database.begin().await.unwrap().effects(&ReadModelId::live("hook"), &all).await.unwrap()
}

/// Kills the reactor's process again and again while events come in, and compares what arrived with the ledger.
async fn under_fire<D: Database>(ledger: &str, database: &D) {
    let (store, receiver) = (Arc::new(memory::Store::new()), Arc::new(Receiver::default()));
    let hook = receiver.serve().await;
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let log = format!("http://{}", server.local_addr().unwrap());
    let router = Api::new(store.clone(), store.clone()).router();
    tokio::spawn(server.serve(router, std::future::pending()));

    let minutes: u64 = std::env::var("EES_KILL_MINUTES").map_or(0, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(3 + minutes * 15);
    let mut events = 0_u64;
    while Instant::now() < end {
        let process = start(ledger, &log, &hook);
        for _ in 0..3 {
            for stream in 0..STREAMS {
                let text = Events::parse(&format!(r#"[{{"type":"noted","number":{events}}}]"#)).unwrap();
                let expected = Expectation::LastChangeset((events / STREAMS as u64).into());
                let commit = Commit::new(format!("s{stream}").parse().unwrap(), expected, text);
                store.commit(commit).await.unwrap();
                events += 1;
            }
        }
        tokio::time::sleep(fastrand::u32(30..500) * MS).await;
        process.kill();
    }
    let last = start(ledger, &log, &hook);
    let done = || async {
        let ledger = ledger_of(database).await;
        ledger.len() as u64 == events && ledger.iter().all(|effect| effect.state == EffectState::Done)
    };
    until("all is done", Duration::from_secs(240), done).await;
    last.kill();

    let ledger = ledger_of(database).await;
    let (arrived, accepted) = (receiver.arrived.lock().unwrap(), receiver.accepted.lock().unwrap());
    assert_eq!(arrived.len() as u64, events, "no event without its effect, and no effect without an event");
    let attempts: u64 = ledger.iter().map(|effect| u64::from(effect.attempts)).sum();
    let arrivals: u64 = arrived.values().map(|times| u64::from(*times)).sum();
    assert!(arrivals <= attempts, "{arrivals} arrived, and the ledger has {attempts} attempts");
    for effect in &ledger {
        let key = effect.key("hook");
        assert!(accepted.contains_key(&key), "done, and never accepted: {effect:?}");
        assert!(arrived[&key] <= effect.attempts, "arrived {} times: {effect:?}", arrived[&key]);
    }
    for (stream, order) in receiver.order.lock().unwrap().iter() {
        assert!(order.is_sorted() && order.len() as u64 == events / STREAMS as u64, "{stream}: {order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_effect_is_lost_and_none_is_repeated_unseen_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let database = sqlite::Database::open(&path).unwrap();
    under_fire(path.to_str().unwrap(), &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_effect_is_lost_and_none_is_repeated_unseen_on_postgresql() {
    let own = TestDatabase::new().await;
    let database = postgres::Database::connect(own.url()).await.unwrap();
    under_fire(own.url(), &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_of_another_worker_is_left_to_it_until_it_has_ended_or_its_time_is_over() {
    let own = TestDatabase::new().await;
    let (first, second) = (
        postgres::Database::connect(own.url()).await.unwrap(),
        postgres::Database::connect(own.url()).await.unwrap(),
    );
    let (model, hour) = (ReadModelId::live("hook"), Duration::from_secs(3_600));
    let id = EffectId {
        stream_id: "a".parse().unwrap(),
        changeset_id: 1.into(),
        event_id: 1.into(),
        effect: "post".to_owned(),
    };
    let begin = async |database: &postgres::Database, within: Duration| {
        let mut tx = database.begin().await.unwrap();
        let begun = tx.begin_effect(&model, &id, Timestamp::now(), within).await;
        let begun =
            begun.map(|effect| effect.attempts).map_err(|error| assert!(error.is::<Fenced>(), "{error}"));
        tx.commit().await.unwrap();
        begun
    };
    assert_eq!(begin(&first, hour).await, Ok(1));
    assert_eq!(begin(&second, Duration::ZERO).await, Err(()), "it has the time that its own worker gave it");
    assert_eq!(begin(&first, Duration::ZERO).await, Ok(2), "a worker knows of its own attempts");
    assert_eq!(begin(&second, hour).await, Ok(3), "its time is over");

    let mut tx = second.begin().await.unwrap();
    tx.settle_effects(&model, &id.stream_id, id.changeset_id, EffectState::Discarded).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(begin(&first, hour).await, Err(()), "it is in progress, whatever was decided meanwhile");

    let ended =
        Ended { attempt: 3, at: Timestamp::now(), state: EffectState::Done, error: None, result: None };
    let mut tx = second.begin().await.unwrap();
    tx.end_effect(&model, &id, &ended).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(begin(&first, hour).await, Ok(3), "it is done, and does not begin again");
}
