//! Reading the log: pages, bounds, and that it tells the same as the streams.

use std::collections::HashSet;
use std::time::Duration;

use futures::TryStreamExt;

use super::Subject;
use super::steps::{WAIT, append, append_many, prompt, whole_log, whole_stream};
use crate::{ChangesetId, Checkpoint, LogEntry, LogQuery, pages};

/// An empty log is at its start, and reading it is no error.
pub async fn an_empty_log_ends_at_its_start<S: Subject>() {
    let subject = S::new().await;
    let log = subject.log();
    let head = log.head().await.unwrap();
    assert_eq!(head.checkpoint, Checkpoint::START);
    let page = log.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
    assert_eq!((page.changesets, page.next, page.head), (vec![], Checkpoint::START, head));
}

/// Every log has a name of its own, and keeps it.
pub async fn every_log_has_its_own_id<S: Subject>() {
    let (one, other) = (S::new().await, S::new().await);
    let (one_head, other_head) = (one.log().head().await.unwrap(), other.log().head().await.unwrap());
    assert_ne!(one_head.log_id, other_head.log_id);
    append(&one.store(), "a", 0, "[1]").await;
    whole_log(&one.log(), 1).await;
    let later = one.log().head().await.unwrap();
    assert_eq!((later.log_id, later.incarnation), (one_head.log_id, one_head.incarnation));
    let page = one.log().read(LogQuery::from(Checkpoint::START, 1)).await.unwrap();
    assert_eq!(page.head, later);
}

/// Two stores share nothing.
pub async fn two_stores_are_two_histories<S: Subject>() {
    let (one, other) = (S::new().await, S::new().await);
    append(&one.store(), "a", 0, "[1]").await;
    append(&other.store(), "a", 0, "[2]").await;
    whole_log(&one.log(), 1).await;
    let read = whole_log(&other.log(), 1).await;
    assert_eq!(read[0].events.as_stored(), "[2]");
}

/// The log holds what the streams hold, member for member.
pub async fn the_log_and_the_streams_tell_the_same<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    for (name, last) in [("a", 0), ("b", 0), ("a", 1), ("c/ä", 0), ("b", 1), ("a", 2)] {
        append(&store, name, last, &format!("[{last},{{\"type\":\"{name}\"}}]")).await;
    }
    let log = whole_log(&subject.log(), 6).await;
    for name in ["a", "b", "c/ä"] {
        let of_stream = log.iter().filter(|it| it.stream_id.as_str() == name);
        let of_stream: Vec<_> = of_stream.map(|it| it.changeset.clone()).collect();
        assert_eq!(of_stream, whole_stream(&store, name).await);
    }
}

/// A page holds as many as its limit while there are as many, and goes on where it says.
pub async fn pages_cut_by_a_limit_add_up_to_the_whole<S: Subject>() {
    const LENGTH: usize = 205;
    let subject = S::new().await;
    let log = subject.log();
    append_many(&subject.store(), "a", LENGTH as u64).await;
    let whole = whole_log(&log, LENGTH).await;
    for limit in [3, 100, 204, 205, 206, 1_000] {
        let mut from = 0;
        while from < LENGTH {
            let page = log.read(LogQuery::from(Checkpoint::new(from as u64), limit)).await.unwrap();
            let end = LENGTH.min(from + limit);
            assert_eq!(page.changesets, whole[from..end], "{limit} from {from}");
            assert_eq!(page.next.get(), end as u64, "{limit} from {from}");
            assert_eq!(page.head.checkpoint.get(), LENGTH as u64);
            from = end;
        }
    }
}

/// No page has more bytes than asked for, unless it holds one changeset only; together they are the whole.
pub async fn pages_cut_by_bytes_add_up_to_the_whole<S: Subject>() {
    let subject = S::new().await;
    let (store, log) = (subject.store(), subject.log());
    for last in 0..30 {
        let size = usize::try_from(last * last * 7 % 900).unwrap();
        append(&store, "a", last, &format!("[\"{}\"]", "x".repeat(size))).await;
    }
    let whole = whole_log(&log, 30).await;
    for max_bytes in [0, 1, 500, 2_000, 10_000] {
        let mut read: Vec<LogEntry> = vec![];
        let mut query = LogQuery { max_bytes, ..LogQuery::from(Checkpoint::START, 1_000) };
        while read.len() < whole.len() {
            let page = log.read(query.clone()).await.unwrap();
            let bytes: usize = page.changesets.iter().map(|it| it.size_bytes()).sum();
            assert!(bytes <= max_bytes || page.changesets.len() == 1, "{bytes} bytes of {max_bytes}");
            read.extend(page.changesets);
            assert_eq!(page.next.get(), read.len() as u64);
            query.from = page.next;
        }
        assert_eq!(read, whole, "{max_bytes} bytes a page");
    }
}

/// A log larger than any page is read whole, page by page.
pub async fn a_log_of_many_megabytes_reads_whole<S: Subject>() {
    let subject = S::new().await;
    let (store, log) = (subject.store(), subject.log());
    let size = S::CAPABILITIES.limit_bytes.min(256 * 1024) - 100;
    let large = format!("[\"{}\"]", "x".repeat(size));
    for number in 0..40 {
        append(&store, &format!("s{number}"), 0, &large).await;
    }
    whole_log(&log, 40).await;
    let query = LogQuery { max_bytes: usize::MAX, ..LogQuery::from(Checkpoint::START, usize::MAX) };
    let read: Vec<LogEntry> = pages::log_changesets(&*log, query).try_collect().await.unwrap();
    let ids: HashSet<_> = read.iter().map(|it| &it.stream_id).collect();
    assert_eq!((read.len(), ids.len()), (40, 40));
}

/// At the end and past it there is nothing, and the reader stays where it is.
pub async fn reading_at_or_past_the_end_gives_nothing<S: Subject>() {
    let subject = S::new().await;
    let log = subject.log();
    append_many(&subject.store(), "a", 3).await;
    whole_log(&log, 3).await;
    for from in [3, 4, 1_000_000, Checkpoint::MAX.get()] {
        let page = log.read(LogQuery::from(Checkpoint::new(from), 10)).await.unwrap();
        assert_eq!((page.changesets, page.next.get()), (vec![], from));
        assert_eq!(page.head.checkpoint.get(), 3);
    }
}

/// A read with a wait does not wait when there is something, however long it would.
pub async fn a_page_with_something_in_it_does_not_wait<S: Subject>() {
    let subject = S::new().await;
    let log = subject.log();
    append_many(&subject.store(), "a", 3).await;
    whole_log(&log, 3).await;
    for (limit, wait) in [(10, Duration::MAX), (1, Duration::from_secs(20))] {
        let page = prompt(log.read(LogQuery::from(Checkpoint::START, limit).with_wait(wait))).await.unwrap();
        assert_eq!(page.changesets.len(), limit.min(3));
    }
}

/// Every changeset is found at its place; what does not exist is found nowhere.
pub async fn each_changeset_is_located<S: Subject>() {
    let subject = S::new().await;
    let (store, log) = (subject.store(), subject.log());
    for (name, last) in [("a", 0), ("b/x", 0), ("a", 1), ("b/x", 1), ("a", 2)] {
        append(&store, name, last, "[1,2]").await;
    }
    for it in whole_log(&log, 5).await {
        assert_eq!(log.locate(&it.stream_id, it.changeset_id).await.unwrap(), Some(it.checkpoint));
    }
    for (name, id) in [("a", 0), ("a", 4), ("b/x", 3), ("none", 1), ("b", 1), ("a", ChangesetId::MAX.get())] {
        let place = log.locate(&name.parse().unwrap(), ChangesetId::new(id)).await.unwrap();
        assert_eq!(place, None, "{name} {id}");
    }
}

/// What was deleted does not hold a reader up, however much it is: a page that is empty has reached the head.
pub async fn an_empty_page_has_reached_the_head<S: Subject>() {
    const LENGTH: u64 = 30;
    for (erased, left) in [(5..25, 10), (0..12, 18), (18..30, 18)] {
        let subject = S::new().await;
        let log = subject.log();
        append_many(&subject.store(), "a", LENGTH).await;
        let mut whole = whole_log(&log, usize::try_from(LENGTH).unwrap()).await;
        if !subject.erase(erased.clone()).await {
            return;
        }
        whole.retain(|it| !erased.contains(&it.checkpoint.get()));
        assert_eq!(whole.len(), left);
        for limit in [1, 3, 7, 100] {
            let mut read = vec![];
            let mut query = LogQuery::from(Checkpoint::START, limit);
            loop {
                let page = log.read(query.clone()).await.unwrap();
                if page.changesets.is_empty() {
                    assert_eq!(page.next, page.head.checkpoint, "nothing comes after an empty page");
                    break;
                }
                assert!(page.head.checkpoint >= page.next && page.next > query.from);
                read.extend(page.changesets);
                query.from = page.next;
            }
            assert_eq!(read, whole, "{limit} at a time, without {erased:?}");
        }
        append(&subject.store(), "b", 0, "[1]").await;
        let page = log.read(LogQuery::from(Checkpoint::new(LENGTH), 1).with_wait(WAIT)).await.unwrap();
        assert_eq!(page.changesets[0].checkpoint.get(), LENGTH, "its place was never another's");
    }
}
