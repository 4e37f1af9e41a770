//! What can't be applied is neither skipped nor half applied.

use std::sync::atomic::Ordering::SeqCst;

use ees_store::Checkpoint;

use super::Subject;
use super::support::{ChangingLog, Journal, fresh, note, parking, settings, start};
use crate::{Parking, PausedBy, State};

/// A changeset that fails pauses the projection before it, with the reason; it goes on when resumed.
pub async fn a_failing_changeset_pauses_the_projection_before_it<S: Subject>() {
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    for n in 0..5 {
        log.append("good", &note(&n.to_string())).await;
    }
    log.append("bad", &note("x")).await;
    log.append("good", &note("5")).await;
    journal.faults.fail("bad");
    let bench = start(&log, &subject, &journal, settings());
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

/// A rebuild whose last changeset is skipped has ended.
pub async fn a_rebuild_ends_whose_last_changeset_is_skipped<S: Subject>() {
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    log.append("good", &note("0")).await;
    let last = log.append("bad", &note("1")).await;
    let bench = start(&log, &subject, &journal, settings());
    bench.caught_up().await;
    journal.faults.fail("bad");
    bench.handle().rebuild("journal", "").await.unwrap();
    assert!(bench.paused().await.rebuild.is_some());
    bench.handle().skip("journal", last, "broken").await.unwrap();
    let status = bench.status_when(|status| status.state == State::Following).await;
    assert_eq!((status.checkpoint, status.rebuild), (last.next(), None));
    bench.close().await;
}

/// A pause is kept with the position, and outlives the worker.
pub async fn a_pause_survives_a_restart<S: Subject>() {
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    log.append("bad", &note("x")).await;
    journal.faults.fail("bad");
    let bench = start(&log, &subject, &journal, settings());
    let before = bench.paused().await.pause;
    bench.running.shut_down().await;
    journal.faults.mend();
    let bench = start(&log, &subject, &journal, settings());
    assert_eq!(bench.paused().await.pause, before);
    assert_eq!(bench.texts("bad").await, None);
}

/// An event of a known type that can't be read is a failure.
pub async fn an_unreadable_event_is_a_failure_not_a_skip<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    log.append("s", &note("1")).await;
    log.append("s", r#"{"type":"noted","text":17}"#).await;
    log.append("s", &note("3")).await;
    let bench = start(&log, &subject, &Journal::new(), settings());
    let status = bench.paused().await;
    assert_eq!(status.checkpoint, Checkpoint::new(1));
    let reason = status.pause.unwrap().reason;
    assert!(reason.contains("event 2") && reason.contains("17"), "{reason}");
    assert_eq!(bench.texts("s").await.unwrap(), "1");
}

/// A panic in a projection is a failure like any other.
pub async fn a_panic_is_a_failure<S: Subject>() {
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    log.append("s", &note("1")).await;
    journal.faults.panic.store(true, SeqCst);
    let bench = start(&log, &subject, &journal, settings());
    assert!(bench.paused().await.pause.unwrap().reason.contains("panicked: told to"));
    journal.faults.mend();
    bench.handle().resume("journal", "mended").await.unwrap();
    bench.caught_up().await;
    assert_eq!(bench.texts("s").await.unwrap(), "1");
}

/// A transaction that is dropped leaves no row behind.
pub async fn what_a_failing_batch_wrote_does_not_stay<S: Subject>() {
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    log.append("bad", &note("first")).await;
    journal.faults.fail("bad");
    let bench = start(&log, &subject, &journal, settings());
    bench.paused().await;
    // The journal writes before it fails.
    assert_eq!(bench.subject.table("journal").await.len(), 0);
}

/// A changeset that nobody can read is a failure, and an operator may skip it.
pub async fn a_quarantined_changeset_is_a_failure_until_it_is_skipped<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    log.append("s", &note("1")).await;
    let place = log.append_quarantined("s", 2).await;
    log.append("s", &note("3")).await;
    let bench = start(&log, &subject, &Journal::new(), settings());
    let status = bench.paused().await;
    assert_eq!(status.checkpoint, place);
    let reason = status.pause.unwrap().reason;
    assert!(reason.contains("quarantined") && reason.contains("told to be"), "{reason}");
    bench.handle().skip("journal", place, "lost").await.unwrap();
    bench.handle().resume("journal", "skipped").await.unwrap();
    bench.caught_up().await;
    assert_eq!(bench.texts("s").await.unwrap(), "1 3");
}

/// Where failures park, only the stream of a quarantined changeset waits.
pub async fn a_quarantined_changeset_parks_its_stream<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    log.append("s", &note("1")).await;
    log.append_quarantined("s", 2).await;
    log.append("s", &note("3")).await;
    log.append("other", &note("4")).await;
    let bench = start(&log, &subject, &Journal::new(), parking(Parking::default()));
    bench.caught_up().await;
    assert_eq!(
        (bench.texts("s").await.unwrap(), bench.texts("other").await.unwrap()),
        ("1".into(), "4".into())
    );
    let parked = bench.handle().parked("journal").await.unwrap();
    assert_eq!((parked.len(), parked[0].stream_id.as_str(), parked[0].changesets), (1, "s", 2));
    assert!(parked[0].error.contains("quarantined"), "{}", parked[0].error);
}
