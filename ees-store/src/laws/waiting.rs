//! Reads that wait for something to arrive.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{Either, join, join_all, select};

use super::Subject;
use super::steps::{Log, WAIT, append, first, prompt, race, whole_log};
use crate::{Checkpoint, Filter, LogEntry, LogQuery};

fn from(checkpoint: u64) -> LogQuery {
    LogQuery::from(Checkpoint::new(checkpoint), 100).with_wait(WAIT)
}

fn places(changesets: &[LogEntry]) -> Vec<u64> {
    changesets.iter().map(|it| it.checkpoint.get()).collect()
}

/// The reader's call, once it has long begun: meanwhile others came and went.
async fn begun<T>(log: &Log, call: impl Future<Output = T> + Unpin) -> impl Future<Output = T> {
    let others = async {
        for _ in 0..50 {
            log.head().await.unwrap();
        }
    };
    match select(call, pin!(others)).await {
        Either::Right(((), call)) => call,
        Either::Left(_) => panic!("there was nothing to read yet"),
    }
}

/// The reader waits already: it wakes long before its wait is over.
pub async fn a_waiting_reader_wakes_when_something_arrives<S: Subject>() {
    let subject = S::new().await;
    let log = subject.log();
    for round in 0..5 {
        let reading = begun(&log, log.read(from(round))).await;
        let (page, _) = prompt(join(reading, append(&subject.store(), "a", round, "[1]"))).await;
        assert_eq!(places(&page.unwrap().changesets), [round]);
    }
}

/// The commit comes before, during or after the reader's first look: none of these is missed.
pub async fn nothing_arrives_unnoticed_between_looking_and_waiting<S: Subject>() {
    let subject = S::new().await;
    for round in 0..50 {
        let (store, log) = (subject.store(), subject.log());
        let reader = async move { places(&prompt(log.read(from(round))).await.unwrap().changesets) };
        let writer = async move {
            append(&store, "a", round, "[1]").await;
            vec![round]
        };
        // Who comes last to the start runs first.
        let mut racers = [reader.boxed(), writer.boxed()];
        if round % 2 == 0 {
            racers.reverse();
        }
        assert_eq!(race(racers).await, [[round], [round]]);
    }
}

/// Many wait, and meanwhile everybody else can read and write; then all wake, each with what it waited for.
pub async fn waiting_readers_hold_nobody_up<S: Subject>() {
    const READERS: usize = 60;
    let subject = S::new().await;
    let (store, log) = (subject.store(), subject.log());
    let readers = join_all((0..READERS).map(|_| log.read(from(1))));
    let readers = begun(&log, readers).await;
    let writer = async {
        // The readers wait for what comes after this one.
        append(&store, "a", 0, "[1]").await;
        whole_log(&log, 1).await;
        append(&store, "a", 1, "[2]").await;
    };
    let (pages, ()) = prompt(join(readers, writer)).await;
    for page in pages {
        assert_eq!(places(&page.unwrap().changesets), [1]);
    }
}

/// A wait is over when it is over, and not before; the page is empty and the reader where it was.
pub async fn a_wait_for_nothing_ends_empty<S: Subject>() {
    let subject = S::new().await;
    append(&subject.store(), "a", 0, "[1]").await;
    let head = whole_log(&subject.log(), 1).await.len() as u64;
    for ahead in [0, 5] {
        let wait = Duration::from_millis(200);
        let began = Instant::now();
        let page = prompt(subject.log().read(from(head + ahead).with_wait(wait))).await.unwrap();
        assert_eq!((page.changesets, page.next.get()), (vec![], head + ahead));
        assert!(began.elapsed() >= wait, "it waited {:?}", began.elapsed());
    }
}

/// A reader with a filter gets what it waits for, however much else arrives before.
pub async fn a_waiting_reader_with_a_filter_gets_what_passes<S: Subject>() {
    let subject = S::new().await;
    let (store, log) = (subject.store(), subject.log());
    let reader = async move {
        let mut query = from(0).with_filter(Filter::event_types(["wanted"]));
        loop {
            let page = log.read(query.clone()).await.unwrap();
            if let Some(found) = page.changesets.into_iter().next() {
                return Some(found);
            }
            query.from = page.next;
        }
    };
    let writer = async move {
        for number in 0..20 {
            store.commit(first(&format!("s{number}"), r#"[{"type":"noise"}]"#)).await.unwrap();
        }
        store.commit(first("wanted", r#"[{"type":"wanted"}]"#)).await.unwrap();
        None
    };
    let found: Vec<Option<LogEntry>> = prompt(race([reader.boxed(), writer.boxed()])).await;
    assert_eq!(found[0].as_ref().map(|it| it.checkpoint.get()), Some(20));
}

/// A reader that goes away while it waits leaves nothing behind.
pub async fn a_dropped_wait_does_no_harm<S: Subject>() {
    let subject = S::new().await;
    let log = subject.log();
    for _ in 0..100 {
        assert!(log.read(from(0)).now_or_never().is_none(), "there is nothing to read yet");
    }
    append(&subject.store(), "a", 0, "[1]").await;
    prompt(whole_log(&log, 1)).await;
}
