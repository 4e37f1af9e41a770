use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::postgres::{Options, Store};
use ees_store::{ChangesetLog, Checkpoint, Error, EventStore, LogQuery};
use ees_test_postgres::{Server, TestDatabase};
use sqlx::{Connection, PgConnection};

use super::{DISCONNECT_ALL, administrator, commit, impatient, keyed, numbers, run, until};

const HOLD_COUNTER: &str = "BEGIN; UPDATE ees_store.log SET next_checkpoint = next_checkpoint";
const HOLD_CHANGESETS: &str = "BEGIN; LOCK TABLE ees_store.changesets IN ACCESS EXCLUSIVE MODE";

#[tokio::test]
async fn more_readers_than_connections_wait_their_turn() {
    let database = TestDatabase::new().await;
    let options = Options { readers: 2, ..Options::default() };
    let store = Arc::new(Store::connect_with(database.url(), options).await.unwrap());
    store.commit(commit("a", 0, 0)).await.unwrap();
    let mut administrator = administrator(database.url()).await;
    run(&mut administrator, HOLD_CHANGESETS).await;
    let reads: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.read(LogQuery::from(Checkpoint::START, 1)).await })
        })
        .collect();
    waiting_for_locks(database.url(), 2).await;
    run(&mut administrator, "COMMIT").await;
    for read in reads {
        assert_eq!(read.await.unwrap().unwrap().changesets.len(), 1);
    }
}

#[tokio::test]
async fn whose_turn_does_not_come_is_told_that_the_store_is_overloaded() {
    let database = TestDatabase::new().await;
    let options = Options { readers: 2, patience: Duration::from_millis(700), ..Options::default() };
    let store = Arc::new(Store::connect_with(database.url(), options).await.unwrap());
    store.commit(commit("a", 0, 0)).await.unwrap();
    let mut administrator = administrator(database.url()).await;
    run(&mut administrator, HOLD_CHANGESETS).await;
    let reads: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.read(LogQuery::from(Checkpoint::START, 1)).await })
        })
        .collect();
    until("the others gave up", async || reads.iter().filter(|read| read.is_finished()).count() >= 2).await;
    run(&mut administrator, "COMMIT").await;
    let mut overloaded = 0;
    for read in reads {
        match read.await.unwrap() {
            Ok(page) => assert_eq!(page.changesets.len(), 1),
            Err(Error::Overloaded) => overloaded += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!((2..=3).contains(&overloaded), "{overloaded}");
}

#[tokio::test]
async fn a_server_without_a_free_connection_is_told_as_such_and_used_again_when_it_has_one() {
    let server = Server::start().await;
    let url = server.url("postgres");
    let mut first = administrator(&url).await;
    run(&mut first, "ALTER SYSTEM SET max_connections = 20").await;
    run(&mut first, "ALTER SYSTEM SET superuser_reserved_connections = 0").await;
    server.restart().await;
    let mut first = administrator(&url).await;
    let store = impatient(&url).await;
    store.commit(keyed("a", 0, 0)).await.unwrap();

    let mut taken: Vec<PgConnection> = Vec::new();
    until("all connections are taken", async || {
        let others =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ees-store'";
        run(&mut first, others).await;
        while let Ok(one) = PgConnection::connect(&url).await {
            taken.push(one);
        }
        taken.len() == 19
    })
    .await;
    let begun = Instant::now();
    let (committed, read) = tokio::join!(store.commit(keyed("a", 1, 1)), store.head());
    let told = committed.unwrap_err();
    assert!(matches!(&told, Error::Unavailable(why) if why.contains("too many clients")), "{told:?}");
    assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());

    drop(taken);
    until("it is stored", async || store.commit(keyed("a", 1, 1)).await.is_ok()).await;
    assert_eq!(numbers(&store, "a").await, [0, 1]);
}

#[tokio::test]
async fn commits_wait_for_the_end_of_a_failover_and_reads_go_on() {
    let database = TestDatabase::new().await;
    let store = Store::connect(database.url()).await.unwrap();
    let impatient = impatient(database.url()).await;
    store.commit(keyed("a", 0, 0)).await.unwrap();
    let mut administrator = administrator(database.url()).await;
    let read_only =
        |on| format!("ALTER DATABASE {} SET default_transaction_read_only = {on}", database.name());
    run(&mut administrator, read_only("on")).await;
    run(&mut administrator, DISCONNECT_ALL).await;

    let commit = keyed("a", 1, 1);
    let takes_too_long = async {
        let told = impatient.commit(keyed("b", 0, 0)).await.unwrap_err();
        assert!(matches!(&told, Error::Unavailable(why) if why.contains("read-only")), "{told:?}");
        assert_eq!(numbers(&store, "a").await, [0]);
        run(&mut administrator, "SET default_transaction_read_only = off").await;
        run(&mut administrator, read_only("off")).await;
    };
    let (committed, ()) = tokio::join!(store.commit(commit), takes_too_long);
    assert_eq!(committed.unwrap().changeset_id.get(), 2);
    assert_eq!(numbers(&store, "a").await, [0, 1]);
    impatient.commit(keyed("b", 0, 0)).await.unwrap();
    assert_eq!(numbers(&store, "b").await, [0], "what failed was not stored");
}

#[tokio::test]
async fn a_commit_waits_for_a_held_counter_and_fails_when_that_takes_too_long() {
    let database = TestDatabase::new().await;
    let store = Store::connect(database.url()).await.unwrap();
    let impatient = impatient(database.url()).await;
    let mut administrator = administrator(database.url()).await;
    run(&mut administrator, HOLD_COUNTER).await;
    let holder = async {
        let begun = Instant::now();
        let told = impatient.commit(commit("b", 0, 0)).await.unwrap_err();
        assert!(matches!(&told, Error::Unavailable(why) if why.contains("lock timeout")), "{told:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        run(&mut administrator, "ROLLBACK").await;
    };
    let (committed, ()) = tokio::join!(store.commit(commit("a", 0, 0)), holder);
    committed.unwrap();
    impatient.commit(commit("b", 0, 0)).await.unwrap();
}

/// Waits until this many connections to the database wait for a lock.
async fn waiting_for_locks(url: &str, count: i64) {
    let mut connection = administrator(url).await;
    until("connections wait for a lock", async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut connection).await.unwrap() >= count
    })
    .await;
}
