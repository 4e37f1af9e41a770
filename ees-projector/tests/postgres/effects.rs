//! A process with a reactor, killed in the middle of effects, against a receiver that is late, fails, or hangs up.
//!
//! `EES_KILL_MINUTES` makes the killing last longer: a quarter of this many minutes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ees_projector::ReadModelId;
use ees_projector::database::{Database, LedgerRows};
use ees_projector::reactor::{Effect, EffectQuery, EffectState, Settings, Start};
use ees_projector::webhook::{Delivery, HttpReactor};
use ees_projector::{Parking, Projector, postgres, sqlite};
use ees_store::client::Client;
use ees_store::http::{Api, Server};
use ees_store::{Commit, EventStore, Events, Expectation, memory};
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
        effect_timeout: 100 * MS,
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
    until("all is done", Duration::from_secs(60), done).await;
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
