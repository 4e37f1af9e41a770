//! Reads that wait for something to arrive.

use std::time::{Duration, Instant};

use futures::FutureExt;

use super::Subject;
use super::steps::{WAIT, append, first, prompt, race, whole_log};
use crate::{Checkpoint, Filter, Indexed, LogQuery};

fn from(checkpoint: u64) -> LogQuery {
    LogQuery::from(Checkpoint::new(checkpoint), 100).with_wait(WAIT)
}

/// Whether the commit comes before, during or after the reader's first look: the reader has it long before its
/// wait is over.
pub async fn a_waiting_reader_wakes_when_something_arrives<S: Subject>() {
    let subject = S::new().await;
    for round in 0..30 {
        let (store, log) = (subject.store(), subject.log());
        let reader = async move {
            let page = prompt(log.read(from(round))).await.unwrap();
            page.changesets.iter().map(|it| it.checkpoint.get()).collect::<Vec<_>>()
        };
        let writer = async move {
            append(&store, "a", round, "[1]").await;
            vec![round]
        };
        let read = race([reader.boxed(), writer.boxed()]).await;
        assert_eq!(read[0], [round]);
    }
}

/// Many wait, all wake, and meanwhile everybody else can read and write.
pub async fn waiting_readers_hold_nobody_up<S: Subject>() {
    const READERS: usize = 60;
    let subject = S::new().await;
    append(&subject.store(), "a", 0, "[1]").await;
    whole_log(&subject.log(), 1).await;
    let readers = (0..READERS).map(|_| {
        let log = subject.log();
        async move { log.read(from(2)).await.unwrap().changesets }.boxed()
    });
    let (store, log) = (subject.store(), subject.log());
    let writer = async move {
        prompt(append(&store, "a", 1, "[2]")).await;
        // The readers wait for checkpoint 2, and sleep through this one.
        let early = prompt(whole_log(&log, 2)).await;
        prompt(append(&store, "a", 2, "[3]")).await;
        early
    };
    let mut read = prompt(race(readers.chain([writer.boxed()]))).await;
    assert_eq!(read.pop().map(|early| early.len()), Some(2));
    for changesets in read {
        assert_eq!(changesets.iter().map(|it| it.checkpoint.get()).collect::<Vec<_>>(), [2]);
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
    let found: Vec<Option<Indexed>> = prompt(race([reader.boxed(), writer.boxed()])).await;
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
