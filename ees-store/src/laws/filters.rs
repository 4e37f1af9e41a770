//! Filters: by stream type, by event type, by both.

use super::Subject;
use super::steps::{Log, commit_after, first, whole_log};
use crate::{Checkpoint, Filter, LogEntry, LogQuery};

/// Streams of two types and of none, events of several types, written so that each filter has work.
async fn a_mixed_log<S: Subject>() -> (S, Vec<LogEntry>) {
    let subject = S::new().await;
    let store = subject.store();
    let types = [Some("account"), None, Some("order"), Some("account/ä & co")];
    for at in 0..60_u64 {
        let stream = at % 12;
        let array = match at % 5 {
            0 => r#"[{"type":"opened"}]"#,
            1 => r#"[{"n":1},{"ty\u0070e":"clo\u0073ed","type_":"opened"}]"#,
            2 => r#"["type",{"data":{"type":"opened"}},{"type":7}]"#,
            3 => r#"[{"type":"a,b&c=ä +%"},{"type":"opened"},{"type":"closed"}]"#,
            _ => r#"[{"type":"paid","type":"refunded"}]"#,
        };
        let mut commit = commit_after(&format!("s{stream}"), at / 12, array);
        commit.stream_type = types[usize::try_from(stream % 4).unwrap()].map(|name| name.parse().unwrap());
        store.commit(commit).await.unwrap();
    }
    let whole = whole_log(&subject.log(), 60).await;
    (subject, whole)
}

fn filter(stream_types: &[&str], event_types: &[&str]) -> Filter {
    let stream_types = stream_types.iter().map(|name| name.parse().unwrap()).collect();
    Filter { stream_types, ..Filter::event_types(event_types.iter().copied()) }
}

/// Reads with a filter from `from` to the end; every page moves on and passes over nothing it should have
/// given.
async fn filtered(log: &Log, from: Checkpoint, limit: usize, filter: &Filter) -> Vec<LogEntry> {
    let mut read: Vec<LogEntry> = vec![];
    let mut query = LogQuery::from(from, limit).with_filter(filter.clone());
    loop {
        let page = log.read(query.clone()).await.unwrap();
        assert!(page.changesets.len() <= limit);
        assert!(page.changesets.iter().all(|it| query.from <= it.checkpoint && it.checkpoint < page.next));
        read.extend(page.changesets);
        if page.next == page.head.checkpoint {
            return read;
        }
        assert!(page.next > query.from, "a page moves on, also when it gives nothing: {query:?}");
        query.from = page.next;
    }
}

/// Whatever is asked for, in pages of whatever length: exactly what passes, whole, in order.
pub async fn a_filter_gives_exactly_what_passes_it<S: Subject>() {
    let (subject, whole) = a_mixed_log::<S>().await;
    for (stream_types, event_types, count) in [
        (&[][..], &[][..], 60),
        (&["account"], &[], 15),
        (&["account", "order"], &[], 30),
        (&["account/ä & co"], &[], 15),
        (&["Account"], &[], 0),
        (&[], &["opened"], 24),
        (&[], &["closed"], 24),
        (&[], &["opened", "closed"], 36),
        (&[], &["paid"], 0),
        (&[], &["refunded"], 12),
        (&[], &["a,b&c=ä +%"], 12),
        (&[], &["7"], 0),
        (&["order"], &["opened"], 6),
        (&["nobody"], &["opened"], 0),
    ] {
        let filter = filter(stream_types, event_types);
        let want: Vec<_> = whole.iter().filter(|it| filter.accepts(it)).cloned().collect();
        assert_eq!(want.len(), count, "the example itself: {filter:?}");
        for limit in [1, 7, 1_000] {
            assert_eq!(filtered(&subject.log(), Checkpoint::START, limit, &filter).await, want, "{filter:?}");
        }
    }
}

/// A filtered read may begin anywhere.
pub async fn a_filter_works_from_any_checkpoint<S: Subject>() {
    let (subject, whole) = a_mixed_log::<S>().await;
    let filter = filter(&["order"], &["closed"]);
    for from in 0..=60 {
        let want: Vec<_> = whole[from..].iter().filter(|it| filter.accepts(it)).cloned().collect();
        assert_eq!(
            filtered(&subject.log(), Checkpoint::new(from as u64), 3, &filter).await,
            want,
            "from {from}"
        );
    }
}

/// A page cut by bytes cuts what passed, and goes on right there.
pub async fn a_filtered_page_cut_by_bytes_loses_nothing<S: Subject>() {
    let (subject, whole) = a_mixed_log::<S>().await;
    let filter = filter(&[], &["closed"]);
    let want: Vec<_> = whole.iter().filter(|it| filter.accepts(it)).cloned().collect();
    let mut read = vec![];
    let mut query = LogQuery { max_bytes: 100, ..LogQuery::from(Checkpoint::START, 100) }.with_filter(filter);
    while query.from.get() < 60 {
        let page = subject.log().read(query.clone()).await.unwrap();
        assert!(page.next > query.from);
        read.extend(page.changesets);
        query.from = page.next;
    }
    assert_eq!(read, want);
}

/// A reader at the head with a filter moves past what arrives and does not pass.
pub async fn what_a_filter_passes_over_does_not_hold_the_reader_back<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    for number in 0..250 {
        store.commit(first(&format!("s{number}"), r#"[{"type":"noise"}]"#)).await.unwrap();
    }
    store.commit(first("wanted", r#"[{"type":"wanted"}]"#)).await.unwrap();
    whole_log(&subject.log(), 251).await;
    let read = filtered(&subject.log(), Checkpoint::START, 10, &filter(&[], &["wanted"])).await;
    assert_eq!(read.iter().map(|it| it.checkpoint.get()).collect::<Vec<_>>(), [250]);
}
