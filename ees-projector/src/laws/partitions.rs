//! Streams that are dealt out to several workers, where the database can do that.

use ees_store::Checkpoint;

use super::Subject;
use super::support::{ChangingLog, Journal, fresh, note, settings, start};
use crate::database::Database;
use crate::{OperateError, Settings};

/// What the database says of itself is so.
pub async fn partitions_are_offered_as_the_database_says<S: Subject>() {
    assert_eq!(S::Database::PARTITIONS, S::CAPABILITIES.partitions);
}

/// Each stream belongs to one partition, so each event is applied once and in order; the number of partitions can
/// change. Where the database has none, one worker applies all streams, and a change is refused.
pub async fn each_event_is_applied_once_with_any_number_of_partitions<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let split = Settings { partitions: 4, ..settings() };
    let workers = [(), ()].map(|()| start(&log, &subject, &Journal::new(), split));
    for n in 0..120 {
        log.append(&format!("s{}", n % 12), &note(&n.to_string())).await;
    }
    for worker in &workers {
        worker.caught_up().await;
    }
    let [bench, _] = &workers;
    let count = if S::CAPABILITIES.partitions { 4 } else { 0 };
    assert_eq!(bench.handle().status("journal").await.unwrap().partitions.len(), count);
    let changed = bench.handle().set_partitions("journal", 2, "fewer").await;
    if S::CAPABILITIES.partitions {
        changed.unwrap();
        bench.status_when(|status| status.partitions.len() == 2).await;
    } else {
        assert!(matches!(changed, Err(OperateError::NotSupported(_))), "{changed:?}");
    }
    for n in 120..144 {
        log.append(&format!("s{}", n % 12), &note(&n.to_string())).await;
    }
    bench.caught_up().await;
    let counts = bench.counts().await;
    assert_eq!((counts.len(), counts.values().all(|count| *count == 1)), (144, true), "{counts:?}");
    let of_first: Vec<String> = (0..144).step_by(12).map(|n| n.to_string()).collect();
    assert_eq!(bench.texts("s0").await.unwrap(), of_first.join(" "));
}

/// A rebuild leaves out again what was skipped while the projection was split into partitions.
pub async fn a_rebuild_leaves_out_again_what_was_skipped_in_a_partition<S: Subject>() {
    if !S::CAPABILITIES.partitions {
        return;
    }
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    journal.faults.fail("bad");
    let bench = start(&log, &subject, &journal, Settings { partitions: 4, ..settings() });
    for stream in ["a", "bad", "b"] {
        log.append(stream, &note("x")).await;
    }
    bench.paused().await;
    bench.handle().skip("journal", Checkpoint::new(1), "it is broken").await.unwrap();
    bench.status_when(|status| status.skipped == [1] && status.checkpoint.get() == 3).await;
    bench.handle().rebuild("journal", "again").await.unwrap();
    let status = bench.status_when(|status| status.checkpoint.get() == 3).await;
    assert_eq!((status.skipped, status.pause), (vec![1], None));
    assert_eq!(bench.texts("bad").await, None);
    let audit = bench.handle().audit("journal", 1).await.unwrap().remove(0);
    assert!(audit.detail.contains("leaves out again what was skipped at checkpoint 1"), "{}", audit.detail);
}
