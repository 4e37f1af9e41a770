//! A stream that can't go on holds up no other.

use std::time::{Duration, Instant};

use ees_test_aws::Faults;

use super::support::{account, append, candidate, committing, indexer, labels, read, read_all, store};

#[tokio::test]
async fn a_changeset_that_can_have_no_place_holds_up_its_own_stream_only() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    for last in 0..4 {
        append(&writer, "a", last).await;
        append(&writer, "b", last).await;
    }
    let faults = Faults::none();
    faults.fill("a", 3);
    let full = indexer(&account, &faults).await;
    let all = || (1..=4).flat_map(|id| [candidate("a", id), candidate("b", id)]).collect();
    assert_eq!(full.index(all()).await.unwrap(), 6);
    assert_eq!(labels(&read(&writer).await), ["0 a1", "1 b1", "2 a2", "3 b2", "4 b3", "5 b4"]);
    // It is remembered, and so are those that come after it.
    faults.calls().take();
    append(&writer, "a", 4).await;
    assert_eq!(full.index(vec![candidate("a", 5), candidate("a", 3)]).await.unwrap(), 0);
    assert_eq!(faults.calls().total(), 0);
    // When there is room again, another one goes on with it.
    assert_eq!(indexer(&account, &Faults::none()).await.index(vec![candidate("a", 5)]).await.unwrap(), 3);
    assert_eq!(labels(&read_all(&writer, 9).await)[6..], ["6 a3", "7 a4", "8 a5"]);
}

#[tokio::test]
async fn a_sweep_goes_past_a_changeset_that_can_have_no_place() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    let faults = Faults::none();
    for number in 0..5 {
        append(&writer, &format!("s{number}"), 0).await;
    }
    faults.fill("s2", 1);
    let swept =
        indexer(&account, &faults).await.sweep(Instant::now() + Duration::from_secs(60)).await.unwrap();
    assert_eq!((swept.indexed, swept.is_done), (4, true));
}

/// A process that commits goes on with everything else, right away.
#[tokio::test]
async fn a_store_indexes_what_is_committed_beside_a_stream_that_is_full() {
    let account = account().await;
    let faults = Faults::none();
    faults.fill("full", 1);
    let store = store(&account, &faults).await;
    append(&store, "full", 0).await;
    append(&store, "a", 0).await;
    append(&store, "full", 1).await;
    append(&store, "a", 1).await;
    assert_eq!(labels(&read_all(&store, 2).await), ["0 a1", "1 a2"]);
}
