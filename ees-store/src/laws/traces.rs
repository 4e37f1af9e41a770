//! The trace that a commit belongs to, beside its changeset.

use super::Subject;
use super::steps::{
    append, append_many, commit_after, first, part_of_stream, stream, whole_log, whole_stream,
};
use crate::{Changeset, Commit, EventId, Filter, Json, LogEntry, LogQuery, StreamQuery, TraceContext};

/// A trace with this number.
fn trace(number: u64, tracestate: Option<&str>) -> TraceContext {
    let traceparent = format!("00-4bf92f3577b34da6{number:016x}-00f067aa0ba902b7-{:02x}", number % 2);
    TraceContext::from_headers(&traceparent, tracestate).unwrap()
}

/// The longest there is.
fn longest() -> TraceContext {
    let longest = trace(1, Some(&format!("{}={},b={}", "a".repeat(200), "~".repeat(256), "!".repeat(52))));
    assert_eq!(longest.as_stored().len(), TraceContext::STORED_MAX);
    longest
}

fn traces<'a>(changesets: impl IntoIterator<Item = &'a Changeset>) -> Vec<Option<TraceContext>> {
    changesets.into_iter().map(|it| it.trace.clone()).collect()
}

fn traces_of_log(log: &[LogEntry]) -> Vec<Option<TraceContext>> {
    traces(log.iter().map(|entry| &entry.changeset))
}

/// With and without `tracestate`, and none where none was given. In the stream and in the log, filtered or not.
pub async fn a_trace_comes_back_wherever_a_changeset_does<S: Subject>() {
    let subject = S::new().await;
    let (store, log) = (subject.store(), subject.log());
    let given = [
        Some(trace(1, None)),
        None,
        Some(trace(2, Some("vendor=a b;c, tenant@other=\"1\""))),
        Some(longest()),
        None,
    ];
    for (last, trace) in (0..).zip(&given) {
        let commit = commit_after("a", last, r#"[{"type":"x"}]"#);
        store.commit(Commit { trace: trace.clone(), ..commit }).await.unwrap();
    }
    assert_eq!(traces(&whole_stream(&store, "a").await), given);
    let of_events = StreamQuery::events(stream("a"), EventId::new(2), Some(EventId::new(4)));
    assert_eq!(traces(&part_of_stream(&store, of_events).await), given[1..4]);
    assert_eq!(traces_of_log(&whole_log(&log, 5).await), given);
    let filtered = LogQuery::from(0.into(), 10).with_filter(Filter::event_types(["x"]));
    assert_eq!(traces_of_log(&log.read(filtered).await.unwrap().changesets), given);
}

/// The metadata is what the committer gave, even if it has members of these names.
pub async fn a_trace_leaves_metadata_alone<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let texts = ["{}", r#"{"traceparent":"mine","trace_context":1.0,"tracestate":null,"traceparent":2}"#];
    for (last, text) in (0..).zip(texts) {
        let commit = commit_after("a", last, "[1]").with_metadata(Json::parse(text).unwrap()).unwrap();
        store.commit(commit.with_trace(trace(last, Some("a=1")))).await.unwrap();
    }
    let read = whole_stream(&store, "a").await;
    assert_eq!(read.iter().map(|it| it.metadata.as_str()).collect::<Vec<_>>(), texts);
    let log = whole_log(&subject.log(), 2).await;
    assert!(log.iter().map(|it| &it.changeset).eq(&read));
}

/// More than a short page, on streams with and without a type, with and without keys.
pub async fn each_commit_of_a_batch_has_a_trace_of_its_own<S: Subject>() {
    let subject = S::new().await;
    let (store, log) = (subject.store(), subject.log());
    let commits = (0..250).map(|number| {
        let mut commit = commit_after(["a", "typed"][number as usize % 2], number / 2, "[1]");
        commit.trace = (number % 3 > 0).then(|| trace(number, (number % 5 == 0).then_some("a=1")));
        commit.stream_type = (number == 1).then(|| "t".parse().unwrap());
        commit.idempotency_key = (number % 7 == 0).then(|| format!("key-{number}").parse().unwrap());
        commit
    });
    let commits: Vec<_> = commits.collect();
    for verdict in store.commit_in_order(commits.clone()).await {
        verdict.unwrap();
    }
    append_many(&store, "b", 2).await;
    let all = whole_log(&log, 252).await;
    for (at, name) in ["a", "typed"].into_iter().enumerate() {
        let given: Vec<_> = commits.iter().skip(at).step_by(2).map(|it| it.trace.clone()).collect();
        assert_eq!(traces(&whole_stream(&store, name).await), given);
        let in_log = all.iter().filter(|it| it.stream_id.as_str() == name).map(|it| &it.changeset);
        assert_eq!(traces(in_log), given);
    }
    assert_eq!(traces(&whole_stream(&store, "b").await), [None, None]);
}

/// A store that reopens has them afterwards.
pub async fn a_reopened_store_has_the_traces<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    store.commit(first("a", "[1]").with_trace(longest())).await.unwrap();
    append(&store, "a", 1, "[2]").await;
    let before = whole_stream(&store, "a").await;
    assert_eq!(traces(&before), [Some(longest()), None]);
    if !S::CAPABILITIES.reopens {
        return;
    }
    drop(store);
    let subject = subject.reopen().await;
    assert_eq!(whole_stream(&subject.store(), "a").await, before);
}

/// A repeat is the same commit, whatever trace it comes with.
pub async fn a_repeat_keeps_the_trace_of_the_first<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let keyed = |key: &str, last| commit_after("a", last, "[1]").with_idempotency_key(key.parse().unwrap());
    let traced = store.commit(keyed("traced", 0).with_trace(trace(1, None))).await.unwrap();
    let plain = store.commit(keyed("plain", 1)).await.unwrap();
    for again in [Some(trace(2, Some("a=1"))), None] {
        let repeat = |key, last| Commit { trace: again.clone(), ..keyed(key, last) };
        assert_eq!(store.commit(repeat("traced", 0)).await.unwrap(), traced);
        assert_eq!(store.commit(repeat("plain", 1)).await.unwrap(), plain);
    }
    assert_eq!(traces(&whole_stream(&store, "a").await), [Some(trace(1, None)), None]);
}

/// The limit is about events and metadata.
pub async fn the_largest_changeset_has_room_for_the_longest_trace<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let commit = first("a", &format!("[\"{}\"]", "x".repeat(S::CAPABILITIES.limit_bytes - 6)));
    let commit = commit.with_trace(longest()).with_stream_type("t".parse().unwrap());
    assert_eq!(commit.size_bytes(), S::CAPABILITIES.limit_bytes);
    store.commit(commit).await.unwrap();
    append(&store, "a", 1, "[1]").await;
    let log = whole_log(&subject.log(), 2).await;
    assert_eq!(traces_of_log(&log), [Some(longest()), None]);
}
