//! The one global order, seen by a single writer.

use super::Subject;
use super::steps::{append, commit_after, whole_log};
use crate::LogQuery;

/// What was committed later stands later, across streams too where the store orders at the commit.
pub async fn the_order_is_that_of_the_commits<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let mut want = vec![];
    for at in 0..60_u64 {
        let name = format!("s{}", at * at % 7);
        let last = want.iter().filter(|(known, _)| *known == name).count() as u64;
        append(&store, &name, last, "[1]").await;
        want.push((name, last + 1));
    }
    let mut read: Vec<_> = whole_log(&subject.log(), 60)
        .await
        .iter()
        .map(|it| (it.stream_id.to_string(), it.changeset_id.get()))
        .collect();
    if !S::CAPABILITIES.orders_at_commit {
        // Sorting by stream keeps the order within each.
        read.sort_by(|a, b| a.0.cmp(&b.0));
        want.sort_by(|a, b| a.0.cmp(&b.0));
    }
    assert_eq!(read, want);
}

/// A commit's answer has its place, and it is there to be read. A store that orders afterwards says so by
/// answering without a place.
pub async fn a_commit_is_answered_with_its_place<S: Subject>() {
    let subject = S::new().await;
    let (store, log) = (subject.store(), subject.log());
    for last in 0..10 {
        let committed = append(&store, "a", last, &format!("[{last}]")).await;
        if !S::CAPABILITIES.orders_at_commit {
            assert_eq!(committed.checkpoint, None);
            continue;
        }
        let place = committed.checkpoint.unwrap();
        assert_eq!(log.head().await.unwrap().checkpoint, place.next());
        let page = log.read(LogQuery::from(place, 1)).await.unwrap();
        assert_eq!((page.changesets[0].checkpoint, page.next), (place, place.next()));
        assert_eq!(page.changesets[0].events.as_stored(), format!("[{last}]"));
        assert_eq!(
            log.locate(&page.changesets[0].stream_id, committed.changeset_id).await.unwrap(),
            Some(place)
        );
    }
    whole_log(&log, 10).await;
}

/// Refused commits and repeats take no place.
pub async fn refusals_and_repeats_leave_no_gap<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    for last in 0..10 {
        let commit =
            commit_after("a", last, "[1]").with_idempotency_key(format!("key-{last}").parse().unwrap());
        store.commit(commit.clone()).await.unwrap();
        store.commit(commit).await.unwrap();
        store.commit(commit_after("a", last, "[2]")).await.unwrap_err();
    }
    whole_log(&subject.log(), 10).await;
}
