//! What readers of event streams cost who get nothing of what is committed, besides one who gets everything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::http::{Api, ConnectionLimits, Limits, Server};
use ees_store::{Commit, EventStore, Events, Expectation, sqlite};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::shared::report;

/// Commits a second.
const RATE: u32 = 100;

pub(crate) async fn measure(short: bool) {
    let (idle, time) = if short { (100, Duration::from_secs(1)) } else { (5_000, Duration::from_secs(20)) };
    // Both ends of each connection are in this process.
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
    let limits = Limits { subscribers: idle + 1, ..Limits::default() };
    let router = Api::new(store.clone(), store.clone()).with_limits(limits).router();
    let connections = ConnectionLimits { connections: idle + 100, ..ConnectionLimits::default() };
    let server = Server::bind("127.0.0.1:0").await.unwrap().with_limits(connections);
    let address = server.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(server.serve(router, async {
        let _ = stopped.await;
    }));

    let mut busy = subscribe(address, "/changesets").await;
    let reader = tokio::spawn(async move {
        let mut line = String::new();
        while busy.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {
            line.clear();
        }
    });
    let mut next = 0;
    let mut before = None;
    let mut readers = Vec::new();
    for (what, count) in [("1 subscriber", 0), ("the same, and idle ones", idle)] {
        for number in readers.len()..count {
            // Half of them wait for a type of events, half for a stream, each for another one.
            let target = match number % 2 {
                0 => format!("/changesets?event_type=rare{number}"),
                _ => format!("/streams/rare{number}/events"),
            };
            readers.push(subscribe(address, &target).await);
        }
        let (cpu, memory) = (processor_time(), report::memory_mb());
        commit(&store, &mut next, time).await;
        let cpu = (processor_time() - cpu).as_secs_f64() / time.as_secs_f64();
        let share = before.map_or_else(String::new, |before| format!(", {:.2} times as much", cpu / before));
        before.get_or_insert(cpu);
        println!("{what} ({count}), {RATE} commits/s: {:.1} % of a core{share}; {memory} MB", cpu * 100.0);
    }
    drop(readers);
    let _ = stop.send(());
    served.await.unwrap();
    reader.await.unwrap();
}

/// Commits for a time at an even rate, each to a stream that is one of a hundred.
async fn commit(store: &sqlite::Store, next: &mut u64, time: Duration) {
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
    while begun.elapsed() < time {
        tick.tick().await;
        let (stream, last) = (*next % 100, *next / 100);
        let events = Events::parse(r#"[{"type":"deposited","amount":1}]"#).unwrap();
        let expectation = Expectation::LastChangeset(last.into());
        let commit = Commit::new(format!("account{stream}").parse().unwrap(), expectation, events);
        store.commit(commit).await.unwrap();
        *next += 1;
    }
}

/// A reader that has read all there is.
async fn subscribe(address: SocketAddr, target: &str) -> BufReader<TcpStream> {
    let mut connection = BufReader::with_capacity(256, TcpStream::connect(address).await.unwrap());
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut line = String::new();
    while line.trim_end() != "event: following" {
        line.clear();
        assert!(connection.read_line(&mut line).await.unwrap() > 0, "the answer goes on");
    }
    connection
}

/// What this process has used of the processor.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // A tick is 10 ms on Linux.
    Duration::from_millis(ticks * 10)
}
