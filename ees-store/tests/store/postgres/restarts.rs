use std::sync::Arc;
use std::time::Duration;

use ees_store::postgres::Store;
use ees_store::{ChangesetLog, Error, EventStore, LogQuery};
use ees_test_postgres::Server;

use super::writers::{Writers, insist};
use super::{administrator, commit, impatient, keyed, numbers, run, until};

#[tokio::test]
async fn commits_survive_restarts_and_kills_of_the_server_and_nobody_reopens_the_store() {
    let server = Server::start().await;
    let store = Arc::new(Store::connect(&server.url("postgres")).await.unwrap());
    let before = store.head().await.unwrap();
    let writers = Writers::start(&store, 6, 3);
    writers.proceed(50).await;
    for _ in 0..3 {
        server.restart().await;
        writers.proceed(50).await;
    }
    for _ in 0..2 {
        server.kill();
        server.start_again().await;
        writers.proceed(50).await;
    }
    writers.finish().await;
    let after = store.head().await.unwrap();
    assert_eq!(after.log_id, before.log_id);
    assert_ne!(after.incarnation, before.incarnation, "another server might hold an older state");
}

#[tokio::test]
async fn while_the_server_is_away_calls_fail_in_time_and_followers_go_on_afterwards() {
    let server = Server::start().await;
    let store = Arc::new(impatient(&server.url("postgres")).await);
    store.commit(keyed("a", 0, 0)).await.unwrap();
    server.stop().await;
    let calls = async {
        let committed = store.commit(keyed("a", 1, 1)).await;
        assert!(matches!(committed, Err(Error::Unavailable(_))), "{committed:?}");
        let read = store.head().await;
        assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
        let opened = Store::connect(&server.url("postgres")).await.map(drop);
        assert!(matches!(opened, Err(Error::Unavailable(_))), "{opened:?}");
    };
    tokio::time::timeout(Duration::from_secs(10), calls).await.unwrap();

    server.start_again().await;
    let follower = store.clone();
    let follower = tokio::spawn(async move {
        let next = ees_store::Checkpoint::new(1);
        follower.read(LogQuery::from(next, 1).with_wait(Duration::from_secs(30))).await
    });
    until("it is stored", async || store.commit(keyed("a", 1, 1)).await.is_ok()).await;
    assert_eq!(follower.await.unwrap().unwrap().changesets.len(), 1);
}

#[tokio::test]
async fn a_restart_while_nobody_commits_costs_no_commit() {
    let server = Server::start().await;
    let store = Store::connect(&server.url("postgres")).await.unwrap();
    store.commit(commit("a", 0, 0)).await.unwrap();
    // Longer than a connection is trusted without a try.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    server.restart().await;
    store.commit(commit("a", 1, 1)).await.unwrap();
}

#[tokio::test]
async fn what_was_answered_survives_a_kill_although_the_database_trades_that_for_speed() {
    let server = Server::start().await;
    let url = server.url("postgres");
    run(&mut administrator(&url).await, "ALTER DATABASE postgres SET synchronous_commit = off").await;
    // Nothing writes the log to disk by the way.
    run(&mut administrator(&url).await, "ALTER SYSTEM SET wal_writer_delay = '10s'").await;
    server.restart().await;
    let store = Store::connect(&url).await.unwrap();
    for number in 0..5 {
        insist(&store, &keyed("a", number, number)).await;
        server.kill();
        server.start_again().await;
        let stored = numbers(&store, "a").await;
        assert_eq!(stored.len() as u64, number + 1, "{stored:?}");
    }
}
