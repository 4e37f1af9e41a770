//! What the index does not show yet is waited for.

use std::time::Duration;

use ees_store::dynamodb::TableFormat;
use ees_store::{ChangesetLog, Checkpoint, Error, EventStore, LogQuery, Timestamp};
use ees_test_aws::Faults;

use super::formats::account_with;
use super::support::{
    TABLE, WAIT, account, append, candidate, commit, committing, indexer, is_gapless_and_ordered, labels,
    read, read_all,
};

/// Every reader sees the same, however late and in whatever order the entries turn up.
#[tokio::test]
async fn a_late_entry_is_never_stepped_over() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    for last in 0..150 {
        append(&writer, &format!("s{}", last % 3), last / 3).await;
    }
    let candidates = (0..150).map(|at| candidate(&format!("s{}", at % 3), at / 3 + 1)).collect();
    assert_eq!(indexer(&account, &Faults::none()).await.index(candidates).await.unwrap(), 150);
    let known = read(&writer).await;
    is_gapless_and_ordered(&known);
    for seed in 1..6 {
        let reader = committing(&account, &Faults::seeded(seed).late(0.5, Duration::from_millis(300))).await;
        let mut seen = Vec::new();
        while seen.len() < 150 {
            let from = Checkpoint::new(seen.len() as u64);
            seen.extend(reader.read(LogQuery::from(from, 40).with_wait(WAIT)).await.unwrap().changesets);
        }
        assert_eq!(labels(&seen), labels(&known), "seed {seed}");
    }
}

/// The stripes of a page are late each by itself, and a read goes over pages: whatever its size, it goes on where the
/// one before ended.
#[tokio::test]
async fn a_log_of_several_pages_is_read_in_its_order_however_late_their_stripes_are() {
    const COUNT: u64 = 1_130;
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    let commits = (0..COUNT).map(|at| commit(&format!("s{}", at % 71), at / 71, "[1]")).collect();
    for verdict in writer.commit_in_order(commits).await {
        verdict.unwrap();
    }
    let candidates = (0..COUNT).map(|at| candidate(&format!("s{}", at % 71), at / 71 + 1)).collect();
    assert_eq!(indexer(&account, &Faults::none()).await.index(candidates).await.unwrap() as u64, COUNT);
    let known = read(&writer).await;
    is_gapless_and_ordered(&known);
    for seed in 1..4 {
        let reader = committing(&account, &Faults::seeded(seed).late(0.02, Duration::from_millis(100))).await;
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut seen = Vec::new();
        while seen.len() < known.len() {
            let from = LogQuery::from(Checkpoint::new(seen.len() as u64), rng.usize(1..1_500));
            let query = LogQuery { max_bytes: rng.usize(1..300_000), ..from };
            let page = reader.read(query.with_wait(WAIT)).await.unwrap();
            assert_eq!(page.next.get(), (seen.len() + page.changesets.len()) as u64);
            seen.extend(page.changesets);
        }
        assert_eq!(labels(&seen), labels(&known), "seed {seed}");
    }
}

/// A page ends before an entry that stays away for long, and says so: the head is further on.
#[tokio::test]
async fn a_page_ends_before_an_entry_that_stays_away() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    append(&writer, "a", 0).await;
    let indexer = indexer(&account, &Faults::none()).await;
    indexer.index(vec![candidate("a", 1)]).await.unwrap();
    let reader = committing(&account, &Faults::seeded(1).late(1.0, Duration::from_secs(3600))).await;
    let page = reader.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
    assert_eq!((page.changesets.len(), page.next.get(), page.head.checkpoint.get()), (0, 0, 1));
    // Whether the log reaches a time before it can't be told.
    let place = reader.checkpoint_at(Timestamp::now()).await;
    assert!(matches!(place, Err(Error::Unavailable(_))), "{place:?}");
}

/// The counter's own entry in the index is no changeset, wherever a page begins and ends, also over pages of
/// the index.
#[tokio::test]
async fn the_counter_is_kept_out_of_pages() {
    let account = account_with(TableFormat::V2, TABLE).await;
    let writer = committing(&account, &Faults::none()).await;
    let indexer = indexer(&account, &Faults::none()).await;
    for count in 1..=12 {
        append(&writer, "a", count - 1).await;
        indexer.index(vec![candidate("a", count)]).await.unwrap();
        let last = writer.read(LogQuery::from(Checkpoint::new(count - 1), 1)).await.unwrap();
        assert_eq!(
            (labels(&last.changesets), last.next.get()),
            (vec![format!("{} a{count}", count - 1)], count)
        );
    }
    is_gapless_and_ordered(&read_all(&writer, 12).await);
}
