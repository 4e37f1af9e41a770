//! Several stores on one log at once, as several processes would have them.

use std::time::Duration;

use futures::FutureExt;

use super::Subject;
use super::racing::{TOTAL, WRITERS, few_writers, follow, follow_in_turn, write};
use super::steps::{
    PROMPT, WAIT, append, append_many, commit_after, first, prompt, race, refused, stream, whole_log,
    whole_stream,
};
use crate::{Checkpoint, Error, Expectation, LogQuery, Refusal};

/// Two stores on one log, where there can be two.
async fn two<S: Subject>() -> Option<(S, S)> {
    let one = S::new().await;
    let other = one.beside().await?;
    Some((one, other))
}

/// What a store says of itself is so.
pub async fn a_log_is_shared_or_not_as_the_store_says<S: Subject>() {
    let pair = two::<S>().await;
    assert_eq!(pair.is_some(), S::CAPABILITIES.shares_log);
    let Some((one, other)) = pair else { return };
    let (one, other) = (one.log().head().await.unwrap(), other.log().head().await.unwrap());
    assert_eq!(one.log_id, other.log_id);
}

/// Writers on three stores, each with streams of its own and one they share, and readers on each: all see the
/// one sequence that is there afterwards, without gaps, and nothing ever appears before a position already
/// read past.
pub async fn all_stores_see_one_sequence_while_all_write<S: Subject>() {
    let Some((one, two)) = two::<S>().await else { return };
    let three = one.beside().await.unwrap();
    let stores = [one.store(), two.store(), three.store()];
    let writers = (0..WRITERS).map(|writer| {
        let store = stores[usize::try_from(writer).unwrap() % stores.len()].clone();
        write(store, writer).map(|()| None).boxed()
    });
    let readers = [one.log(), two.log(), three.log()].into_iter().flat_map(|log| {
        [(1, usize::MAX), (1_000, usize::MAX), (10, 40)]
            .map(|(limit, max_bytes)| follow(log.clone(), limit, max_bytes).map(Some).boxed())
    });
    let seen = race(writers.chain(readers)).await;
    let whole = whole_log(&two.log(), TOTAL).await;
    for sequence in seen.into_iter().flatten() {
        assert!(sequence == whole, "a reader saw another sequence:\n{sequence:?}\nnot\n{whole:?}");
    }
}

/// Optimistic concurrency reaches over processes.
pub async fn of_commits_racing_on_two_stores_exactly_one_wins<S: Subject>() {
    let Some((one, other)) = two::<S>().await else { return };
    for round in 0..20 {
        let racing = (0..8).map(|number| {
            let store = if number % 2 == 0 { one.store() } else { other.store() };
            let commit = commit_after("a", round, &format!("[{number}]"));
            async move { store.commit(commit).await }
        });
        let verdicts = race(racing).await;
        let won = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
        assert_eq!(won, 1, "round {round}: {verdicts:?}");
        for lost in verdicts.into_iter().filter_map(Result::err) {
            assert!(matches!(lost, Error::Refused(Refusal::Conflict { .. })), "{lost:?}");
        }
    }
    assert_eq!(whole_stream(&other.store(), "a").await.len(), 20);
}

/// Read your own writes, wherever you read: the stream at once, and the log too where the store orders at the
/// commit.
pub async fn an_answered_commit_can_be_read_on_another_store_at_once<S: Subject>() {
    let Some((one, other)) = two::<S>().await else { return };
    for last in 0..20 {
        append(&one.store(), "a", last, "[1]").await;
        assert_eq!(whole_stream(&other.store(), "a").await.len() as u64, last + 1);
        if !S::CAPABILITIES.orders_at_commit {
            continue;
        }
        let page = other.log().read(LogQuery::from(Checkpoint::START, 100)).await.unwrap();
        assert_eq!(page.next.get(), last + 1);
        assert_eq!(other.log().head().await.unwrap().checkpoint.get(), last + 1);
    }
    whole_log(&other.log(), 20).await;
}

/// Also where one store has read what another one has not heard of yet: as behind a load balancer, and as a
/// projection that moves from one process to the next.
pub async fn no_page_ends_behind_its_head_whichever_store_is_asked<S: Subject>() {
    let Some((one, two)) = two::<S>().await else { return };
    let stores = [one.store(), two.store()];
    let (writers, total) = few_writers::<S>();
    let writers = (0..writers).map(|writer| {
        let store = stores[usize::try_from(writer).unwrap() % stores.len()].clone();
        write(store, writer).boxed()
    });
    let readers = [0, 2].map(|millis| {
        follow_in_turn(vec![one.log(), two.log()], Duration::from_millis(millis), total).boxed()
    });
    race(writers.chain(readers)).await;
}

/// Nothing that one store remembers makes it accept what another has outdated.
pub async fn an_expectation_outdated_elsewhere_is_refused<S: Subject>() {
    let Some((one, other)) = two::<S>().await else { return };
    append(&one.store(), "a", 0, "[1]").await;
    append(&other.store(), "a", 1, "[2]").await;
    let expectation = Expectation::LastChangeset(1.into());
    assert_eq!(refused(&one.store(), commit_after("a", 1, "[3]")).await, Refusal::Conflict { expectation });
    append(&one.store(), "a", 2, "[3]").await;
    assert_eq!(whole_stream(&other.store(), "a").await.len(), 3);
}

/// A client may repeat its commit at any store.
pub async fn a_key_is_known_to_every_store<S: Subject>() {
    let Some((one, other)) = two::<S>().await else { return };
    let keyed = |last: u64| {
        commit_after("a", last, "[1]").with_idempotency_key(format!("key-{last}").parse().unwrap())
    };
    let known = one.store().commit(keyed(0)).await.unwrap();
    assert_eq!(other.store().commit(keyed(0)).await.unwrap(), known);
    let repeats = (0..8).map(|number| {
        let store = if number % 2 == 0 { one.store() } else { other.store() };
        async move { store.commit(keyed(1)).await.unwrap() }
    });
    let answers = race(repeats).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(whole_stream(&one.store(), "a").await.len(), 2);
}

/// A reader that follows the log gets the changesets of every process.
pub async fn a_waiting_reader_wakes_for_another_stores_commit<S: Subject>() {
    let Some((one, other)) = two::<S>().await else { return };
    for last in 0..5 {
        let log = other.log();
        let query = LogQuery::from(Checkpoint::new(last), 10).with_wait(WAIT);
        let waiting = tokio::spawn(async move { log.read(query).await.unwrap() });
        tokio::task::yield_now().await;
        append(&one.store(), "a", last, "[1]").await;
        let page = tokio::time::timeout(PROMPT, waiting).await.unwrap().unwrap();
        assert_eq!(page.changesets.len(), 1);
    }
}

/// The first commit fixes the type, wherever it was made.
pub async fn a_type_given_on_one_store_holds_on_all<S: Subject>() {
    let Some((one, other)) = two::<S>().await else { return };
    one.store().commit(first("a", "[1]").with_stream_type("account".parse().unwrap())).await.unwrap();
    let mistyped = commit_after("a", 1, "[2]").with_stream_type("order".parse().unwrap());
    assert!(matches!(refused(&other.store(), mistyped).await, Refusal::TypeMismatch { .. }));
    append(&other.store(), "a", 1, "[2]").await;
    assert_eq!(whole_stream(&one.store(), "a").await[1].stream_type, Some("account".parse().unwrap()));
}

/// What dies with work under way leaves the others to theirs.
pub async fn a_store_that_is_killed_holds_no_other_up<S: Subject>() {
    let Some((one, other)) = two::<S>().await else { return };
    let store = one.store();
    let writing = tokio::spawn(async move {
        for last in 0.. {
            if store.commit(commit_after("w", last, "[1]")).await.is_err() {
                return;
            }
        }
    });
    append_many(&other.store(), "a", 10).await;
    drop(one);
    writing.abort();
    let _ = writing.await;
    prompt(append_many(&other.store(), "b", 50)).await;
    let kept = other.store().read_stream(crate::StreamQuery::all(stream("w"))).await;
    let kept = kept.map_or(0, |page| page.changesets.len());
    assert_eq!(whole_stream(&other.store(), "b").await.len(), 50);
    // Where the order is given out afterwards, somebody has to find what was left behind.
    let last = LogQuery::from(Checkpoint::new(60 + kept as u64 - 1), 1).with_wait(WAIT);
    assert_eq!(prompt(other.log().read(last)).await.unwrap().changesets.len(), 1);
}
