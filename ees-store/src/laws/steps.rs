//! What the laws do over and over: commit, read everything, wait for one another.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use futures::future::join_all;
use tokio::sync::Barrier;

use crate::{
    Changeset, ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, Error, EventStore, Events,
    Expectation, LogEntry, LogQuery, Refusal, StreamId, StreamQuery, pages,
};

/// The longest wait that every store takes; longer than [`PROMPT`], so that a missed wake-up shows.
pub(super) const WAIT: Duration = Duration::from_secs(20);
/// What happens at once happens within this time, on a machine that is busy with other tests too.
pub(super) const PROMPT: Duration = Duration::from_secs(15);
/// No law takes longer.
const TOO_LONG: Duration = Duration::from_secs(120);

pub(super) type Store = Arc<dyn EventStore>;
pub(super) type Log = Arc<dyn ChangesetLog>;

pub(super) fn stream(name: &str) -> StreamId {
    name.parse().unwrap()
}

pub(super) fn events(array: &str) -> Events {
    Events::parse(array).unwrap()
}

/// A commit of events to a stream whose last changeset is the one given.
pub(super) fn commit_after(stream_name: &str, last: u64, array: &str) -> Commit {
    let expectation = Expectation::LastChangeset(ChangesetId::new(last));
    Commit::new(stream(stream_name), expectation, events(array))
}

/// A commit that begins a stream.
pub(super) fn first(stream_name: &str, array: &str) -> Commit {
    Commit::new(stream(stream_name), Expectation::NewStream, events(array))
}

pub(super) async fn append(store: &Store, stream_name: &str, last: u64, array: &str) -> Committed {
    let committed = store.commit(commit_after(stream_name, last, array)).await.unwrap();
    assert_eq!(committed.changeset_id.get(), last + 1, "the number after the one expected");
    committed
}

/// Appends this many changesets of one event each to a stream that does not exist.
pub(super) async fn append_many(store: &Store, stream_name: &str, count: u64) {
    let commits = (0..count).map(|last| commit_after(stream_name, last, &format!("[{last}]"))).collect();
    for verdict in store.commit_in_order(commits).await {
        verdict.unwrap();
    }
}

pub(super) async fn refused(store: &Store, commit: Commit) -> Refusal {
    refusal(store.commit(commit).await)
}

pub(super) fn refusal(verdict: Result<Committed, Error>) -> Refusal {
    match verdict {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

pub(super) async fn whole_stream(store: &Store, stream_name: &str) -> Vec<Changeset> {
    part_of_stream(store, StreamQuery::all(stream(stream_name))).await
}

pub(super) async fn part_of_stream(store: &Store, query: StreamQuery) -> Vec<Changeset> {
    pages::stream_changesets(&**store, query).try_collect().await.unwrap()
}

pub(super) async fn is_missing(store: &Store, stream_name: &str) -> bool {
    let wanted = stream(stream_name);
    match store.read_stream(StreamQuery::all(wanted.clone())).await {
        Err(Error::StreamNotFound(id)) => id == wanted,
        Ok(_) => false,
        Err(other) => panic!("expected the stream, or that it is missing: {other:?}"),
    }
}

/// The log once it holds this many changesets: numbered from 0 without gaps, and nothing else.
pub(super) async fn whole_log(log: &Log, count: usize) -> Vec<LogEntry> {
    let mut all = Vec::new();
    let mut from = Checkpoint::START;
    while all.len() < count {
        let page = prompt(log.read(LogQuery::from(from, 1_000).with_wait(WAIT))).await.unwrap();
        assert!(page.next > from, "a page read with a wait moves on: {} of {count} read", all.len());
        assert!(page.head.checkpoint >= page.next, "the head is not before what was read");
        all.extend(page.changesets);
        from = page.next;
    }
    let rest = log.read(LogQuery::from(from, 1_000)).await.unwrap();
    assert_eq!((all.len(), rest.changesets), (count, vec![]), "the log holds {count} changesets");
    let places: Vec<_> = all.iter().map(|indexed| indexed.checkpoint.get()).collect();
    assert_eq!(places, (0..count as u64).collect::<Vec<_>>(), "checkpoints count from 0 without gaps");
    all
}

/// A commit's stream, number and events: enough to tell changesets apart.
pub(super) fn labels(changesets: &[LogEntry]) -> Vec<String> {
    changesets
        .iter()
        .map(|it| format!("{} {} {}", it.stream_id, it.changeset_id, it.events.as_stored()))
        .collect()
}

/// What must happen at once.
pub(super) async fn prompt<T>(what: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PROMPT, what).await {
        Ok(done) => done,
        Err(_) => panic!("not done after {PROMPT:?}"),
    }
}

/// Runs tasks that begin at the same moment, on several threads, and gives their results in order.
pub(super) async fn race<T, F>(tasks: impl IntoIterator<Item = F>) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let tasks: Vec<_> = tasks.into_iter().collect();
    let start = Arc::new(Barrier::new(tasks.len()));
    let running = tasks.into_iter().map(|task| {
        let start = start.clone();
        tokio::spawn(async move {
            start.wait().await;
            task.await
        })
    });
    match tokio::time::timeout(TOO_LONG, join_all(running)).await {
        Ok(done) => done.into_iter().map(|result| result.unwrap()).collect(),
        Err(_) => panic!("the race was not over after {TOO_LONG:?}"),
    }
}
