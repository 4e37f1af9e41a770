//! The log by segments: together they tell the same as the log.

use std::collections::{HashMap, HashSet};

use super::Subject;
use super::racing::{TOTAL, WRITERS, follow, write};
use super::steps::{Log, append, append_many, events, first, labels, race, whole_log};
use crate::{
    Checkpoint, Error, Filter, LogEntry, LogQuery, Segment, SegmentPage, SegmentPlace, SegmentQuery, StreamId,
};

/// What the store says of itself is so.
pub async fn segments_are_offered_as_the_store_says<S: Subject>() {
    let subject = S::new().await;
    append(&subject.store(), "a", 0, "[1]").await;
    let log = subject.log();
    whole_log(&log, 1).await;
    assert_eq!(log.has_segments(), S::CAPABILITIES.reads_segments);
    let segment = Segment { index: 0, count: 1 };
    let read = log.read_segment(SegmentQuery::of(segment, Checkpoint::new(1))).await;
    match read {
        Ok(page) => {
            assert!(log.has_segments() && page.changesets.len() == 1 && page.next.is_none(), "{page:?}");
        }
        Err(error) => assert!(!log.has_segments() && matches!(error, Error::InvalidRequest(_)), "{error}"),
    }
}

/// Whatever their number, the segments hold each changeset before the place asked for once, and no other; each
/// stream is whole in one of them, and ascends.
pub async fn each_changeset_is_in_one_segment_and_each_stream_in_its_order<S: Subject>() {
    let Some((subject, whole)) = with_streams::<S>().await else { return };
    let log = subject.log();
    for (until, count, limit) in [
        (0, 2, 1_000),
        (1, 3, 1_000),
        (60, 2, 7),
        (whole.len(), 1, 1_000),
        (whole.len(), 2, 1),
        (whole.len(), 3, 4),
        (whole.len(), 7, 1_000),
    ] {
        let mut read = vec![];
        for segment in Segment::all(count) {
            let pages = pages(&log, SegmentQuery { limit, ..SegmentQuery::of(segment, place(until)) }).await;
            assert!(pages.iter().all(|page| page.changesets.len() <= limit), "{limit} at a time");
            read.push(pages.into_iter().flat_map(|page| page.changesets).collect());
        }
        holds(&whole[..until], &read);
    }
}

/// After any changeset of a segment comes the rest of it, for a reader that knows nothing else.
pub async fn a_segment_goes_on_after_any_changeset<S: Subject>() {
    let Some((subject, whole)) = with_streams::<S>().await else { return };
    let log = subject.log();
    for segment in Segment::all(2) {
        let query = SegmentQuery::of(segment, place(whole.len()));
        let all = changesets(&log, query.clone()).await;
        for (at, entry) in all.iter().enumerate().step_by(5) {
            let after = serde_json::to_string(&SegmentPlace::after(entry)).unwrap();
            let after = Some(serde_json::from_str(&after).unwrap());
            let rest = changesets(&log, SegmentQuery { after, ..query.clone() }).await;
            assert_eq!(rest, all[at + 1..], "after {entry:?}");
        }
    }
}

/// What a filter leaves out is passed, and counted; no page has more bytes than asked for, unless it holds one
/// changeset only.
pub async fn a_filter_and_bytes_cut_a_segment_and_lose_nothing<S: Subject>() {
    let Some((subject, whole)) = with_streams::<S>().await else { return };
    let log = subject.log();
    let filter = Filter::event_types(["odd"]);
    let query =
        |segment| SegmentQuery { filter: filter.clone(), ..SegmentQuery::of(segment, place(whole.len())) };
    for max_bytes in [0, 40, 10_000] {
        let (mut read, mut passed) = (vec![], 0);
        for segment in Segment::all(2) {
            let pages = pages(&log, SegmentQuery { max_bytes, ..query(segment) }).await;
            passed += pages.iter().map(|page| page.passed).sum::<u64>();
            for page in &pages {
                let bytes: usize = page.changesets.iter().map(|it| it.size_bytes()).sum();
                assert!(bytes <= max_bytes || page.changesets.len() == 1, "{bytes} bytes of {max_bytes}");
            }
            read.push(pages.into_iter().flat_map(|page| page.changesets).collect());
        }
        assert_eq!(passed, whole.len() as u64);
        let wanted: Vec<_> = whole.iter().filter(|entry| filter.accepts(entry)).cloned().collect();
        assert!(!wanted.is_empty() && wanted.len() < whole.len());
        holds(&wanted, &read);
    }
}

/// Whenever the head is noted, the segments hold all before it, also what was being given its place just then.
pub async fn segments_hold_all_before_the_head_while_writers_race<S: Subject>() {
    if !S::CAPABILITIES.reads_segments {
        return;
    }
    let subject = S::new().await;
    let (store, log) = (subject.store(), subject.log());
    let reading = async move {
        let (mut seen, mut until) = (vec![], Checkpoint::START);
        while until.get() < TOTAL as u64 {
            until = log.head().await.unwrap().checkpoint;
            let mut read = vec![];
            for segment in Segment::all(3) {
                read.push(changesets(&log, SegmentQuery::of(segment, until)).await);
            }
            seen.push((until, read));
        }
        seen
    };
    let writing = race((0..WRITERS).map(|writer| write(store.clone(), writer)));
    let (seen, _) = tokio::join!(tokio::spawn(reading), writing);
    let whole = follow(subject.log(), 1_000, LogQuery::MAX_BYTES).await;
    for (until, read) in seen.unwrap() {
        holds(&whole[..usize::try_from(until.get()).unwrap()], &read);
    }
}

fn place(at: usize) -> Checkpoint {
    Checkpoint::new(at as u64)
}

/// A log with short streams and long ones, of which some have a type and some were committed with a key.
async fn with_streams<S: Subject>() -> Option<(S, Vec<LogEntry>)> {
    if !S::CAPABILITIES.reads_segments {
        return None;
    }
    let subject = S::new().await;
    let store = subject.store();
    append_many(&store, "long", 25).await;
    let typed =
        |name: &str| first(name, "[{\"type\":\"even\"}]").with_stream_type("account".parse().unwrap());
    for number in 0..20 {
        let name = format!("s/{number}");
        let key = format!("key-{number}").parse().unwrap();
        store.commit(typed(&name).with_idempotency_key(key)).await.unwrap();
        for last in 1..=number % 5 {
            append(&store, &name, last, "[{\"type\":\"odd\",\"ä\":1}]").await;
        }
    }
    let mut more = first("last", "[1]");
    more.events = events("[{\"type\":\"odd\"},{\"type\":\"even\"}]");
    store.commit(more).await.unwrap();
    let whole = whole_log(&subject.log(), 25 + 20 + 40 + 1).await;
    Some((subject, whole))
}

/// The pages of a segment, each of which goes on where the one before it says.
async fn pages(log: &Log, mut query: SegmentQuery) -> Vec<SegmentPage> {
    let mut pages = vec![];
    loop {
        let page = log.read_segment(query.clone()).await.unwrap();
        assert!(page.next.is_none() || page.next != query.after, "a page moves on");
        query.after.clone_from(&page.next);
        pages.push(page);
        if query.after.is_none() {
            return pages;
        }
    }
}

async fn changesets(log: &Log, query: SegmentQuery) -> Vec<LogEntry> {
    pages(log, query).await.into_iter().flat_map(|page| page.changesets).collect()
}

/// The segments hold these changesets and no others: each stream in one of them, together and in its order.
fn holds(wanted: &[LogEntry], segments: &[Vec<LogEntry>]) {
    let mut owners: HashMap<&StreamId, usize> = HashMap::new();
    for (number, segment) in segments.iter().enumerate() {
        let (mut done, mut last) = (HashSet::new(), None::<&LogEntry>);
        for entry in segment {
            let owner = *owners.entry(&entry.stream_id).or_insert(number);
            assert_eq!(owner, number, "a stream is in one segment: {}", entry.stream_id);
            match last.filter(|last| last.stream_id == entry.stream_id) {
                Some(last) => assert!(last.changeset_id < entry.changeset_id, "{last:?} before {entry:?}"),
                None => assert!(done.insert(&entry.stream_id), "{} is in two pieces", entry.stream_id),
            }
            last = Some(entry);
        }
    }
    let mut read: Vec<_> = segments.iter().flatten().cloned().collect();
    read.sort_unstable_by_key(|entry| entry.checkpoint);
    assert_eq!(labels(&read), labels(wanted));
    assert_eq!(read, wanted);
}
