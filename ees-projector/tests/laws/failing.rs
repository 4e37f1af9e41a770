//! What can't be applied is neither skipped nor half applied.

use std::sync::atomic::Ordering::SeqCst;

use ees_projector::{PausedBy, State};
use ees_store::Checkpoint;

use crate::support::{ChangingLog, Journal, TestDatabase, note, settings, start};

pub async fn a_failing_changeset_pauses_the_projection_before_it<D: TestDatabase>() {
    let (log, database, journal) = (ChangingLog::new(), D::fresh().await, Journal::new());
    for n in 0..5 {
        log.append("good", &note(&n.to_string())).await;
    }
    log.append("bad", &note("x")).await;
    log.append("good", &note("5")).await;
    journal.faults.fail("bad");
    let bench = start(&log, &database, &journal, settings());
    let status = bench.paused().await;
    assert_eq!(status.checkpoint, Checkpoint::new(5));
    let pause = status.pause.unwrap();
    let failure = pause.failure.unwrap();
    assert_eq!((pause.by, pause.reason.as_str()), (PausedBy::Failure, "no x"));
    assert_eq!(
        (failure.checkpoint, failure.stream_id.as_str(), failure.attempts),
        (Checkpoint::new(5), "bad", 3)
    );
    assert!(status.stalled.unwrap().contains("no x"));
    assert_eq!(status.lag_changesets, 2);
    assert!(status.lag_seconds > 0.0);
    assert_eq!(bench.texts("good").await.unwrap(), "0 1 2 3 4");
    assert_eq!(bench.texts("bad").await, None);

    journal.faults.mend();
    bench.handle().resume("journal", "mended").await.unwrap();
    bench.caught_up().await;
    assert_eq!(bench.texts("good").await.unwrap(), "0 1 2 3 4 5");
    assert_eq!(bench.texts("bad").await.unwrap(), "x");
    assert!(bench.counts().await.values().all(|count| *count == 1));
    let status = bench.status_when(|status| status.state == State::Following).await;
    assert_eq!((status.last_error, status.pause, status.stalled), (None, None, None));
}

pub async fn a_pause_survives_a_restart<D: TestDatabase>() {
    let (log, database, journal) = (ChangingLog::new(), D::fresh().await, Journal::new());
    log.append("bad", &note("x")).await;
    journal.faults.fail("bad");
    let bench = start(&log, &database, &journal, settings());
    let before = bench.paused().await.pause;
    bench.running.shut_down().await;
    journal.faults.mend();
    let bench = start(&log, &database, &journal, settings());
    assert_eq!(bench.paused().await.pause, before);
    assert_eq!(bench.texts("bad").await, None);
}

pub async fn an_unreadable_event_is_a_failure_not_a_skip<D: TestDatabase>() {
    let (log, database) = (ChangingLog::new(), D::fresh().await);
    log.append("s", &note("1")).await;
    log.append("s", r#"{"type":"noted","text":17}"#).await;
    log.append("s", &note("3")).await;
    let bench = start(&log, &database, &Journal::new(), settings());
    let status = bench.paused().await;
    assert_eq!(status.checkpoint, Checkpoint::new(1));
    let reason = status.pause.unwrap().reason;
    assert!(reason.contains("event 2") && reason.contains("17"), "{reason}");
    assert_eq!(bench.texts("s").await.unwrap(), "1");
}

pub async fn a_panic_is_a_failure<D: TestDatabase>() {
    let (log, database, journal) = (ChangingLog::new(), D::fresh().await, Journal::new());
    log.append("s", &note("1")).await;
    journal.faults.panic.store(true, SeqCst);
    let bench = start(&log, &database, &journal, settings());
    assert!(bench.paused().await.pause.unwrap().reason.contains("panicked: told to"));
    journal.faults.mend();
    bench.handle().resume("journal", "mended").await.unwrap();
    bench.caught_up().await;
    assert_eq!(bench.texts("s").await.unwrap(), "1");
}

pub async fn what_a_failing_batch_wrote_does_not_stay<D: TestDatabase>() {
    let (log, database, journal) = (ChangingLog::new(), D::fresh().await, Journal::new());
    log.append("bad", &note("first")).await;
    journal.faults.fail("bad");
    let bench = start(&log, &database, &journal, settings());
    bench.paused().await;
    // The journal writes before it fails.
    assert_eq!(bench.database.table("journal").await.len(), 0);
}
