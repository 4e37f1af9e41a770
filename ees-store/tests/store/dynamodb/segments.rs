//! The log by segments, beside transactions that are under way.

use std::sync::Arc;

use ees_store::{ChangesetLog, Checkpoint, EventStore, LogEntry, Segment, SegmentQuery};
use ees_test_aws::Faults;

use super::support::{account, append, candidate, commit, committing, indexer, labels};

async fn by_segments(log: &impl ChangesetLog, count: u32, until: Checkpoint) -> Vec<LogEntry> {
    let mut read = Vec::new();
    for segment in Segment::all(count) {
        let mut query = SegmentQuery::of(segment, until);
        loop {
            let page = log.read_segment(query.clone()).await.unwrap();
            read.extend(page.changesets);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
    }
    read.sort_unstable_by_key(|entry| entry.checkpoint);
    read
}

/// The head may be seen before the places that it is behind: a transaction commits item by item. They are waited for.
#[tokio::test]
async fn a_place_before_the_head_that_is_still_being_given_is_waited_for() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    for stream in ["a", "b", "c"] {
        append(&writer, stream, 0).await;
        append(&writer, stream, 1).await;
    }
    let (slow, reading) = (Faults::none(), Faults::none());
    let indexer = indexer(&account, &slow).await;
    let reader = Arc::new(committing(&account, &reading).await);
    // The counter, and the place of the first changeset.
    slow.halt_after(&[0, 1]);
    let candidates = ["a", "b", "c"].map(|stream| candidate(stream, 1));
    let indexing = tokio::spawn(async move { indexer.index(candidates.to_vec()).await });
    slow.halted().await;
    let until = reader.head().await.unwrap().checkpoint;
    assert_eq!(until.get(), 3);
    reading.calls().take();
    let log = reader.clone();
    let read = tokio::spawn(async move { by_segments(&*log, 2, until).await });
    while reading.calls().of("TransactGetItems") < 2 && !read.is_finished() {
        tokio::task::yield_now().await;
    }
    slow.go_on();
    assert_eq!(labels(&read.await.unwrap()), ["0 a1", "1 b1", "2 c1"]);
    assert_eq!(indexing.await.unwrap().unwrap(), 3);
}

/// What has no place, or one behind the noted head, is left to who reads on from there.
#[tokio::test]
async fn what_has_no_place_yet_is_left_out() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    let keyed = commit("b", 0, "[1]").with_idempotency_key("key".parse().unwrap());
    writer.commit(keyed.with_stream_type("type".parse().unwrap())).await.unwrap();
    for last in 0..12 {
        append(&writer, "a", last).await;
    }
    let indexer = indexer(&account, &Faults::none()).await;
    indexer.index((1..=11).map(|id| candidate("a", id)).collect()).await.unwrap();
    let read = by_segments(&writer, 3, Checkpoint::new(10)).await;
    assert_eq!(labels(&read), (0..10).map(|at| format!("{at} a{}", at + 1)).collect::<Vec<_>>());
}

/// A page of a segment is one call, and says what DynamoDB charges for it.
#[tokio::test]
async fn a_segment_costs_what_it_says() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    for last in 0..100 {
        append(&writer, "a", last).await;
    }
    let candidates = (1..=100).map(|id| candidate("a", id)).collect();
    indexer(&account, &Faults::none()).await.index(candidates).await.unwrap();
    let reading = Faults::none();
    let reader = committing(&account, &reading).await;
    reading.calls().take();
    let segment = Segment { index: 0, count: 1 };
    let page = reader.read_segment(SegmentQuery::of(segment, Checkpoint::new(100))).await.unwrap();
    assert_eq!((page.changesets.len(), page.passed, page.next), (100, 100, None));
    assert_eq!(reading.calls().take().into_iter().collect::<Vec<_>>(), [("Scan".to_owned(), 1)]);
    // The emulator counts a unit for a call, whatever its size.
    assert_eq!(page.read_units, Some(1.0));
}
