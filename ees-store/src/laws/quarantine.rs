//! What a store holds and nobody can read.

use std::time::Duration;

use super::Subject;
use super::steps::{Log, append, commit_after, part_of_stream, prompt, stream, whole_log, whole_stream};
use crate::{EventId, Filter, LogEntry, LogQuery, StreamQuery};

/// Texts that are no JSON, as other systems and hands have written them.
const UNREADABLE: [&str; 5] = ["[{\"n\":NaN}]", "[Infinity]", "[-Infinity]", "[1", ""];

/// Three changesets of `a`, and one of `b` after them.
async fn four<S: Subject>(subject: &S) -> Vec<LogEntry> {
    let store = subject.store();
    for last in 0..3 {
        append(&store, "a", last, &format!("[{{\"type\":\"x\",\"n\":{last}}}]")).await;
    }
    whole_log(&subject.log(), 3).await;
    append(&store, "b", 0, "[1]").await;
    whole_log(&subject.log(), 4).await
}

/// The log once its second changeset is so. A store may show a change of its storage a moment later.
async fn log_once(log: &Log, is_so: impl Fn(&LogEntry) -> bool) -> Vec<LogEntry> {
    prompt(async {
        loop {
            let all = whole_log(log, 4).await;
            if is_so(&all[1]) {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

fn is_readable(entry: &LogEntry) -> bool {
    entry.events.quarantined().is_none()
}

/// A changeset that can't be read keeps its place, its numbers and its text. Everything else is read, and the
/// stream goes on.
pub async fn what_can_not_be_read_is_quarantined_at_its_place<S: Subject>() {
    let subject = S::new().await;
    let before = four(&subject).await;
    let (store, log) = (subject.store(), subject.log());
    let damaged = (stream("a"), 2.into());
    for text in UNREADABLE {
        if !subject.replace_events(&damaged.0, damaged.1, text).await {
            return;
        }
        let is_this = |it: &LogEntry| it.events.quarantined().is_some_and(|it| it.events() == text);
        let all = log_once(&log, is_this).await;
        let quarantined = all[1].events.quarantined().unwrap();
        assert!(!quarantined.reason().is_empty());
        assert_eq!(quarantined.metadata(), "{}");
        assert_eq!((all[1].changeset_id, all[1].last_event_id()), (2.into(), EventId::new(2)));
        for at in [0, 2, 3] {
            assert_eq!(all[at], before[at]);
        }
        // A filter does not hide it: nobody knows what it holds. One by the type of streams does.
        let filter = Filter::event_types(["other"]);
        let page = log.read(LogQuery::from(0.into(), 10).with_filter(filter)).await.unwrap();
        assert_eq!(page.changesets, [all[1].clone()]);
        let filter = Filter::stream_type("other".parse().unwrap());
        let page = log.read(LogQuery::from(0.into(), 10).with_filter(filter)).await.unwrap();
        assert_eq!((page.changesets.len(), page.next), (0, 4.into()));

        let read = whole_stream(&store, "a").await;
        assert_eq!(
            read.iter().map(|it| it.events.quarantined().is_some()).collect::<Vec<_>>(),
            [false, true, false]
        );
        let of_event = StreamQuery::events(stream("a"), EventId::new(2), Some(EventId::new(2)));
        assert_eq!(part_of_stream(&store, of_event).await, read[1..2]);
        assert_eq!(log.locate(&damaged.0, damaged.1).await.unwrap(), Some(1.into()));
    }
    append(&store, "a", 3, "[4]").await;
    assert_eq!(whole_log(&log, 5).await[4].first_event_id, EventId::new(4));
}

/// Repaired in the storage, it is read again.
pub async fn what_is_repaired_is_read_again<S: Subject>() {
    let subject = S::new().await;
    let before = four(&subject).await;
    let (a, log) = (stream("a"), subject.log());
    if !subject.replace_events(&a, 2.into(), "[NaN]").await {
        return;
    }
    log_once(&log, |it| !is_readable(it)).await;
    assert!(subject.replace_events(&a, 2.into(), before[1].events.as_stored()).await);
    assert_eq!(log_once(&log, is_readable).await, before);
}

/// A store that keeps checksums notices a change after which the text is JSON as before.
pub async fn a_body_that_has_changed_is_quarantined<S: Subject>() {
    let subject = S::new().await;
    four(&subject).await;
    let changed = "[{\"type\":\"x\",\"n\":9}]";
    if !subject.replace_events(&stream("a"), 2.into(), changed).await {
        return;
    }
    let is_shown = |it: &LogEntry| it.events.as_stored() == changed;
    let all = log_once(&subject.log(), is_shown).await;
    let is_quarantined: Vec<_> = all.iter().map(|it| !is_readable(it)).collect();
    assert_eq!(is_quarantined, [false, S::CAPABILITIES.keeps_checksums, false, false]);
    let verdict = subject.store().commit(commit_after("a", 3, "[4]")).await;
    assert_eq!(verdict.unwrap().changeset_id, 4.into());
}
