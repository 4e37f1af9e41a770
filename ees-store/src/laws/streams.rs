//! Reading one stream: ranges and pages.

use super::Subject;
use super::steps::{append, append_many, commit_after, is_missing, part_of_stream, stream, whole_stream};
use crate::{Changeset, ChangesetId, EventId, Json, StreamId, StreamQuery, StreamRange};

fn changesets(from: u64, to: Option<u64>) -> StreamQuery {
    StreamQuery::changesets(stream("a"), from.into(), to.map(ChangesetId::new))
}

fn events(from: u64, to: Option<u64>) -> StreamQuery {
    StreamQuery::events(stream("a"), from.into(), to.map(EventId::new))
}

fn numbers(changesets: &[Changeset]) -> Vec<u64> {
    changesets.iter().map(|it| it.changeset_id.get()).collect()
}

/// By whichever range it is asked for, and however it looks like one that exists.
pub async fn a_stream_nobody_wrote_to_is_not_found<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    append(&store, "a", 0, "[1]").await;
    for name in ["b", "A", "a ", "a/", "aa"] {
        assert!(is_missing(&store, name).await, "{name:?}");
        let query = StreamQuery::events(stream(name), EventId::new(1), None);
        assert!(store.read_stream(query).await.is_err(), "{name:?}");
        let empty = StreamQuery::changesets(stream(name), ChangesetId::new(2), Some(ChangesetId::new(1)));
        assert!(store.read_stream(empty).await.is_err(), "{name:?}");
    }
}

/// Both ends are included; 0 is the beginning; no end is the end.
pub async fn a_range_of_changesets_includes_both_ends<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    append_many(&store, "a", 9).await;
    for from in 0..=11 {
        for to in (0..=11).map(Some).chain([None]) {
            let want: Vec<_> = (1..=9).filter(|&id| id >= from && to.is_none_or(|to| id <= to)).collect();
            let page = store.read_stream(changesets(from, to)).await.unwrap();
            assert_eq!((numbers(&page.changesets), page.next), (want, None), "{from} to {to:?}");
        }
    }
}

/// A range by events gives the changesets that hold one of them, whole, wherever it begins and ends.
pub async fn a_range_of_events_gives_whole_changesets<S: Subject>() {
    const SIZES: [u64; 6] = [1, 3, 2, 5, 1, 4];
    let subject = S::new().await;
    let store = subject.store();
    let mut spans = vec![];
    let mut first = 1;
    for (last, size) in (0..).zip(SIZES) {
        let array = format!("{:?}", (first..first + size).collect::<Vec<_>>());
        append(&store, "a", last, &array).await;
        spans.push((last + 1, first, first + size - 1));
        first += size;
    }
    for from in 0..=first + 1 {
        for to in (0..=first + 1).map(Some).chain([None]) {
            let within = |&&(_, first, last): &&(u64, u64, u64)| {
                last >= from && to.is_none_or(|to| first <= to && from.max(1) <= to)
            };
            let want: Vec<_> = spans.iter().filter(within).copied().collect();
            let page = store.read_stream(events(from, to)).await.unwrap();
            let got: Vec<_> = page
                .changesets
                .iter()
                .map(|it| (it.changeset_id.get(), it.first_event_id.get(), it.last_event_id().get()))
                .collect();
            assert_eq!((got, page.next), (want, None), "events {from} to {to:?}");
        }
    }
}

/// The largest numbers are no special case.
pub async fn the_largest_numbers_are_ordinary_bounds<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    append(&store, "a", 0, "[1]").await;
    let max = ChangesetId::MAX.get();
    for (query, count) in [
        (changesets(0, Some(max)), 1),
        (changesets(max, None), 0),
        (changesets(max, Some(max)), 0),
        (events(0, Some(max)), 1),
        (events(max, None), 0),
        (events(max, Some(max)), 0),
    ] {
        for max_bytes in [StreamQuery::MAX_BYTES, usize::MAX] {
            let query = StreamQuery { max_bytes, ..query.clone() };
            let page = store.read_stream(query.clone()).await.unwrap();
            assert_eq!((page.changesets.len(), page.next), (count, None), "{query:?}");
        }
    }
}

/// A page holds as many as its limit while there are as many, says where the rest begins, and the pages
/// together are the whole: nothing twice, nothing missing.
pub async fn pages_cut_by_a_limit_add_up_to_the_whole<S: Subject>() {
    const LENGTH: u64 = 300;
    let subject = S::new().await;
    let store = subject.store();
    append_many(&store, "a", LENGTH).await;
    for limit in [7, 100, 299, 300, 301] {
        let mut from = 1;
        loop {
            let page = store.read_stream(changesets(from, None).with_limit(limit)).await.unwrap();
            let end = LENGTH.min(from + limit as u64 - 1);
            assert_eq!(numbers(&page.changesets), (from..=end).collect::<Vec<_>>(), "limit {limit}");
            let rest = (end < LENGTH).then_some(ChangesetId::new(end + 1));
            assert_eq!(page.next, rest, "limit {limit}");
            let Some(next) = rest else { break };
            from = next.get();
        }
    }
}

/// A cut page whose range ends where the page does is complete.
pub async fn a_page_that_reaches_the_end_of_its_range_is_not_cut<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    append_many(&store, "a", 10).await;
    for (query, next) in [
        (changesets(2, Some(4)), None),
        (changesets(2, Some(5)), Some(ChangesetId::new(5))),
        (events(2, Some(4)), None),
        (events(2, Some(5)), Some(ChangesetId::new(5))),
    ] {
        let page = store.read_stream(query.clone().with_limit(3)).await.unwrap();
        assert_eq!((numbers(&page.changesets), page.next), (vec![2, 3, 4], next), "{query:?}");
    }
}

/// No page has more bytes than asked for, unless it holds one changeset only; together they are the whole.
pub async fn pages_cut_by_bytes_add_up_to_the_whole<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    for last in 0..30 {
        let size = usize::try_from(last * last * 7 % 900).unwrap();
        append(&store, "a", last, &format!("[\"{}\",{last}]", "x".repeat(size))).await;
    }
    let whole = whole_stream(&store, "a").await;
    assert_eq!(numbers(&whole), (1..=30).collect::<Vec<_>>());
    for max_bytes in [0, 1, 500, 2_000, 10_000] {
        let mut read = vec![];
        let mut query = StreamQuery { max_bytes, ..changesets(0, None) };
        loop {
            let page = store.read_stream(query.clone()).await.unwrap();
            let bytes: usize = page.changesets.iter().map(Changeset::size_bytes).sum();
            assert!(bytes <= max_bytes || page.changesets.len() == 1, "{bytes} bytes of {max_bytes}");
            read.extend(page.changesets);
            let Some(next) = page.next else { break };
            assert_eq!(next.get(), read.len() as u64 + 1);
            query.range = StreamRange::Changesets { from: next, to: None };
        }
        assert_eq!(read, whole, "{max_bytes} bytes a page");
    }
}

/// A stream larger than any page reads whole, and is cut with a word about it, never in silence.
pub async fn a_stream_of_many_megabytes_reads_whole<S: Subject>() {
    const CHANGESETS: u64 = 40;
    let subject = S::new().await;
    let store = subject.store();
    let size = S::CAPABILITIES.limit_bytes.min(256 * 1024) - 100;
    let text = "x".repeat(size);
    for last in 0..CHANGESETS {
        append(&store, "a", last, &format!("[\"{text}\",{last}]")).await;
    }
    let page = store.read_stream(StreamQuery::all(stream("a"))).await.unwrap();
    let cut = page.next.map_or(CHANGESETS, |next| next.get() - 1);
    assert_eq!(page.changesets.len() as u64, cut);
    for query in [changesets(0, None), events(0, None), events(2, None)] {
        let read = part_of_stream(&store, query.clone()).await;
        assert_eq!(numbers(&read), (1..=CHANGESETS).collect::<Vec<_>>(), "{query:?}");
        assert!(read.iter().all(|it| it.size_bytes() > size));
    }
}

/// A changeset reads back with everything that belongs to it.
pub async fn a_changeset_reads_back_with_all_its_members<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let commit = commit_after("a", 0, r#"[{"type":"opened"},2]"#)
        .with_metadata(Json::parse(r#"{"user":"ada"}"#).unwrap())
        .unwrap()
        .with_stream_type("account".parse().unwrap());
    store.commit(commit).await.unwrap();
    append(&store, "a", 1, "[3]").await;
    let stored = whole_stream(&store, "a").await;
    let account = Some("account".parse().unwrap());
    let want: [(StreamId, u64, u64, &str, &str); 2] = [
        (stream("a"), 1, 1, r#"[{"type":"opened"},2]"#, r#"{"user":"ada"}"#),
        (stream("a"), 2, 3, "[3]", "{}"),
    ];
    assert_eq!(stored.len(), 2);
    for (it, (stream_id, changeset_id, first_event_id, events, metadata)) in stored.iter().zip(want) {
        assert_eq!((&it.stream_id, it.changeset_id.get()), (&stream_id, changeset_id));
        assert_eq!((it.first_event_id.get(), it.events.as_stored()), (first_event_id, events));
        assert_eq!(it.events.count() as usize, it.events.iter().unwrap().count());
        assert_eq!((it.metadata.as_str(), &it.stream_type), (metadata, &account));
    }
}
