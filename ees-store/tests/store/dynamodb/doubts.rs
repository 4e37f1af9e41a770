//! What is stored gets its place, whatever its writer heard of it. No sweep comes to its end in these tests,
//! and no other commit brings a predecessor along.

use std::time::Duration;

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use ees_store::EventStore;
use ees_store::dynamodb::{Options, Store};
use ees_test_aws::{Account, Faults};

use super::support::{TABLE, account, candidate, commit, committing, indexer, labels, read_all, store};

/// Faults of a store whose sweeps find nothing.
async fn without_sweeps(account: &Account) -> Faults {
    // The first to open a table looks whether it is empty.
    drop(committing(account, &Faults::none()).await);
    let faults = Faults::none();
    faults.silence("Scan");
    faults
}

/// The client has hung up.
#[tokio::test]
async fn a_commit_that_is_given_up_after_it_was_sent_gets_its_place() {
    let account = account().await;
    let faults = without_sweeps(&account).await;
    let store = store(&account, &faults).await;
    faults.silence("PutItem");
    tokio::select! {
        answer = store.commit(commit("a", 0, "[1]")) => panic!("expected silence, got {answer:?}"),
        () = faults.silenced("PutItem") => {}
    }
    assert_eq!(labels(&read_all(&store, 1).await), ["0 a1"]);
}

/// And so it does if it arrives after the indexer has looked for it in vain.
#[tokio::test]
async fn a_commit_that_is_stored_after_its_writer_has_gone_gets_its_place() {
    let account = account().await;
    let faults = without_sweeps(&account).await;
    let store = store(&account, &faults).await;
    {
        let mut commit = store.commit(commit("a", 0, "[1]"));
        // On its way, and not yet there.
        while faults.calls().of("PutItem") == 0 {
            assert!(futures::poll!(&mut commit).is_pending());
            tokio::task::yield_now().await;
        }
    }
    while faults.calls().of("TransactWriteItems") == 0 {
        tokio::task::yield_now().await;
    }
    // Unless that was faster, this is the request that was on its way.
    let _ = committing(&account, &Faults::none()).await.commit(commit("a", 0, "[1]")).await;
    assert_eq!(labels(&read_all(&store, 1).await), ["0 a1"]);
}

#[tokio::test]
async fn a_commit_that_was_stored_when_patience_was_over_gets_its_place() {
    let account = account().await;
    let faults = without_sweeps(&account).await;
    let attempt = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(2)).build();
    let config = account.sdk_config_with(&faults).into_builder().timeout_config(attempt).build();
    let options = Options { patience: Duration::from_millis(100), ..Options::default() };
    let store = Store::open_with(&config, TABLE, options).await.unwrap();
    faults.silence("PutItem");
    let error = store.commit(commit("a", 0, "[1]")).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(labels(&read_all(&store, 1).await), ["0 a1"]);
}

/// The process that stored it first died before it indexed it.
#[tokio::test]
async fn a_repeat_with_its_key_gives_a_commit_its_place() {
    let account = account().await;
    let keyed = || commit("a", 0, "[1]").with_idempotency_key("key".parse().unwrap());
    committing(&account, &Faults::none()).await.commit(keyed()).await.unwrap();
    let store = store(&account, &without_sweeps(&account).await).await;
    assert_eq!(store.commit(keyed()).await.unwrap().changeset_id.get(), 1);
    assert_eq!(labels(&read_all(&store, 1).await), ["0 a1"]);
}

/// What was in doubt and is not there is let go, after one look.
#[tokio::test]
async fn a_changeset_that_does_not_exist_is_dropped() {
    let account = account().await;
    let faults = Faults::none();
    let indexer = indexer(&account, &faults).await;
    faults.calls().take();
    assert_eq!(indexer.index(vec![candidate("a", 1), candidate("b", 7)]).await.unwrap(), 0);
    assert!(faults.calls().total() <= 4, "{}", faults.calls().total());
}
