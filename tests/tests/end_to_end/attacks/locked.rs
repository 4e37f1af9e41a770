//! Attack 9: somebody else holds a lock on every table, or on the file.

use std::path::Path;
use std::time::{Duration, Instant};

use ees_test_postgres::TestDatabase;
use ees_tests::{Server, run};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::Runtime;

use super::wire::{ask, get, post, until};

/// What the server has for an answer, and what a busy machine adds to it.
const IN_TIME: Duration = Duration::from_secs(20 + 10);
/// Commits, with keys: whether they are stored that are answered 503, is known when they are sent again.
const ONE: (&str, &str) = ("/streams/b", r#"{"events":[1]}"#);
const MANY: (&str, &str) = ("/changesets", r#"{"stream_id":"c","events":[1],"idempotency_key":"c"}"#);

fn commit(server: &Server, (target, body): (&str, &str)) -> u16 {
    ask(server, "POST", target, &[("Idempotency-Key", "b")], body).status
}

/// All requests fail in time, at once, and those that need no table succeed.
fn everything_is_answered(server: &Server, reads: u16) {
    std::thread::scope(|scope| {
        let asked = |ask: fn(&Server) -> u16, wanted: u16, what: &'static str| {
            scope.spawn(move || {
                let begun = Instant::now();
                assert_eq!(ask(server), wanted, "{what}");
                assert!(begun.elapsed() < IN_TIME, "{what}: {:?}", begun.elapsed());
            });
        };
        asked(|server| commit(server, ONE), 503, "a commit");
        asked(|server| commit(server, MANY), 503, "many commits");
        asked(|server| get(server, "/streams/a/events").status, reads, "a stream");
        asked(|server| get(server, "/changesets?event_type=x").status, reads, "the log");
        asked(|server| get(server, "/streams").status, reads, "the statistics");
        asked(|server| get(server, "/stream-list").status, reads, "the list of streams");
        asked(|server| get(server, "/health/live").status, 200, "it is alive");
        asked(|server| get(server, "/metrics").status, 200, "the metrics");
        asked(|server| get(server, "/version").status, 200, "the version");
    });
    until("it says that it is not ready", || get(server, "/health/ready").status == 503);
}

fn all_goes_on(server: &Server, changesets: u64) {
    until("commits are taken", || post(server, "/streams/after", "{\"events\":[1]}").status != 503);
    assert_eq!([ONE, MANY].map(|again| commit(server, again)), [200, 200]);
    until("it is ready", || get(server, "/health/ready").status == 200);
    let all = changesets.to_string();
    for name in ["statistics", "stream_catalogue"] {
        let reached = ["projections", "status", name, "--min-checkpoint", &all, "--timeout", "60"];
        run(&mut server.ees(&reached)).ok();
    }
    assert_eq!(server.get_json("/streams")["total_changesets"], json!(changesets));
}

#[test]
fn while_every_table_is_locked_all_is_answered_in_time_and_afterwards_all_goes_on() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path().join("data"), &["--store", database.url()]);
    assert_eq!(post(&server, "/streams/a", "{\"events\":[1]}").status, 200);
    for name in ["statistics", "stream_catalogue"] {
        run(&mut server.ees(&["projections", "status", name, "--min-checkpoint", "1", "--timeout", "60"]))
            .ok();
    }
    let runtime = Runtime::new().unwrap();
    let mut holder = runtime.block_on(async {
        let mut holder = PgConnection::connect(database.url()).await.unwrap();
        // One statement for each: the order in which the framework takes its own locks is not known here.
        sqlx::raw_sql(
            "BEGIN;
             DO $$ DECLARE it record; BEGIN
                 FOR it IN SELECT schemaname, tablename FROM pg_tables
                     WHERE schemaname NOT IN ('pg_catalog', 'information_schema') LOOP
                     EXECUTE format('LOCK TABLE %I.%I IN ACCESS EXCLUSIVE MODE', it.schemaname, it.tablename);
                 END LOOP;
             END $$",
        )
        .execute(&mut holder)
        .await
        .unwrap();
        holder
    });
    everything_is_answered(&server, 503);
    runtime.block_on(async { sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap() });
    all_goes_on(&server, 4);
}

#[test]
fn while_another_process_holds_the_write_lock_reads_go_on_and_afterwards_commits_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().join("data"));
    assert_eq!(post(&server, "/streams/a", "{\"events\":[1]}").status, 200);
    for name in ["statistics", "stream_catalogue"] {
        run(&mut server.ees(&["projections", "status", name, "--min-checkpoint", "1", "--timeout", "60"]))
            .ok();
    }
    let holders: Vec<_> = ["log.db", "read-models/statistics.db", "read-models/stream_catalogue.db"]
        .map(|name| held(server.data(), name))
        .into();
    everything_is_answered(&server, 200);
    for holder in holders {
        holder.execute_batch("ROLLBACK").unwrap();
    }
    all_goes_on(&server, 4);
}

fn held(data: &Path, name: &str) -> rusqlite::Connection {
    let holder = rusqlite::Connection::open(data.join(name)).unwrap();
    holder.busy_timeout(Duration::from_secs(30)).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    holder
}
