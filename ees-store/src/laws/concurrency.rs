//! Optimistic concurrency, by changeset and by event.

use super::Subject;
use super::steps::{
    append, commit_after, events, first, is_missing, race, refused, stream, whole_log, whole_stream,
};
use crate::Expectation::{LastChangeset, LastEvent, NewStream};
use crate::{ChangesetId, Commit, Error, EventId, Expectation, Refusal};

fn commit(stream_name: &str, expectation: Expectation) -> Commit {
    Commit::new(stream(stream_name), expectation, events("[7]"))
}

fn changeset(number: u64) -> Expectation {
    LastChangeset(ChangesetId::new(number))
}

fn event(number: u64) -> Expectation {
    LastEvent(EventId::new(number))
}

/// "The stream is new", "its last changeset is 0" and "its last event is 0" mean the same.
pub async fn a_stream_begins_at_changeset_1_and_event_1<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    for (name, expectation) in [("new", NewStream), ("changeset", changeset(0)), ("event", event(0))] {
        let committed = store.commit(commit(name, expectation)).await.unwrap();
        assert_eq!(committed.changeset_id.get(), 1, "{expectation:?}");
        assert_eq!(whole_stream(&store, name).await[0].first_event_id.get(), 1, "{expectation:?}");
    }
}

/// Changesets and events are numbered without gaps, whichever of them a commit expects.
pub async fn a_commit_goes_after_what_it_expects<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let steps = [(NewStream, "[1,2]"), (changeset(1), "[3]"), (event(3), "[4,5,6]"), (changeset(3), "[7]")];
    for (at, (expectation, array)) in steps.into_iter().enumerate() {
        let commit = Commit::new(stream("a"), expectation, events(array));
        assert_eq!(store.commit(commit).await.unwrap().changeset_id.get(), at as u64 + 1);
    }
    let numbers: Vec<_> = whole_stream(&store, "a")
        .await
        .iter()
        .map(|it| (it.changeset_id.get(), it.first_event_id.get(), it.last_event_id().get()))
        .collect();
    assert_eq!(numbers, [(1, 1, 2), (2, 3, 3), (3, 4, 6), (4, 7, 7)]);
}

/// The stream is past what was expected, by changeset or by event, also in the middle of a changeset.
pub async fn an_outdated_expectation_is_refused<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    append(&store, "a", 0, "[1,2,3]").await;
    append(&store, "a", 1, "[4,5]").await;
    for expectation in [NewStream, changeset(0), changeset(1), event(0), event(1), event(3), event(4)] {
        assert_eq!(refused(&store, commit("a", expectation)).await, Refusal::Conflict { expectation });
    }
    assert_eq!(whole_stream(&store, "a").await.len(), 2);
}

/// The stream is not that far yet; the refusal says how far it is.
pub async fn an_expectation_ahead_of_the_stream_is_refused<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    append(&store, "a", 0, "[1,2,3]").await;
    for (name, expectation, last) in [
        ("a", changeset(2), 1),
        ("a", changeset(3), 1),
        ("a", event(4), 3),
        ("a", LastChangeset(ChangesetId::MAX), 1),
        ("a", LastEvent(EventId::MAX), 3),
        ("none", changeset(1), 0),
        ("none", event(1), 0),
    ] {
        let want = Refusal::AheadOfStream { stream_id: stream(name), expectation, last };
        assert_eq!(refused(&store, commit(name, expectation)).await, want);
    }
    assert_eq!(whole_stream(&store, "a").await.len(), 1);
    assert!(is_missing(&store, "none").await);
}

/// After a refusal everything is as it was before, and the stream can be written to.
pub async fn a_refused_commit_leaves_no_trace<S: Subject>() {
    let subject = S::new().await;
    let (store, log) = (subject.store(), subject.log());
    append(&store, "a", 0, "[1]").await;
    let too_large = format!("[\"{}\"]", "x".repeat(S::CAPABILITIES.limit_bytes));
    refused(&store, commit("a", NewStream)).await;
    refused(&store, commit("a", changeset(5))).await;
    refused(&store, commit_after("a", 1, "[2]").with_stream_type("t".parse().unwrap())).await;
    refused(&store, commit_after("a", 1, &too_large)).await;
    refused(&store, commit("none", event(3))).await;
    refused(&store, first("none", &too_large)).await;

    append(&store, "a", 1, "[2]").await;
    assert!(is_missing(&store, "none").await);
    append(&store, "none", 0, "[1]").await;
    let log = whole_log(&log, 3).await;
    assert_eq!(log[1].first_event_id.get(), 2);
}

/// Sixteen writers, one expectation: one wins, the others learn that they are outdated. By changeset and by
/// event.
pub async fn of_racing_commits_with_one_expectation_exactly_one_wins<S: Subject>() {
    let subject = S::new().await;
    for round in 0..10 {
        let verdicts = race((0..16).map(|writer| {
            let store = subject.store();
            let expectation = if writer % 2 == 0 { changeset(round) } else { event(round) };
            async move { (expectation, store.commit(commit("a", expectation)).await) }
        }))
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = verdicts.into_iter().partition(|(_, verdict)| verdict.is_ok());
        let won: Vec<_> = won.into_iter().map(|(_, verdict)| verdict.unwrap().changeset_id.get()).collect();
        assert_eq!(won, [round + 1], "one wins");
        for (expectation, verdict) in lost {
            let refused = matches!(
                &verdict,
                Err(Error::Refused(Refusal::Conflict { expectation: told })) if *told == expectation
            );
            assert!(refused, "the others are outdated: {verdict:?}");
        }
    }
    assert_eq!(whole_stream(&subject.store(), "a").await.len(), 10);
}

/// Many begin the same streams at once: each stream begins once.
pub async fn of_racing_first_commits_exactly_one_wins<S: Subject>() {
    let subject = S::new().await;
    for round in 0..10 {
        let name = format!("stream/{round}");
        let verdicts = race((0..16).map(|writer| {
            let (store, commit) = (subject.store(), first(&name, &format!("[{writer}]")));
            async move { store.commit(commit).await }
        }))
        .await;
        let winners: Vec<_> = (0..16).filter(|&writer| verdicts[writer].is_ok()).collect();
        let stored: Vec<_> = whole_stream(&subject.store(), &name)
            .await
            .iter()
            .map(|it| it.events.as_json().unwrap().to_string())
            .collect();
        assert_eq!(stored, winners.iter().map(|writer| format!("[{writer}]")).collect::<Vec<_>>());
        assert_eq!(winners.len(), 1);
    }
}

/// Writers that read, decide and try again all get in, and none overlooks another: no update is lost.
pub async fn writers_that_try_again_all_get_in<S: Subject>() {
    const WRITERS: u64 = 8;
    const COMMITS: u64 = 8;
    let subject = S::new().await;
    race((0..WRITERS).map(|writer| {
        let store = subject.store();
        async move {
            let mut last = 0;
            for number in 0..COMMITS {
                loop {
                    // The event says what its writer had seen: the law is that this was the truth.
                    let array = format!("[[{writer},{number},{last}]]");
                    match store.commit(commit_after("a", last, &array)).await {
                        Ok(committed) => {
                            last = committed.changeset_id.get();
                            break;
                        }
                        Err(Error::Refused(Refusal::Conflict { .. })) => {
                            last += 1;
                        }
                        Err(other) => panic!("only outdated expectations are refused here: {other:?}"),
                    }
                }
            }
        }
    }))
    .await;
    let stored = whole_stream(&subject.store(), "a").await;
    let mut given: Vec<Vec<u64>> = vec![vec![]; usize::try_from(WRITERS).unwrap()];
    for (before, changeset) in stored.iter().enumerate() {
        let [(writer, number, seen)]: [(usize, u64, usize); 1] =
            changeset.events.as_json().unwrap().read().unwrap();
        assert_eq!(seen, before, "the writer had seen everything before its changeset");
        given[writer].push(number);
    }
    let all_in_order: Vec<_> = (0..COMMITS).collect();
    assert!(given.iter().all(|numbers| *numbers == all_in_order), "each once, in order: {given:?}");
}

/// Refused commits do not pull others down that happen to be stored at the same moment.
pub async fn refusals_do_not_disturb_commits_at_the_same_time<S: Subject>() {
    let subject = S::new().await;
    append(&subject.store(), "crowded", 0, "[1]").await;
    race((0..16_u64).map(|task| {
        let store = subject.store();
        async move {
            let name = format!("own/{task}");
            for last in 0..10 {
                if task % 2 == 0 {
                    append(&store, &name, last, "[1]").await;
                } else {
                    refused(&store, commit("crowded", if last % 2 == 0 { NewStream } else { event(99) }))
                        .await;
                }
            }
        }
    }))
    .await;
    whole_log(&subject.log(), 1 + 8 * 10).await;
}

/// A store that keeps the ends of streams in memory keeps each with its own stream.
pub async fn every_stream_has_its_own_end<S: Subject>() {
    const STREAMS: u64 = 300;
    let subject = S::new().await;
    let store = subject.store();
    for last in 0..2 {
        let commits =
            (0..STREAMS).map(|at| commit_after(&format!("s{at}"), last, &format!("[{at}]"))).collect();
        for verdict in store.commit_in_order(commits).await {
            assert_eq!(verdict.unwrap().changeset_id.get(), last + 1);
        }
    }
    for at in (0..STREAMS).step_by(50) {
        let expectation = changeset(1);
        let outdated = refused(&store, commit(&format!("s{at}"), expectation)).await;
        assert_eq!(outdated, Refusal::Conflict { expectation });
        let stored = whole_stream(&store, &format!("s{at}")).await;
        assert!(stored.iter().all(|it| it.events == events(&format!("[{at}]"))), "{stored:?}");
    }
}

/// A call that is dropped half-way may be stored or not, and harms nobody; repeating it stores it once.
pub async fn a_dropped_commit_does_no_harm<S: Subject>() {
    use futures::FutureExt;
    let subject = S::new().await;
    let store = subject.store();
    for last in 0..20 {
        let commit =
            commit_after("a", last, "[1]").with_idempotency_key(format!("key-{last}").parse().unwrap());
        drop(store.commit(commit.clone()).now_or_never());
        assert_eq!(store.commit(commit).await.unwrap().changeset_id.get(), last + 1);
    }
    whole_log(&subject.log(), 20).await;
}
