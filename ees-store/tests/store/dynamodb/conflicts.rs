//! A write whose answer is lost is told from one that lost a race.

use ees_store::{EventStore, Expectation, Refusal};
use ees_test_aws::Faults;

use super::support::{account, append, commit, committing, read_all, store};

/// Half of all answers are lost; every commit is stored once and says so.
#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_answered_as_stored() {
    let account = account().await;
    let store = store(&account, &Faults::seeded(3).lost(0.5)).await;
    for last in 0..10 {
        append(&store, "plain", last).await;
        let keyed = commit("keyed", last, "[1]").with_idempotency_key(format!("key-{last}").parse().unwrap());
        assert_eq!(store.commit(keyed).await.unwrap().changeset_id.get(), last + 1);
        let typed = commit("typed", last, "[1]").with_stream_type("account".parse().unwrap());
        assert_eq!(store.commit(typed).await.unwrap().changeset_id.get(), last + 1);
    }
    read_all(&store, 30).await;
}

/// The same from the outside, and yet somebody else's.
#[tokio::test]
async fn a_lost_race_is_a_conflict_however_often_answers_are_lost() {
    let account = account().await;
    let lossy = committing(&account, &Faults::seeded(4).lost(0.5)).await;
    let other = committing(&account, &Faults::none()).await;
    for last in 0..10 {
        append(&other, "a", last).await;
        let refused = lossy.commit(commit("a", last, "[2]")).await.unwrap_err();
        let expectation = Expectation::LastChangeset(last.into());
        assert!(
            matches!(&refused, ees_store::Error::Refused(Refusal::Conflict { expectation: told }) if *told == expectation),
            "{refused:?}"
        );
    }
}

/// Conflicts between transactions are waited out, never told.
#[tokio::test]
async fn transactions_in_conflict_are_tried_again() {
    let account = account().await;
    let store = store(&account, &Faults::seeded(5).conflicting(0.4).throttled(0.1)).await;
    for last in 0..10 {
        let typed = commit("typed", last, "[1]").with_stream_type("account".parse().unwrap());
        store.commit(typed.with_idempotency_key(format!("key-{last}").parse().unwrap())).await.unwrap();
    }
    read_all(&store, 10).await;
}

/// A table that takes nothing is an error in time, and one that says waiting may help.
#[tokio::test]
async fn a_table_that_takes_nothing_is_overloaded() {
    use ees_store::dynamodb::{Options, Store};
    let account = account().await;
    append(&committing(&account, &Faults::none()).await, "a", 0).await;
    let faults = Faults::none();
    let options = Options { patience: std::time::Duration::from_millis(200), ..Options::default() };
    let store =
        Store::open_with(&account.sdk_config_with(&faults), super::support::TABLE, options).await.unwrap();
    faults.cut_off().await;
    let error = store.commit(commit("a", 1, "[1]")).await.unwrap_err();
    assert!(error.is_transient() && error.code() == "UNAVAILABLE", "{error:?}");
}

/// One that takes everything and says nothing is so too: what each attempt takes counts.
#[tokio::test]
async fn patience_is_for_all_attempts_together() {
    use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
    use ees_store::dynamodb::{Indexing, Options, Store};
    use std::time::{Duration, Instant};
    let account = account().await;
    let faults = Faults::none();
    let attempt = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(2)).build();
    let config = account.sdk_config_with(&faults).into_builder().timeout_config(attempt).build();
    let options =
        Options { patience: Duration::from_secs(3), indexing: Indexing::Elsewhere, ..Options::default() };
    let store = Store::open_with(&config, super::support::TABLE, options).await.unwrap();
    faults.silence("PutItem");
    let begun = Instant::now();
    let error = store.commit(commit("a", 0, "[1]")).await.unwrap_err();
    assert_eq!(error.code(), "UNAVAILABLE", "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
}
