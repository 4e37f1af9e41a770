//! Every route answers in time, whatever the database waits for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::http::Limits;
use ees_store::postgres::{Options, Store};
use ees_test_postgres::{Server, TestDatabase};
use futures::future::join_all;
use sqlx::{Connection, PgConnection};

use super::support::TestServer;

/// More than what readiness and metrics take: they look at the head for two seconds.
const ANSWER_TIME: Duration = Duration::from_millis(2_500);
/// What the machine may add to it.
const SLACK: Duration = Duration::from_secs(2);

const LOCK: &str = "BEGIN; LOCK TABLE ees_store.log, ees_store.changesets, ees_store.idempotency_keys,
    ees_store.typed_streams IN ACCESS EXCLUSIVE MODE";

/// A server in front of a store that is more patient than the server.
async fn serving(url: &str) -> TestServer {
    let store = Store::connect_with(url, Options { readers: 4, ..Options::default() }).await.unwrap();
    let limits = Limits { answer_time: ANSWER_TIME, ..Limits::default() };
    let server = TestServer::with(Arc::new(store), |api| api.with_limits(limits)).await;
    server.commit("/streams/a", "[1]").await;
    server
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

/// Asks each route at once; those that need the database fail, and none is late.
async fn every_route_answers_in_time(server: &TestServer) {
    const EVENT: &str = r#"{"eventType":"opened","payload":"{}"}"#;
    let (event, initial) = (format!("{{\"event\":{EVENT}}}"), format!("{{\"initialEvent\":{EVENT}}}"));
    let typed = "/typed/streams/account/9f86d081-884c-4d65-9a2f-eaa0c55ad015";
    let (events, details, second) =
        (format!("{typed}/events"), format!("{typed}/details"), format!("{typed}/events/2"));
    let asked = [
        ("GET", "/changesets", "", 503),
        ("GET", "/changesets?event_type=x", "", 503),
        ("GET", "/changesets?checkpoint=1&wait=0.2", "", 503),
        ("GET", "/streams/a/changesets", "", 503),
        ("GET", "/streams/a/events?from=1&to=1", "", 503),
        ("POST", "/streams/a?expected_last_changeset=1", r#"{"events":[1]}"#, 503),
        ("POST", "/streams/b", r#"{"events":[1]}"#, 503),
        ("GET", "/typed/streams/account", "", 503),
        ("POST", "/typed/streams/account", &initial, 503),
        ("GET", &events, "", 503),
        ("GET", &details, "", 503),
        ("PUT", &second, &event, 503),
        ("GET", "/health/ready", "", 503),
        ("GET", "/health/live", "", 200),
        ("GET", "/typed/liveness-check", "", 200),
        ("GET", "/metrics", "", 200),
        ("GET", "/version", "", 200),
    ];
    let answers = join_all(asked.map(async |(method, target, body, status)| {
        let begun = Instant::now();
        let answer = server.send(method, target, &[], body.as_bytes()).await;
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text());
        (target, begun.elapsed())
    }));
    for (target, time) in answers.await {
        assert!(time < ANSWER_TIME + SLACK, "{target}: {time:?}");
    }
    let begun = Instant::now();
    assert_eq!(server.get("/health/ready").await.status, 503);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_locked_tables_every_route_answers_in_time_and_nothing_piles_up_in_the_database() {
    let database = TestDatabase::new().await;
    let server = serving(database.url()).await;
    let mut holder = PgConnection::connect(database.url()).await.unwrap();
    run(&mut holder, LOCK).await;
    for _ in 0..2 {
        every_route_answers_in_time(&server).await;
    }
    // Of what nobody waits for any more, nothing waits in the database for long.
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut holder).await.unwrap() > 3 {
        assert!(begun.elapsed() < Duration::from_secs(10), "connections still wait for the lock");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    run(&mut holder, "ROLLBACK").await;
    server.commit("/streams/after", "[1]").await;
    assert_eq!(server.get("/health/ready").await.status, 200);
    assert_eq!(server.get("/changesets?limit=1").await.numbers("changesets", "checkpoint"), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_free_connection_every_route_answers_in_time() {
    let database = Server::start().await;
    let url = database.url("postgres");
    let mut first = PgConnection::connect(&url).await.unwrap();
    run(&mut first, "ALTER SYSTEM SET max_connections = 20").await;
    run(&mut first, "ALTER SYSTEM SET superuser_reserved_connections = 0").await;
    database.restart().await;
    let mut first = PgConnection::connect(&url).await.unwrap();
    let server = serving(&url).await;
    let mut taken = Vec::new();
    let begun = Instant::now();
    while taken.len() < 19 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{} of 19 connections", taken.len());
        let end =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ees-store'";
        run(&mut first, end).await;
        while let Ok(one) = PgConnection::connect(&url).await {
            taken.push(one);
        }
    }
    every_route_answers_in_time(&server).await;
    drop(taken);
    // Commits have failed, so it is ready once one succeeds.
    let begun = Instant::now();
    while server.post("/streams/after", r#"{"events":[1]}"#).await.status == 503 {
        assert!(begun.elapsed() < Duration::from_secs(20), "commits still fail");
    }
    assert_eq!(server.get("/health/ready").await.status, 200);
}
