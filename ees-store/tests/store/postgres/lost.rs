use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ees_store::postgres::Store;
use ees_store::{ChangesetLog, Checkpoint, Error, EventStore, LogQuery};
use ees_test_postgres::TestDatabase;

use super::proxy::Proxy;
use super::writers::Writers;
use super::{DISCONNECT_ALL, administrator, commit, keyed, numbers, run};

#[tokio::test]
async fn commits_survive_that_their_connections_are_ended_again_and_again() {
    let database = TestDatabase::new().await;
    let store = Arc::new(Store::connect(database.url()).await.unwrap());
    let mut administrator = administrator(database.url()).await;
    let writers = Writers::start(&store, 6, 2);
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        run(&mut administrator, DISCONNECT_ALL).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..80))).await;
    }
    writers.proceed(50).await;
    writers.finish().await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_stored_once_when_it_has_a_key() {
    let database = TestDatabase::new().await;
    let proxy = Proxy::before(database.url(), "\"number\":7").await;
    let store = Store::connect(&proxy.url).await.unwrap();
    store.commit(keyed("a", 0, 0)).await.unwrap();
    proxy.cuts.store(3, Ordering::Relaxed);
    let committed = store.commit(keyed("a", 1, 7)).await.unwrap();
    assert_eq!((committed.changeset_id.get(), committed.checkpoint), (2, Some(Checkpoint::new(1))));
    assert_eq!(proxy.cuts.load(Ordering::Relaxed), 0, "they were cut");
    assert_eq!(numbers(&store, "a").await, [0, 7]);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_not_sent_again_without_a_key() {
    let database = TestDatabase::new().await;
    let proxy = Proxy::before(database.url(), "\"number\":7").await;
    let store = Store::connect(&proxy.url).await.unwrap();
    proxy.cuts.store(1, Ordering::Relaxed);
    let refused = store.commit(commit("a", 0, 7)).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    // As it says, it is not known: here it is stored.
    assert_eq!(numbers(&store, "a").await, [7]);
    store.commit(commit("a", 1, 8)).await.unwrap();
}

#[tokio::test]
async fn a_follower_wakes_although_no_notification_arrives() {
    let database = TestDatabase::new().await;
    let (writing, following) =
        (Store::connect(database.url()).await.unwrap(), Store::connect(database.url()).await.unwrap());
    let mut administrator = administrator(database.url()).await;
    let deaf = tokio::spawn(async move {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE 'LISTEN %'";
        loop {
            run(&mut administrator, end).await;
        }
    });
    for number in 0..3 {
        let query = LogQuery::from(Checkpoint::new(number), 1).with_wait(Duration::from_secs(30));
        let arrives = following.read(query);
        let begun = Instant::now();
        let (page, committed) = tokio::join!(arrives, writing.commit(commit("a", number, number)));
        committed.unwrap();
        assert_eq!(page.unwrap().changesets.len(), 1);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    deaf.abort();
}
