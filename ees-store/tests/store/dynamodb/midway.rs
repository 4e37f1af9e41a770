//! Transactions that are under way: others see some of their items before the rest, and meet the rest as
//! conflicts. Neither decides anything.

use std::time::Duration;

use ees_store::dynamodb::{Indexing, Options, Store, TableFormat};
use ees_store::{Commit, Committed, Error, EventStore, Expectation, Refusal};
use ees_test_aws::{Account, Faults, LocalAws};

use tokio::task::JoinHandle;

use super::formats::account_with;
use super::support::{TABLE, account, append, commit, committing};

fn keyed(expectation: Expectation, is_typed: bool) -> Commit {
    let mut commit = commit("a", 0, "[1]").with_idempotency_key("key".parse().unwrap());
    commit.expectation = expectation;
    if is_typed { commit.with_stream_type("account".parse().unwrap()) } else { commit }
}

/// Returns when a call was tried again, or there was no need to.
async fn has_met_it<T>(faults: &Faults, work: &JoinHandle<T>) {
    let calls = || faults.calls().of("TransactWriteItems") + faults.calls().of("TransactGetItems");
    while calls() < 2 && !work.is_finished() {
        tokio::task::yield_now().await;
    }
}

/// Lets a commit stand still after these of its actions, makes another one beside it, and lets the first go
/// on when the second has met it. Both answers.
async fn beside_one_under_way(
    account: &Account,
    actions: &[usize],
    first: Commit,
    second: Commit,
) -> [ees_store::Result<Committed>; 2] {
    let (slow, other) = (Faults::none(), Faults::none());
    let (one, two) = (committing(account, &slow).await, committing(account, &other).await);
    slow.halt_after(actions);
    let first = tokio::spawn(async move { one.commit(first).await });
    slow.halted().await;
    other.calls().take();
    let second = tokio::spawn(async move { two.commit(second).await });
    has_met_it(&other, &second).await;
    slow.go_on();
    [first.await.unwrap(), second.await.unwrap()]
}

/// In a table of before: the changeset, the item of its key, the head of its stream.
#[tokio::test]
async fn a_repeat_beside_its_own_commit_is_answered_as_stored_whatever_it_sees_of_it() {
    for is_typed in [false, true] {
        for (before, expectation) in [
            (0, Expectation::NewStream),
            (2, Expectation::LastChangeset(2.into())),
            (2, Expectation::LastEvent(2.into())),
        ] {
            for actions in [vec![0], vec![1], vec![0, 2], vec![2, 1], vec![2]] {
                if actions.contains(&2) && !is_typed {
                    continue;
                }
                let account = account_with(TableFormat::V2, TABLE).await;
                let store = committing(&account, &Faults::none()).await;
                for last in 0..before {
                    let plain = commit("a", last, "[1]");
                    let plain =
                        if is_typed { plain.with_stream_type("account".parse().unwrap()) } else { plain };
                    store.commit(plain).await.unwrap();
                }
                let again = || keyed(expectation, is_typed);
                let answers = beside_one_under_way(&account, &actions, again(), again()).await;
                for answer in answers {
                    let stored =
                        answer.unwrap_or_else(|error| panic!("{expectation:?} {actions:?}: {error}"));
                    assert_eq!(stored.changeset_id.get(), before + 1);
                }
            }
        }
    }
}

/// The changeset with its key, and the head of its stream.
#[tokio::test]
async fn a_typed_repeat_beside_its_own_commit_is_answered_as_stored_whatever_it_sees_of_it() {
    for (before, expectation) in [(0, Expectation::NewStream), (2, Expectation::LastEvent(2.into()))] {
        for actions in [[0], [1]] {
            let account = account().await;
            let store = committing(&account, &Faults::none()).await;
            for last in 0..before {
                let typed = commit("a", last, "[1]").with_stream_type("account".parse().unwrap());
                store.commit(typed).await.unwrap();
            }
            let again = || keyed(expectation, true);
            for answer in beside_one_under_way(&account, &actions, again(), again()).await {
                let stored = answer.unwrap_or_else(|error| panic!("{expectation:?} {actions:?}: {error}"));
                assert_eq!(stored.changeset_id.get(), before + 1);
            }
        }
    }
}

#[tokio::test]
async fn a_commit_beside_somebody_elses_is_refused_when_that_is_stored() {
    for (format, is_typed) in [(TableFormat::V3, true), (TableFormat::V2, false)] {
        for actions in [[0], [1]] {
            let account = account_with(format, TABLE).await;
            let mut other = keyed(Expectation::NewStream, is_typed);
            other.idempotency_key = Some("another".parse().unwrap());
            let first = keyed(Expectation::NewStream, is_typed);
            let [stored, refused] = beside_one_under_way(&account, &actions, first, other).await;
            assert_eq!(stored.unwrap().changeset_id.get(), 1);
            assert!(matches!(refused, Err(Error::Refused(Refusal::Conflict { .. }))), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_used_beside_its_commit_for_another_body_is_reused() {
    for (format, is_typed) in [(TableFormat::V3, true), (TableFormat::V2, false)] {
        let account = account_with(format, TABLE).await;
        let mut other = keyed(Expectation::NewStream, is_typed);
        other.events = ees_store::Events::parse("[2]").unwrap();
        let first = keyed(Expectation::NewStream, is_typed);
        let [stored, refused] = beside_one_under_way(&account, &[0], first, other).await;
        assert_eq!(stored.unwrap().changeset_id.get(), 1);
        assert!(matches!(refused, Err(Error::Refused(Refusal::KeyReused))), "{refused:?}");
    }
}

/// While it can't be told whose the changeset is that is in the way, waiting may help.
#[tokio::test]
async fn what_is_not_decided_in_time_is_no_refusal() {
    let account = account_with(TableFormat::V2, TABLE).await;
    let slow = Faults::none();
    let one = committing(&account, &slow).await;
    let options =
        Options { patience: Duration::from_millis(200), indexing: Indexing::Elsewhere, ..Options::default() };
    let two = Store::open_with(&account.sdk_config_with(&Faults::none()), TABLE, options).await.unwrap();
    append(&two, "a", 0).await;
    let again = || keyed(Expectation::LastChangeset(1.into()), false);
    slow.halt_after(&[0]);
    let first = tokio::spawn(async move { one.commit(again()).await });
    slow.halted().await;
    let error = two.commit(again()).await.unwrap_err();
    assert!(error.is_transient() && error.code() == "OVERLOADED", "{error:?}");
    slow.go_on();
    first.await.unwrap().unwrap();
    assert_eq!(two.commit(again()).await.unwrap().changeset_id.get(), 2);
}

/// Two servers start with an empty table.
#[tokio::test]
async fn a_log_that_is_being_created_is_opened() {
    for actions in [[0], [1]] {
        let account = LocalAws::account().await;
        ees_store::dynamodb::create_table(&account.sdk_config(), TABLE, false).await.unwrap();
        let (slow, other) = (Faults::none(), Faults::none());
        slow.halt_after(&actions);
        let open = |faults: &Faults| {
            let (account, faults) = (account.clone(), faults.clone());
            tokio::spawn(async move { Store::open(&account.sdk_config_with(&faults), TABLE).await.map(drop) })
        };
        let first = open(&slow);
        slow.halted().await;
        let second = open(&other);
        has_met_it(&other, &second).await;
        slow.go_on();
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap_or_else(|error| panic!("{actions:?}: {error}"));
    }
}
