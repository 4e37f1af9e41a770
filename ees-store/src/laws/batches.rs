//! `commit_in_order`: several commits, each with its own verdict.

use super::Subject;
use super::steps::{commit_after, events, first, labels, race, refusal, stream, whole_log, whole_stream};
use crate::{ChangesetId, Expectation, Refusal};

/// Later commits of a batch see the earlier ones, and a refused one stops nobody.
pub async fn commits_in_order_get_each_their_own_verdict<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let verdicts = store
        .commit_in_order(vec![
            first("a", "[1]"),
            first("a", "[\"refused\"]"),
            commit_after("a", 1, "[2,3]"),
            commit_after("b", 4, "[\"refused\"]"),
            first("b", "[1]"),
            commit_after("a", 1, "[\"refused\"]"),
            commit_after("a", 2, "[4]"),
        ])
        .await;
    let verdicts: Vec<_> =
        verdicts.into_iter().map(|it| it.map(|done| done.changeset_id.get()).map_err(|e| e.code())).collect();
    let (outdated, not_there) = ("OPTIMISTIC_CONCURRENCY_EXCEPTION", "INVALID_EXPECTED_CHANGESET_ID");
    assert_eq!(verdicts, [Ok(1), Err(outdated), Ok(2), Err(not_there), Ok(1), Err(outdated), Ok(3)]);
    let stored = whole_stream(&store, "a").await;
    assert_eq!(stored.iter().map(|it| it.events.as_stored()).collect::<Vec<_>>(), ["[1]", "[2,3]", "[4]"]);
    assert_eq!(whole_stream(&store, "b").await.len(), 1);
}

/// Nothing to do is no error.
pub async fn an_empty_batch_has_no_verdicts<S: Subject>() {
    let subject = S::new().await;
    assert!(subject.store().commit_in_order(vec![]).await.is_empty());
    whole_log(&subject.log(), 0).await;
}

/// Batches of racing writers keep their own order, across streams where the store orders at the commit.
pub async fn commits_in_order_stand_in_the_order_given<S: Subject>() {
    const WRITERS: u64 = 4;
    const COMMITS: u64 = 60;
    let subject = S::new().await;
    let answers = race((0..WRITERS).map(|writer| {
        let store = subject.store();
        async move {
            let batch = (0..COMMITS)
                .map(|number| {
                    commit_after(&format!("w{writer}/{}", number % 3), number / 3, &format!("[{number}]"))
                })
                .collect();
            store.commit_in_order(batch).await.into_iter().map(|it| it.unwrap()).collect::<Vec<_>>()
        }
    }))
    .await;
    let log = whole_log(&subject.log(), usize::try_from(WRITERS * COMMITS).unwrap()).await;
    for (writer, answers) in answers.iter().enumerate() {
        let own = |it: &&crate::LogEntry| it.stream_id.as_str().starts_with(&format!("w{writer}/"));
        let stored: Vec<[u64; 1]> =
            log.iter().filter(own).map(|it| it.events.as_json().unwrap().read().unwrap()).collect();
        if S::CAPABILITIES.orders_at_commit {
            assert_eq!(stored.concat(), (0..COMMITS).collect::<Vec<_>>());
            let told: Vec<_> = answers.iter().map(|it| it.checkpoint).collect();
            let places: Vec<_> = log.iter().filter(own).map(|it| Some(it.checkpoint)).collect();
            assert_eq!(told, places);
        } else {
            assert!(answers.iter().all(|it| it.checkpoint.is_none()), "no place is known yet: {answers:?}");
            for part in 0..3 {
                let of_stream: Vec<_> = stored.concat().into_iter().filter(|it| it % 3 == part).collect();
                assert!(of_stream.is_sorted(), "in order within the stream: {of_stream:?}");
            }
        }
    }
}

/// A key counts within a batch too.
pub async fn a_repeat_within_a_batch_is_stored_once<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let keyed = |array: &str| first("a", array).with_idempotency_key("key".parse().unwrap());
    let mut verdicts = store
        .commit_in_order(vec![keyed("[1]"), keyed("[1]"), keyed("[2]"), commit_after("a", 1, "[3]")])
        .await;
    assert_eq!(verdicts.remove(3).unwrap().changeset_id.get(), 2);
    assert_eq!(refusal(verdicts.remove(2)), Refusal::KeyReused);
    assert_eq!(verdicts.remove(1).unwrap(), verdicts.remove(0).unwrap());
    assert_eq!(labels(&whole_log(&subject.log(), 2).await), ["a 1 [1]", "a 2 [3]"]);
}

/// The type a batch's first commit gives holds for the rest of the batch.
pub async fn a_type_given_within_a_batch_holds_at_once<S: Subject>() {
    let subject = S::new().await;
    let typed =
        |last: u64, name: &str| commit_after("a", last, "[1]").with_stream_type(name.parse().unwrap());
    let mut verdicts =
        subject.store().commit_in_order(vec![typed(0, "t"), typed(1, "u"), typed(1, "t")]).await;
    assert_eq!(verdicts.remove(2).unwrap().changeset_id.get(), 2);
    assert!(matches!(refusal(verdicts.remove(1)), Refusal::TypeMismatch { .. }));
}

/// A thousand at once are a thousand changesets, by event numbers as well.
pub async fn a_long_batch_is_stored_whole<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let batch = (0..1_000_u64)
        .map(|number| {
            let expectation = Expectation::LastEvent((number * 2).into());
            crate::Commit::new(stream("a"), expectation, events(&format!("[{number},null]")))
        })
        .collect();
    for (at, verdict) in store.commit_in_order(batch).await.into_iter().enumerate() {
        assert_eq!(verdict.unwrap().changeset_id, ChangesetId::new(at as u64 + 1));
    }
    let stored = whole_stream(&store, "a").await;
    assert!(stored.iter().zip(0_u64..).all(|(it, at)| it.first_event_id.get() == at * 2 + 1));
    whole_log(&subject.log(), 1_000).await;
}
