use ees_store::postgres::Store;
use ees_store::{ChangesetLog, EventStore};
use ees_test_postgres::TestDatabase;

use super::{administrator, commit, numbers, run, until};

/// What restoring a backup from when there were three changesets comes to.
const GO_BACK: &str = "BEGIN;
    DELETE FROM ees_store.changesets WHERE checkpoint >= 3;
    UPDATE ees_store.log SET next_checkpoint = 3;
    COMMIT";

#[tokio::test]
async fn a_log_restored_to_an_older_state_under_a_running_store_is_noticed() {
    let database = TestDatabase::new().await;
    let store = Store::connect(database.url()).await.unwrap();
    for number in 0..6 {
        store.commit(commit("a", number, number)).await.unwrap();
    }
    let before = store.head().await.unwrap();
    run(&mut administrator(database.url()).await, GO_BACK).await;
    until("the head says so", async || store.head().await.unwrap().incarnation != before.incarnation).await;
    let after = store.head().await.unwrap();
    assert_eq!((after.log_id, after.checkpoint.get()), (before.log_id, 3));
    store.commit(commit("a", 3, 30)).await.unwrap();
    assert_eq!(numbers(&store, "a").await, [0, 1, 2, 30]);
}

#[tokio::test]
async fn it_is_noticed_even_when_commits_pass_the_old_end_at_once() {
    let database = TestDatabase::new().await;
    let store = Store::connect(database.url()).await.unwrap();
    for number in 0..6 {
        store.commit(commit("a", number, number)).await.unwrap();
    }
    let before = store.head().await.unwrap();
    run(&mut administrator(database.url()).await, GO_BACK).await;
    let commits = (3..20).map(|number| commit("a", number, 10 * number)).collect();
    for verdict in store.commit_in_order(commits).await {
        verdict.unwrap();
    }
    let after = store.head().await.unwrap();
    assert_eq!(after.checkpoint.get(), 20);
    assert_ne!(after.incarnation, before.incarnation);
}
