//! What a store keeps when it is closed, or dies.

use std::sync::{Arc, Mutex};

use super::Subject;
use super::steps::{append, append_many, commit_after, refused, stream, whole_log, whole_stream};
use crate::{Checkpoint, Commit, Expectation, LogHead, Refusal};

fn keyed(last: u64) -> Commit {
    commit_after("a", last, &format!("[{last}]")).with_idempotency_key(format!("key-{last}").parse().unwrap())
}

/// Both ways in which a store can end.
#[derive(Clone, Copy)]
enum End {
    Closed,
    Killed,
}

impl End {
    async fn and_open_again<S: Subject>(self, subject: S) -> S {
        match self {
            Self::Closed => subject.reopen().await,
            Self::Killed => subject.crash().await,
        }
    }
}

/// A store that keeps nothing does not claim to be the one it was: it begins another log.
async fn keeps_nothing_and_says_so<S: Subject>(before: LogHead, subject: S) {
    let after = subject.log().head().await.unwrap();
    assert_ne!((after.log_id, after.incarnation), (before.log_id, before.incarnation));
    assert_eq!(after.checkpoint, Checkpoint::START);
}

/// Everything that was answered, at its place, with its time, under the log's old name and a new incarnation.
async fn everything_is_as_it_was<S: Subject>(end: End) {
    let subject = S::new().await;
    let store = subject.store();
    append_many(&store, "b", 20).await;
    for last in 0..20 {
        store.commit(keyed(last).with_stream_type("account".parse().unwrap())).await.unwrap();
    }
    let known = whole_log(&subject.log(), 40).await;
    let before = subject.log().head().await.unwrap();
    drop(store);
    let subject = end.and_open_again(subject).await;
    if !S::CAPABILITIES.reopens {
        return keeps_nothing_and_says_so(before, subject).await;
    }
    let after = subject.log().head().await.unwrap();
    assert_eq!((after.log_id, after.checkpoint), (before.log_id, before.checkpoint));
    assert_ne!(after.incarnation, before.incarnation);
    assert_eq!(whole_log(&subject.log(), 40).await, known);
    for it in &known {
        let place = subject.log().locate(&it.stream_id, it.changeset_id).await.unwrap();
        assert_eq!(place, Some(it.checkpoint));
    }
}

/// The streams' ends, their types and their times, the keys, and the next place in the order are all
/// remembered.
async fn it_goes_on_where_it_was<S: Subject>(end: End) {
    let subject = S::new().await;
    let ahead = crate::Timestamp::from_micros(crate::Timestamp::now().as_micros() + 3_600_000_000);
    let mut second = keyed(1);
    second.recorded_at = S::CAPABILITIES.keeps_given_times.then_some(ahead);
    let store = subject.store();
    store.commit(keyed(0).with_stream_type("account".parse().unwrap())).await.unwrap();
    store.commit(second).await.unwrap();
    let before = subject.log().head().await.unwrap();
    drop(store);
    let subject = end.and_open_again(subject).await;
    if !S::CAPABILITIES.reopens {
        return keeps_nothing_and_says_so(before, subject).await;
    }
    let store = subject.store();
    let expectation = Expectation::LastChangeset(1.into());
    let outdated = refused(&store, Commit::new(stream("a"), expectation, keyed(9).events)).await;
    assert_eq!(outdated, Refusal::Conflict { expectation });
    let mistyped = commit_after("a", 2, "[1]").with_stream_type("order".parse().unwrap());
    assert!(matches!(refused(&store, mistyped).await, Refusal::TypeMismatch { known: Some(_), .. }));
    assert_eq!(store.commit(keyed(0)).await.unwrap().changeset_id.get(), 1, "a repeat");
    let reused = commit_after("a", 2, "[\"other\"]").with_idempotency_key("key-1".parse().unwrap());
    assert_eq!(refused(&store, reused).await, Refusal::KeyReused);
    append(&store, "a", 2, "[2]").await;
    append(&store, "new", 0, "[1]").await;
    let read = whole_stream(&store, "a").await;
    assert!(read.is_sorted_by(|a, b| a.timestamp < b.timestamp), "{read:?}");
    whole_log(&subject.log(), 4).await;
}

/// Closed and opened again, the store has everything.
pub async fn a_reopened_store_has_everything<S: Subject>() {
    everything_is_as_it_was::<S>(End::Closed).await;
}

/// Closed and opened again, the store goes on.
pub async fn a_reopened_store_goes_on<S: Subject>() {
    it_goes_on_where_it_was::<S>(End::Closed).await;
}

/// Killed and opened again, the store has everything that was answered.
pub async fn a_killed_store_has_everything<S: Subject>() {
    everything_is_as_it_was::<S>(End::Killed).await;
}

/// Killed and opened again, the store goes on.
pub async fn a_killed_store_goes_on<S: Subject>() {
    it_goes_on_where_it_was::<S>(End::Killed).await;
}

/// Also when nothing was ever written: the log's name is made with the log, not with the first commit.
pub async fn an_empty_log_keeps_its_id<S: Subject>() {
    let mut subject = S::new().await;
    let mut known = vec![subject.log().head().await.unwrap()];
    for _ in 0..3 {
        subject = subject.reopen().await;
        known.push(subject.log().head().await.unwrap());
    }
    let same_name = known.iter().all(|head| head.log_id == known[0].log_id);
    assert_eq!(same_name, S::CAPABILITIES.reopens);
    let incarnations: std::collections::HashSet<_> = known.iter().map(|head| head.incarnation).collect();
    assert_eq!(incarnations.len(), 4, "each opening is another incarnation");
}

/// Killed in the middle of work: what was answered is there, what was not is there whole or not at all, and
/// a writer that repeats its commit under its key has it stored exactly once.
pub async fn a_store_killed_while_it_writes_loses_nothing_it_answered<S: Subject>() {
    const WRITERS: u64 = 6;
    const ENOUGH: usize = 60;
    const AT_MOST: u64 = 1_000;
    let subject = S::new().await;
    let before = subject.log().head().await.unwrap();
    let answered: Arc<Mutex<Vec<(String, u64)>>> = Arc::default();
    let (enough, reached) = tokio::sync::oneshot::channel();
    let enough = Arc::new(Mutex::new(Some(enough)));
    let of_writer = |writer: u64, last: u64| {
        commit_after(&format!("w{writer}"), last, &format!("[{writer},{last}]"))
            .with_idempotency_key(format!("key-{last}").parse().unwrap())
    };
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, answered, enough) = (subject.store(), answered.clone(), enough.clone());
            tokio::spawn(async move {
                for last in 0..AT_MOST {
                    if store.commit(of_writer(writer, last)).await.is_err() {
                        return;
                    }
                    let mut answered = answered.lock().unwrap();
                    answered.push((format!("w{writer}"), last + 1));
                    if answered.len() >= ENOUGH
                        && let Some(enough) = enough.lock().unwrap().take()
                    {
                        let _ = enough.send(());
                    }
                }
            })
        })
        .collect();
    reached.await.unwrap();
    let answered = answered.lock().unwrap().clone();
    let subject = subject.crash().await;
    for writer in writers {
        writer.abort();
        let _ = writer.await;
    }
    if !S::CAPABILITIES.reopens {
        return keeps_nothing_and_says_so(before, subject).await;
    }

    let store = subject.store();
    let mut total = 0;
    for writer in 0..WRITERS {
        let name = format!("w{writer}");
        let kept = match store.read_stream(crate::StreamQuery::all(stream(&name))).await {
            Ok(page) => page.changesets.len() as u64,
            Err(_) => 0,
        };
        let promised = answered.iter().filter(|(stream, _)| *stream == name).count() as u64;
        assert!(kept >= promised, "{name} has {kept} changesets, {promised} were answered");
        for last in 0..=kept {
            assert_eq!(store.commit(of_writer(writer, last)).await.unwrap().changeset_id.get(), last + 1);
        }
        total += kept + 1;
    }
    whole_log(&subject.log(), usize::try_from(total).unwrap()).await;
}
