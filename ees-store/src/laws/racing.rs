//! The one global order, with writers and readers racing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;

use super::Subject;
use super::steps::{Log, Store, WAIT, append, append_many, race, stream, whole_log, whole_stream};
use crate::{Checkpoint, Error, LogEntry, LogQuery, StreamQuery};

pub(super) const WRITERS: u64 = 8;
const COMMITS: u64 = 25;
pub(super) const TOTAL: usize = (WRITERS * COMMITS) as usize;

/// Appends to a stream of its own and to one that all writers share.
pub(super) async fn write(store: Store, writer: u64) {
    for number in 0..COMMITS {
        if number % 2 == 0 {
            append(&store, &format!("own/{writer}"), number / 2, &format!("[{writer},{number}]")).await;
        } else {
            append_to_shared(&store, writer, number).await;
        }
    }
}

async fn append_to_shared(store: &Store, writer: u64, number: u64) {
    let mut last = 0;
    loop {
        let commit = super::steps::commit_after("shared", last, &format!("[{writer},{number}]"));
        match store.commit(commit).await {
            Ok(_) => return,
            Err(Error::Refused(_)) => last = whole_length(store, "shared").await,
            Err(other) => panic!("expected a commit or a refusal, got {other:?}"),
        }
    }
}

async fn whole_length(store: &Store, name: &str) -> u64 {
    match store.read_stream(StreamQuery::all(stream(name))).await {
        Ok(page) => page.changesets.len() as u64,
        Err(_) => 0,
    }
}

/// Follows the log by each page's `next` until it has seen everything.
pub(super) async fn follow(log: Log, limit: usize, max_bytes: usize) -> Vec<LogEntry> {
    let mut read: Vec<LogEntry> = vec![];
    let mut query = LogQuery { max_bytes, ..LogQuery::from(Checkpoint::START, limit).with_wait(WAIT) };
    let mut head = Checkpoint::START;
    while read.len() < TOTAL {
        let page = log.read(query.clone()).await.unwrap();
        assert!(page.head.checkpoint >= head, "the head never goes back");
        assert!(page.head.checkpoint >= page.next, "nothing is read past the head");
        head = page.head.checkpoint;
        read.extend(page.changesets);
        query.from = page.next;
    }
    read
}

/// Reads the log from the start, again and again: what was read before is always there, unchanged, in front.
async fn read_again_and_again(log: Log) -> Vec<LogEntry> {
    let mut known: Vec<LogEntry> = vec![];
    while known.len() < TOTAL {
        let mut read = vec![];
        let mut from = Checkpoint::START;
        loop {
            let page = log.read(LogQuery::from(from, 60)).await.unwrap();
            if page.changesets.is_empty() {
                break;
            }
            read.extend(page.changesets);
            from = page.next;
        }
        assert_eq!(known[..], read[..known.len().min(read.len())], "what was read stays as it was");
        assert!(read.len() >= known.len(), "nothing that was read goes away");
        known = read;
        // Lets the writers run where reading never has to wait.
        tokio::task::yield_now().await;
    }
    known
}

/// Racing writers, and readers that follow by `next`, re-read from the start, read small pages and large
/// ones: all see the one sequence that is there afterwards. Nothing ever appears before a position already
/// read past.
pub async fn all_readers_see_the_same_sequence_while_writers_race<S: Subject>() {
    let subject = S::new().await;
    let writers = (0..WRITERS).map(|writer| write(subject.store(), writer).map(|()| None).boxed());
    let readers = [(1, usize::MAX), (3, 200), (1_000, usize::MAX), (10, 40)]
        .map(|(limit, max_bytes)| follow(subject.log(), limit, max_bytes).map(Some).boxed());
    let again = read_again_and_again(subject.log()).map(Some).boxed();
    let seen = race(writers.chain(readers).chain([again])).await;

    let whole = whole_log(&subject.log(), TOTAL).await;
    for sequence in seen.into_iter().flatten() {
        assert!(sequence == whole, "a reader saw another sequence:\n{sequence:?}\nnot\n{whole:?}");
    }
    each_changeset_is_there_once_and_ascends(&whole);
}

fn each_changeset_is_there_once_and_ascends(whole: &[LogEntry]) {
    let mut ends: HashMap<&str, (u64, u64)> = HashMap::new();
    for it in whole {
        let (changeset, event) = ends.entry(it.stream_id.as_str()).or_default();
        assert_eq!((it.changeset_id.get(), it.first_event_id.get()), (*changeset + 1, *event + 1), "{it:?}");
        (*changeset, *event) = (it.changeset_id.get(), it.last_event_id().get());
    }
}

/// Who reads a stream while it is written sees a part of it from its beginning, numbered without gaps.
pub async fn a_stream_read_while_it_grows_has_no_gaps<S: Subject>() {
    const LENGTH: u64 = 150;
    let subject = S::new().await;
    append(&subject.store(), "a", 0, "[0]").await;
    let readers = (0..3).map(|_| {
        let store = subject.store();
        async move {
            let mut length = 0;
            while length < LENGTH {
                let read = whole_stream(&store, "a").await;
                assert!(read.iter().zip(1..).all(|(it, id)| it.changeset_id.get() == id), "{read:?}");
                assert!(read.len() as u64 >= length, "nothing that was read goes away");
                length = read.len() as u64;
            }
        }
        .boxed()
    });
    let store = subject.store();
    let writer = async move {
        for last in 1..LENGTH {
            append(&store, "a", last, &format!("[{last}]")).await;
        }
    };
    race(readers.chain([writer.boxed()])).await;
}

/// A reader that waits for a stream finds none, and then its first changeset: never an empty stream.
pub async fn a_stream_begins_with_its_first_changeset<S: Subject>() {
    let subject = S::new().await;
    race((0..WRITERS).map(|pair| {
        let store = subject.store();
        async move {
            for number in 0..COMMITS {
                let name = format!("new/{pair}/{number}");
                let begin = append(&store, &name, 0, "[1]");
                let watch = async {
                    loop {
                        match store.read_stream(StreamQuery::all(stream(&name))).await {
                            Ok(page) => break assert_eq!(page.changesets.len(), 1, "{name} is there"),
                            Err(Error::StreamNotFound(_)) => tokio::task::yield_now().await,
                            Err(other) => panic!("expected a page or no stream, got {other:?}"),
                        }
                    }
                };
                futures::future::join(watch, begin).await;
            }
        }
    }))
    .await;
}

/// While others write, a writer finds each of its commits in the stream and at its place as soon as it is
/// answered.
pub async fn an_answered_commit_can_be_read_at_once<S: Subject>() {
    let subject = S::new().await;
    race((0..WRITERS).map(|writer| {
        let (store, log) = (subject.store(), subject.log());
        async move {
            let name = format!("own/{writer}");
            let mut place = None;
            for last in 0..COMMITS {
                let committed = append(&store, &name, last, "[1]").await;
                assert_eq!(whole_length(&store, &name).await, last + 1);
                if S::CAPABILITIES.orders_at_commit {
                    assert!(committed.checkpoint > place, "a later commit stands later");
                    place = committed.checkpoint;
                    let page = log.read(LogQuery::from(place.unwrap(), 1)).await.unwrap();
                    let read = &page.changesets[0];
                    assert_eq!((read.stream_id.as_str(), read.changeset_id.get()), (name.as_str(), last + 1));
                    assert!(log.head().await.unwrap().checkpoint > read.checkpoint);
                }
            }
        }
    }))
    .await;
    whole_log(&subject.log(), TOTAL).await;
}

/// Follows the log with a short wait or none, asking these handles in turn, until it has seen everything: no
/// page, and no head, is behind what was read already.
pub(super) async fn follow_in_turn(logs: Vec<Log>, wait: Duration, total: usize) {
    let mut seen = 0;
    let mut query = LogQuery::from(Checkpoint::START, 20).with_wait(wait);
    for log in logs.iter().cycle() {
        if seen == total {
            return;
        }
        let page = log.read(query.clone()).await.unwrap();
        let head = page.head.checkpoint;
        assert!(head >= page.next, "a page up to {} with the head at {head}", page.next);
        seen += page.changesets.len();
        query.from = page.next;
        let head = log.head().await.unwrap().checkpoint;
        assert!(head >= query.from, "the head at {head} after a page up to {}", query.from);
        if page.changesets.is_empty() {
            // Leaves the machine to the writers.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Writers, and how many changesets they append: few where each takes long.
pub(super) fn few_writers<S: Subject>() -> (u64, usize) {
    let writers = if S::CAPABILITIES.orders_at_commit { WRITERS } else { 2 };
    (writers, usize::try_from(writers * COMMITS).unwrap())
}

/// In every page the head is at least where the next one begins, and stays so: a reader that saw less would
/// take the log for an older state of itself.
pub async fn no_page_ends_behind_its_head<S: Subject>() {
    let subject = S::new().await;
    let (writers, total) = few_writers::<S>();
    let writers = (0..writers).map(|writer| write(subject.store(), writer).boxed());
    let readers = [0, 2]
        .map(|millis| follow_in_turn(vec![subject.log()], Duration::from_millis(millis), total).boxed());
    race(writers.chain(readers)).await;
}

/// Locating and reading agree while the log grows.
pub async fn changesets_are_located_where_they_are_read<S: Subject>() {
    let subject = S::new().await;
    let done = Arc::new(AtomicBool::new(false));
    let (store, finished) = (subject.store(), done.clone());
    let writer = async move {
        for batch in 0..20 {
            append_many(&store, &format!("s{batch}"), 10).await;
        }
        finished.store(true, Ordering::Release);
    };
    let log = subject.log();
    let reader = async move {
        let mut from = Checkpoint::START;
        while !done.load(Ordering::Acquire) {
            let page = log.read(LogQuery::from(from, 50)).await.unwrap();
            if let Some(it) = page.changesets.last() {
                assert_eq!(log.locate(&it.stream_id, it.changeset_id).await.unwrap(), Some(it.checkpoint));
            }
            from = page.next;
            tokio::task::yield_now().await;
        }
    };
    race([writer.boxed(), reader.boxed()]).await;
    whole_log(&subject.log(), 200).await;
}
