//! What is too large, too slow or too much, and how a server stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ees_store::http::{ConnectionLimits, Limits};
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, EventStore, LogHead, LogPage, LogQuery, Result,
    StreamId, StreamPage, StreamQuery, memory,
};
use futures::{StreamExt as _, TryStreamExt as _};
use rustix::process::{Resource, Rlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::gate::Gated;
use super::support::{Answer, TestServer, answered_with, exchange, on_every_store, request};

#[tokio::test]
async fn a_changeset_over_the_stores_limit_is_refused_with_both_sizes() {
    let server = TestServer::over(memory::Store::with_limit_bytes(100)).await;
    let events = |bytes: usize| format!("{{\"events\":[\"{}\"]}}", "x".repeat(bytes - 6));
    assert_eq!(server.post("/streams/s", &events(100)).await.status, 200);
    server.post("/streams/t", &events(101)).await.is(
        413,
        &json!({
            "error": "CHANGESET_TOO_LARGE",
            "message": "The changeset has 101 bytes of events and metadata; the store's limit is 100.",
            "stream_id": "t",
        }),
    );
}

fn small_bodies() -> Limits {
    Limits { body_bytes: 1_000, ..Limits::default() }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_even_while_it_is_sent() {
    let store = Arc::new(memory::Store::new());
    let server = TestServer::with(store, |api| api.with_limits(small_bodies())).await;
    let body = |bytes: usize| format!("{{\"events\":[1]{}}}", " ".repeat(bytes - 14));
    assert_eq!(server.post("/streams/s", &body(1_000)).await.status, 200);
    for bytes in [1_001, 3_000, 50_000_000] {
        let answer = server.post("/streams/t", &body(bytes)).await;
        let message = format!("The body has {bytes} bytes or more; the server's limit is 1000.");
        answer.is(413, &json!({"error": "CHANGESET_TOO_LARGE", "message": message, "stream_id": "t"}));
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_limited_too() {
    let store = Arc::new(memory::Store::new());
    let server = TestServer::with(store, |api| api.with_limits(small_bodies())).await;
    let chunked = |chunks: usize| {
        let head = "POST /streams/s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = format!("64\r\n{}\r\n", " ".repeat(100));
        format!("{head}e\r\n{{\"events\":[1]}}\r\n{}0\r\n\r\n", chunk.repeat(chunks))
    };
    assert_eq!(exchange(server.address(), chunked(9).as_bytes()).await.status, 200);
    let answer = exchange(server.address(), chunked(10).as_bytes()).await;
    answer.refuses_like(413, "CHANGESET_TOO_LARGE", "limit is 1000");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_timed_out() {
    let limits = Limits { body_time: Duration::from_millis(50), ..Limits::default() };
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_limits(limits)).await;
    let whole = request("POST", "/streams/s", &[], b"{\"events\":[1]}");
    let answer = exchange_part(server.address(), &whole[..whole.len() - 1]).await;
    Answer::read(&answer).refuses_like(408, "REQUEST_TIMEOUT", "50ms");
}

#[tokio::test]
async fn a_head_that_does_not_arrive_ends_the_connection() {
    let limits = ConnectionLimits { header_time: Duration::from_millis(50), ..ConnectionLimits::default() };
    let server = TestServer::limited(Arc::new(memory::Store::new()), limits, |api| api).await;
    exchange_part(server.address(), b"").await;
    exchange_part(server.address(), b"GET /version HTTP/1.1\r\nHost:").await;
    assert_eq!(server.get("/version").await.status, 200);
}

/// Sends bytes, keeps the connection open, and reads until the server closes it.
async fn exchange_part(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = connection.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("the server closes it").unwrap();
    answer
}

#[tokio::test]
async fn more_requests_than_the_limit_are_turned_away_and_health_is_not() {
    let store = Arc::new(Gated::new());
    let limits = Limits { requests: 1, waiting_requests: 1, ..Limits::default() };
    let server = TestServer::with(store.clone(), |api| api.with_limits(limits)).await;
    let (committed, ()) = tokio::join!(server.post("/streams/s", "{\"events\":[1]}"), async {
        store.arrival().await;
        let answer = server.post("/streams/t", "{\"events\":[1]}").await;
        answer.refuses_like(503, "OVERLOADED", "Try again");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(server.get("/version").await.status, 200, "commits keep no reads out");
        assert_eq!(server.get("/metrics").await.status, 200);
        assert_eq!(server.get("/health/live").await.status, 200);
        assert_eq!(server.get("/health/ready").await.status, 200);
        assert_eq!(server.get("/changesets?wait=0.01").await.status, 200);
        store.arrival().await;
        store.open();
    });
    assert_eq!(committed.status, 200);
    assert_eq!(server.get("/version").await.status, 200);
}

#[tokio::test]
async fn requests_that_wait_are_counted_apart() {
    let store = Arc::new(Gated::new());
    let limits = Limits { requests: 1, waiting_requests: 1, ..Limits::default() };
    let server = TestServer::with(store.clone(), |api| api.with_limits(limits)).await;
    store.open();
    let (page, ()) = tokio::join!(server.get("/changesets?wait=20"), async {
        store.arrival().await;
        server.get("/changesets?wait=1").await.refuses_like(503, "OVERLOADED", "Try again");
        server.commit("/streams/s", "[1]").await;
    });
    assert_eq!(page.numbers("changesets", "checkpoint"), [0]);
}

#[tokio::test]
async fn a_request_that_waits_keeps_no_commit_out_however_it_is_written() {
    for (method, target) in [
        ("GET", "/changesets?wait=20"),
        ("HEAD", "/changesets?wait=20"),
        ("GET", "/changesets?w%61it=20"),
        ("GET", "/changesets?%77%61%69%74=20"),
        ("GET", "/changesets?wait=&wait=2%30"),
    ] {
        let store = Arc::new(Gated::new());
        let limits = Limits { requests: 1, waiting_requests: 1, ..Limits::default() };
        let server = TestServer::with(store.clone(), |api| api.with_limits(limits)).await;
        store.open();
        let (page, ()) = tokio::join!(server.send(method, target, &[], b""), async {
            store.arrival().await;
            server.commit("/streams/s", "[1]").await;
        });
        assert_eq!(page.status, 200, "{method} {target}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_ready_in_time_is_a_503() {
    let store = Arc::new(Gated::new());
    let limits = Limits { answer_time: Duration::from_millis(50), requests: 1, ..Limits::default() };
    let server = TestServer::with(store.clone(), |api| api.with_limits(limits)).await;
    let answer = server.post("/streams/s", "{\"events\":[1]}").await;
    answer.refuses_like(503, "UNAVAILABLE", "in time");
    assert_eq!(answer.header("retry-after"), Some("1"));
    // Its place is free again, and waiting is no slowness.
    let page = server.get("/changesets?wait=0.2").await;
    assert_eq!(page.numbers("changesets", "checkpoint"), [0; 0]);
}

/// Sends a request and reads its answer; the connection stays open.
async fn kept_open(server: &TestServer) -> TcpStream {
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    connection.write_all(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(connection.read(&mut [0; 1_024]).await.unwrap() > 0);
    connection
}

#[tokio::test]
async fn idle_connections_make_room_for_others_the_longest_idle_first() {
    let limits = ConnectionLimits { connections: 3, ..ConnectionLimits::default() };
    let server = TestServer::limited(Arc::new(memory::Store::new()), limits, |api| api).await;
    let silent = TcpStream::connect(server.address()).await.unwrap();
    let mut kept = Vec::new();
    for _ in 0..20 {
        kept.push(kept_open(&server).await);
    }
    assert_eq!(server.get("/health/live").await.status, 200);
    for mut closed in kept.drain(..18).chain([silent]) {
        let end = tokio::time::timeout(Duration::from_secs(10), closed.read(&mut [0; 16])).await;
        assert_eq!(end.expect("it is closed").unwrap(), 0);
    }
    let last = kept.last_mut().unwrap();
    last.write_all(&request("GET", "/version", &[], b"")).await.unwrap();
    assert!(last.read(&mut [0; 1_024]).await.unwrap() > 0);
}

/// As many files as this process may have open.
fn raise_file_limit() -> usize {
    let limits = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
    let limit = if rustix::process::setrlimit(Resource::Nofile, raised).is_ok() {
        limits.maximum
    } else {
        limits.current
    };
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_keep_no_health_check_out() {
    let server = TestServer::over(memory::Store::new()).await;
    // Each connection is two files here, until the server closes it; other tests of this process need some.
    let places = ConnectionLimits::default().connections;
    let count = raise_file_limit().saturating_sub(places + 2_000).min(10_000);
    if count < 10_000 {
        eprintln!("with {count} connections only: this process may not open more files");
    }
    let address = server.address();
    let connect = move |_| TcpStream::connect(address);
    let idle = futures::stream::iter(0..count).map(connect).buffer_unordered(500);
    let flood = tokio::spawn(idle.try_collect::<Vec<_>>());
    let (mut slowest, mut rounds_after) = (Duration::ZERO, 0);
    while rounds_after < 2 {
        rounds_after += usize::from(flood.is_finished());
        let started = Instant::now();
        for target in ["/health/live", "/health/ready", "/metrics"] {
            answered_with(&server, target, 200).await;
        }
        slowest = slowest.max(started.elapsed());
    }
    assert_eq!(flood.await.unwrap().unwrap().len(), count);
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
}

#[tokio::test]
async fn an_answer_under_way_is_sent_to_its_end_although_idle_connections_are_closed() {
    let limits = ConnectionLimits { connections: 2, ..ConnectionLimits::default() };
    let server = TestServer::limited(Arc::new(memory::Store::new()), limits, |api| api).await;
    for n in 0..4 {
        server.commit(&format!("/streams/s{n}"), &format!("[\"{}\"]", "x".repeat(1_000_000))).await;
    }
    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    // The last one is stuck, whatever the sockets' buffers take. Nobody reads so far.
    let page = b"GET /changesets?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    slow.write_all(&page.repeat(9)).await.unwrap();
    slow.write_all(&request("GET", "/changesets?limit=1000", &[], b"")).await.unwrap();
    assert!(slow.read(&mut [0; 1]).await.unwrap() == 1);
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(kept_open(&server).await);
    }
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() > 40_000_000 && rest.ends_with(b"\"next_checkpoint\":4}"), "{} bytes", rest.len());
}

#[tokio::test]
async fn a_connection_that_sends_half_a_head_makes_room_too() {
    let limits = ConnectionLimits { connections: 1, ..ConnectionLimits::default() };
    let server = TestServer::limited(Arc::new(memory::Store::new()), limits, |api| api).await;
    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    slow.write_all(b"GET /version HTTP/1.1\r\nHost:").await.unwrap();
    let other = tokio::time::timeout(Duration::from_secs(10), server.get("/health/live")).await;
    assert_eq!(other.expect("there is room").status, 200);
}

#[tokio::test]
async fn where_each_connection_works_others_wait_for_their_turn() {
    let limits = ConnectionLimits { connections: 1, ..ConnectionLimits::default() };
    let store = Arc::new(Gated::new());
    let server = TestServer::limited(store.clone(), limits, |api| api).await;
    let mut second = Box::pin(server.get("/version"));
    let (committed, ()) = tokio::join!(server.post("/streams/s", "{\"events\":[1]}"), async {
        store.arrival().await;
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut second).await.is_err());
        store.open();
    });
    assert_eq!(committed.status, 200);
    assert_eq!(second.await.status, 200);
}

#[tokio::test]
async fn an_answer_says_when_its_connection_ends() {
    let limits = Limits { body_bytes: 1_000, body_time: Duration::from_millis(50), ..Limits::default() };
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_limits(limits)).await;
    let head = |length: usize| {
        format!("POST /streams/s HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
    };
    for (request, status) in [
        // It does not arrive; it is too large to be read to its end; nobody reads it.
        (format!("{}{{", head(14)), 408),
        (head(1_000_000), 413),
        (head(20).replace("/streams/s", "/nowhere"), 404),
    ] {
        let answer = Answer::read(&exchange_part(server.address(), request.as_bytes()).await);
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")), "{request}");
    }
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    connection.write_all(format!("{}{{\"events\":[1]}}", head(14)).as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    let read = connection.read(&mut answer).await.unwrap();
    let answer = Answer::read(&answer[..read]);
    assert_eq!((answer.status, answer.header("connection")), (200, None));
}

#[tokio::test]
async fn what_was_accepted_is_finished_before_the_server_stops() {
    let store = Arc::new(Gated::new());
    let mut server = TestServer::with(store.clone(), |api| api).await;
    let address = server.address();
    let commit = request("POST", "/streams/s", &[], b"{\"events\":[1]}");
    let committing = tokio::spawn(async move { exchange(address, &commit).await });
    store.arrival().await;
    server.stop();
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    store.open();
    committing.await.unwrap().is(200, &json!({"stream_id": "s", "changeset_id": 1}));
    server.stopped().await;
}

#[tokio::test]
async fn a_request_that_only_waits_is_ended_when_the_server_stops() {
    let store = Arc::new(Gated::new());
    let mut server = TestServer::with(store.clone(), |api| api).await;
    let address = server.address();
    let started = Instant::now();
    let waiting =
        tokio::spawn(
            async move { exchange(address, &request("GET", "/changesets?wait=20", &[], b"")).await },
        );
    store.arrival().await;
    server.stop();
    let page = waiting.await.unwrap();
    page.is(200, &json!({"checkpoint": 0, "limit": 10, "changesets": [], "next_checkpoint": 0}));
    server.stopped().await;
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_server_does_not_wait_longer_than_its_grace_period() {
    let store = Arc::new(Gated::new());
    let limits = ConnectionLimits { grace: Duration::from_millis(50), ..ConnectionLimits::default() };
    let mut server = TestServer::limited(store.clone(), limits, |api| api).await;
    let mut stuck = TcpStream::connect(server.address()).await.unwrap();
    stuck.write_all(&request("POST", "/streams/s", &[], b"{\"events\":[1]}")).await.unwrap();
    store.arrival().await;
    server.stop();
    server.stopped().await;
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    on_every_store(async |server| {
        let mut connection = TcpStream::connect(server.address()).await.unwrap();
        for at in 0..3 {
            let body = "{\"events\":[1]}";
            let head = format!(
                "POST /streams/s{at} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            let mut answer = vec![0; 4_096];
            let read = connection.read(&mut answer).await.unwrap();
            assert_eq!(Answer::read(&answer[..read]).status, 200);
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_will_be_indented_is_cut_by_what_it_will_be() {
    on_every_store(async |server| {
        // Indented, each number takes a line of its own, 40 levels deep.
        let event = format!("{}{}1{}", "[".repeat(40), "1,".repeat(5_000), "]".repeat(40));
        for n in 0..20 {
            server.commit(&format!("/streams/s{n}"), &format!("[{event}]")).await;
        }
        let page = server.get("/changesets?limit=1000&pp=true").await;
        assert!(page.body.len() <= 4 * 1024 * 1024, "{}", page.body.len());
        let got = page.json()["changesets"].as_array().unwrap().len() as u64;
        assert!((1..20).contains(&got), "{got}");
        assert_eq!(page.json()["next_checkpoint"], got);
        assert_eq!(
            server.get("/changesets?limit=1000").await.json()["changesets"].as_array().unwrap().len(),
            20
        );
    })
    .await;
}

#[tokio::test]
async fn one_changeset_that_grows_a_hundredfold_by_indentation_comes_without_it() {
    on_every_store(async |server| {
        // Indented, each number takes 512 bytes: 60 MB.
        let event = format!("{}{}1{}", "[".repeat(126), "1,".repeat(120_000), "]".repeat(126));
        let committed = server.post("/streams/s", &format!("{{\"events\":[{event}]}}")).await;
        assert_eq!(committed.status, 200, "{}", committed.text());
        let conflict = server.post("/streams/s?pp=true", "{\"events\":[1]}").await;
        assert_eq!(conflict.status, 409);
        for answer in [
            server.get("/changesets?pp=true").await,
            server.get("/streams/s/changesets?pp=true").await,
            server.get("/streams/s/events?pp=true").await,
            conflict,
        ] {
            assert!(answer.body.len() < 1024 * 1024, "{}", answer.body.len());
            assert!(answer.text().contains(&event));
        }
        let small = server.get("/changesets?pp=true&checkpoint=1").await;
        assert!(small.text().starts_with("{\n    \"checkpoint\": 1"), "{}", small.text());
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answers_is_cut_off() {
    let limits = ConnectionLimits {
        answer_time: Duration::from_millis(50),
        grace: Duration::from_secs(600),
        ..ConnectionLimits::default()
    };
    let mut server = TestServer::limited(Arc::new(memory::Store::new()), limits, |api| api).await;
    for n in 0..4 {
        server.commit(&format!("/streams/s{n}"), &format!("[\"{}\"]", "x".repeat(1_000_000))).await;
    }
    let mut deaf = TcpStream::connect(server.address()).await.unwrap();
    // More than the sockets' buffers take.
    let many = request("GET", "/changesets?limit=1000", &[("Connection", "keep-alive")], b"").repeat(20);
    deaf.write_all(&many).await.unwrap();
    server.stop();
    server.stopped().await;
}

/// Reads ten large pages a little at a time, without a pause of note; returns how many bytes came.
async fn dribbled(server: &TestServer) -> usize {
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    let page = b"GET /changesets?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    connection.write_all(&page.repeat(9)).await.unwrap();
    connection.write_all(&request("GET", "/changesets?limit=1000", &[], b"")).await.unwrap();
    let (mut part, mut bytes) = (vec![0; 128 * 1024], 0);
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        match connection.read(&mut part).await {
            Ok(0) | Err(_) => return bytes,
            Ok(read) => bytes += read,
        }
    }
}

#[tokio::test]
async fn a_peer_that_reads_more_slowly_than_the_rate_is_cut_off() {
    let serving = async |answer_rate: u32| {
        let answer_time = Duration::from_millis(300);
        let limits = ConnectionLimits { answer_time, answer_rate, ..ConnectionLimits::default() };
        let server = TestServer::limited(Arc::new(memory::Store::new()), limits, |api| api).await;
        for n in 0..4 {
            server.commit(&format!("/streams/s{n}"), &format!("[\"{}\"]", "x".repeat(1_000_000))).await;
        }
        server
    };
    let (fast, slow) = (serving(1024 * 1024 * 1024).await, serving(1024 * 1024).await);
    let (cut, whole) = tokio::join!(dribbled(&fast), dribbled(&slow));
    assert!(cut < 30_000_000 && whole > 40_000_000, "{cut} and {whole} bytes");
}

/// Asks for large pages without reading them, until the sockets' buffers are full and one answer is stuck.
async fn deaf_client(server: &TestServer) -> TcpStream {
    for n in 0..4 {
        server.commit(&format!("/streams/s{n}"), &format!("[\"{}\"]", "x".repeat(1_000_000))).await;
    }
    deaf_again(server).await
}

async fn deaf_again(server: &TestServer) -> TcpStream {
    let mut deaf = TcpStream::connect(server.address()).await.unwrap();
    let page = b"GET /changesets?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    deaf.write_all(&page.repeat(20)).await.unwrap();
    deaf
}

#[tokio::test]
async fn an_answer_that_is_not_read_keeps_no_request_out() {
    let limits = Limits { requests: 1, ..Limits::default() };
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_limits(limits)).await;
    // Long enough for all pages to be asked for: each is answered, or stuck behind one that is.
    let deaf = [deaf_client(&server).await, deaf_again(&server).await, deaf_again(&server).await];
    for n in 0..100 {
        server.commit(&format!("/streams/t{n}"), "[1]").await;
        answered_with(&server, "/version", 200).await;
    }
    drop(deaf);
}

/// The read of a log that takes as long as the test wants.
struct SlowReads(memory::Store, Semaphore);

#[async_trait]
impl EventStore for SlowReads {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.0.commit(commit).await
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        self.0.read_stream(query).await
    }
}

#[async_trait]
impl ChangesetLog for SlowReads {
    async fn read(&self, _: LogQuery) -> Result<LogPage> {
        self.1.add_permits(1);
        std::future::pending().await
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.0.locate(stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        self.0.head().await
    }
}

#[tokio::test]
async fn reads_that_take_long_keep_no_commit_out() {
    let store = Arc::new(SlowReads(memory::Store::new(), Semaphore::new(0)));
    let limits = Limits { requests: 1, ..Limits::default() };
    let server = TestServer::with(store.clone(), |api| api.with_limits(limits)).await;
    let address = server.address();
    let slow = tokio::spawn(async move { exchange(address, &request("GET", "/changesets", &[], b"")).await });
    store.1.acquire().await.unwrap().forget();
    server.get("/changesets").await.refuses_like(503, "OVERLOADED", "Try again");
    server.commit("/streams/s", "[1]").await;
    assert_eq!(server.get("/metrics").await.status, 200);
    slow.abort();
}

#[tokio::test]
async fn answers_under_way_have_a_budget_of_bytes_that_small_ones_do_not_need() {
    let limits = Limits { answers_bytes: 5 * 1024 * 1024, ..Limits::default() };
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_limits(limits)).await;
    let deaf = deaf_client(&server).await;
    answered_with(&server, "/changesets", 503).await;
    server.get("/changesets").await.refuses_like(503, "OVERLOADED", "Try again");
    server.commit("/streams/t", "[1]").await;
    drop(deaf);
    answered_with(&server, "/changesets", 200).await;
}

/// In memory, a thousand small commits are many times their body.
#[tokio::test]
async fn many_small_commits_in_a_body_have_room_or_are_refused_before_one_is_stored() {
    let limits = Limits { bodies_bytes: 256 * 1024, ..Limits::default() };
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_limits(limits)).await;
    let body = format!("{{\"events\":[\"{}\"]}}", "x".repeat(60_000));
    let whole = request("POST", "/streams/s", &[], body.as_bytes());
    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    slow.write_all(&whole[..whole.len() - 1]).await.unwrap();
    let line = |attempt: usize, n: usize| format!("{{\"stream_id\":\"t{attempt}-{n}\",\"events\":[1]}}\n");
    let many = |attempt: usize| (0..1_000).map(|n| line(attempt, n)).collect::<String>();
    let mut attempt = 0;
    let mut answer = server.post("/changesets", &many(attempt)).await;
    while answer.status == 200 {
        attempt += 1;
        answer = server.post("/changesets", &many(attempt)).await;
    }
    answer.refuses_like(503, "OVERLOADED", "Try again");
    assert_eq!(server.get(&format!("/streams/t{attempt}-0/events")).await.status, 404);
    server.commit("/streams/small", "[1]").await;
    drop(slow);
    while answer.status == 503 {
        answer = server.post("/changesets", &many(attempt)).await;
    }
    assert_eq!((answer.status, answer.text().lines().count()), (200, 1_000));
}

#[tokio::test]
async fn bodies_under_way_have_a_budget_of_bytes() {
    let limits = Limits { bodies_bytes: 64 * 1024, ..Limits::default() };
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_limits(limits)).await;
    let body = format!("{{\"events\":[\"{}\"]}}", "x".repeat(60_000));
    let whole = request("POST", "/streams/s", &[], body.as_bytes());
    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    slow.write_all(&whole[..whole.len() - 1]).await.unwrap();
    let mut refused = server.post("/streams/t", &body).await;
    let mut at = 0;
    while refused.status == 200 && at < 1_000 {
        at += 1;
        refused = server.post(&format!("/streams/t{at}"), &body).await;
    }
    refused.refuses_like(503, "OVERLOADED", "Try again");
    server.commit("/streams/small", "[1]").await;
    slow.write_all(&whole[whole.len() - 1..]).await.unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();
    assert_eq!(Answer::read(&answer).status, 200);
    assert_eq!(server.post("/streams/u", &body).await.status, 200);
}
