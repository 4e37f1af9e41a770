//! What the store in PostgreSQL promises when things go wrong.

mod busy;
mod frozen;
mod keys;
mod lost;
mod older;
mod opening;
mod pages;
mod proxy;
mod restarts;
#[cfg(feature = "tls")]
mod tls;
mod writers;

use std::time::{Duration, Instant};

use ees_store::postgres::{Options, Store};
use ees_store::{ChangesetId, Commit, EventStore, Events, Expectation, IdempotencyKey, StreamQuery};
use sqlx::{Connection, PgConnection};

/// A commit of one event with a number in it, to a stream with this many changesets.
fn commit(stream: &str, last: u64, number: u64) -> Commit {
    let events = Events::parse(&format!("[{{\"number\":{number}}}]")).unwrap();
    Commit::new(stream.parse().unwrap(), Expectation::LastChangeset(ChangesetId::new(last)), events)
}

/// A commit with a key of its own.
fn keyed(stream: &str, last: u64, number: u64) -> Commit {
    let key = IdempotencyKey::new(&format!("{stream}-{number}")).unwrap();
    commit(stream, last, number).with_idempotency_key(key)
}

/// The numbers in a stream's events.
async fn numbers(store: &Store, stream: &str) -> Vec<u64> {
    let mut query = StreamQuery::all(stream.parse().unwrap());
    let mut numbers = Vec::new();
    loop {
        let page = store.read_stream(query).await.unwrap();
        numbers.extend(page.changesets.iter().map(|changeset| {
            let text = changeset.events.as_stored();
            text.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap()
        }));
        let Some(next) = page.next else { return numbers };
        query = StreamQuery::changesets(stream.parse().unwrap(), next, None);
    }
}

async fn run(connection: &mut PgConnection, sql: impl Into<String>) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.into())).execute(connection).await.unwrap();
}

async fn administrator(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// A store whose calls fail soon.
async fn impatient(url: &str) -> Store {
    let options = Options { patience: Duration::from_secs(1), ..Options::default() };
    Store::connect_with(url, options).await.unwrap()
}

/// Ends every connection to this database but the administrator's.
const DISCONNECT_ALL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Asks again until it holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "it does not come true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
