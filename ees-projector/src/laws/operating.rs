//! What operators do, and see.

use std::time::Duration;

use ees_store::{ChangesetId, Checkpoint};

use super::Subject;
use super::support::{Bench, ChangingLog, Journal, LONG, fresh, note, parking, settings, start};
use crate::{InPlace, NewVersion, OperateError, Parking, Projector, Settings, State, Status};

async fn with_notes<S: Subject>(count: usize) -> (Bench<S>, Journal) {
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    for n in 1..=count {
        log.append("s", &note(&n.to_string())).await;
    }
    let bench = start(&log, &subject, &journal, settings());
    bench.caught_up().await;
    (bench, journal)
}

/// A paused projection applies nothing until it is resumed; both are in the audit.
pub async fn a_paused_projection_stands_still_until_it_is_resumed<S: Subject>() {
    let (bench, _) = with_notes::<S>(1).await;
    bench.handle().pause("journal", "maintenance").await.unwrap();
    let status = bench.paused().await;
    assert!(status.stalled.unwrap().contains("maintenance"));
    let at = bench.log.append("s", &note("2")).await;
    let waited = bench.handle().when_reached("journal", at, Duration::from_millis(50)).await;
    assert!(matches!(waited, Err(OperateError::TimedOut { .. })));
    bench.handle().resume("journal", "done").await.unwrap();
    bench.caught_up().await;
    assert_eq!(bench.texts("s").await.unwrap(), "1 2");
    let actions: Vec<_> = bench
        .handle()
        .audit("journal", 10)
        .await
        .unwrap()
        .into_iter()
        .map(|e| (e.action, e.reason))
        .collect();
    let want = [("resume", "done"), ("pause", "maintenance")].map(|(a, r)| (a.to_owned(), r.to_owned()));
    assert_eq!(actions, want);
}

/// Every worker sees that the projection is paused and resumed.
pub async fn a_pause_and_its_end_reach_every_worker<S: Subject>() {
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    let attentive = Settings { poll_interval: Duration::from_millis(10), ..settings() };
    let [told, other] = [(), ()].map(|()| start(&log, &subject, &journal, attentive));
    told.caught_up().await;
    told.handle().pause("journal", "maintenance").await.unwrap();
    log.append("s", &note("1")).await;
    other.paused().await;
    told.handle().resume("journal", "done").await.unwrap();
    told.caught_up().await;
    told.running.shut_down().await;
    log.append("s", &note("2")).await;
    other.caught_up().await;
    assert_eq!(other.texts("s").await.unwrap(), "1 2");
}

/// The next changeset can be skipped; the audit keeps the reason.
pub async fn one_changeset_can_be_skipped_and_the_reason_is_kept<S: Subject>() {
    let (bench, journal) = with_notes::<S>(1).await;
    journal.faults.fail("s");
    let at = bench.log.append("s", &note("2")).await;
    bench.paused().await;
    journal.faults.mend();
    bench.log.append("s", &note("3")).await;
    bench.handle().skip("journal", at, "customer asked").await.unwrap();
    bench.caught_up().await;
    assert_eq!(bench.texts("s").await.unwrap(), "1 3");
    let audit = bench.handle().audit("journal", 1).await.unwrap();
    assert_eq!((audit[0].action.as_str(), audit[0].reason.as_str()), ("skip", "customer asked"));
    assert_eq!(audit[0].detail, "changeset 2 of stream \"s\"");
}

/// A rebuild leaves out again what was skipped, and says so, unless it is told to try it again.
pub async fn a_rebuild_leaves_out_again_what_was_skipped<S: Subject>() {
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    journal.faults.fail("bad");
    let bench = start(&log, &subject, &journal, settings());
    for stream in ["a", "bad", "b"] {
        log.append(stream, &note("x")).await;
    }
    let at = bench.paused().await.checkpoint;
    bench.handle().skip("journal", at, "it is broken").await.unwrap();
    bench.caught_up().await;
    bench.handle().rebuild("journal", "again").await.unwrap();
    bench.caught_up().await;
    let status = bench.status_when(|status| status.checkpoint.get() == 3).await;
    assert_eq!((status.skipped, status.pause), (vec![1], None));
    assert_eq!(bench.texts("bad").await, None);
    let audit = bench.handle().audit("journal", 1).await.unwrap().remove(0);
    assert!(audit.detail.contains("leaves out again what was skipped at checkpoint 1"), "{}", audit.detail);
    if S::CAPABILITIES.side_by_side {
        let verified = bench.handle().verify("journal").await.unwrap();
        assert!(verified.is_equal(), "{verified:?}");
    }
    journal.faults.mend();
    let trying_again = InPlace { keep_skips: Some(false), ..InPlace::default() };
    bench.handle().rebuild_in_place("journal", trying_again, "mended").await.unwrap();
    bench.caught_up().await;
    assert_eq!(bench.texts("bad").await.as_deref(), Some("x"));
    let audit = bench.handle().audit("journal", 1).await.unwrap().remove(0);
    assert!(audit.detail.contains("tries again what was skipped at checkpoint 1"), "{}", audit.detail);
    assert_eq!(bench.handle().status("journal").await.unwrap().skipped, Vec::<u64>::new());
}

/// A new version tries again what was skipped, unless its settings say that it is left out again. The audit
/// says so.
pub async fn a_new_version_keeps_earlier_skips_if_it_is_told_to<S: Subject>() {
    let beside = NewVersion::SideBySide { verify: false };
    let ways =
        [NewVersion::InPlace, beside].into_iter().take(if S::CAPABILITIES.side_by_side { 2 } else { 1 });
    for (new_version, keep_skips) in ways.flat_map(|way| [(way, true), (way, false)]) {
        let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
        journal.faults.fail("bad");
        let bench = start(&log, &subject, &journal, settings());
        for stream in ["a", "bad", "b"] {
            log.append(stream, &note("x")).await;
        }
        let at = bench.paused().await.checkpoint;
        bench.handle().skip("journal", at, "it is broken").await.unwrap();
        bench.caught_up().await;
        bench.running.shut_down().await;

        journal.faults.mend();
        let newer = Journal { version: 2, ..journal.clone() };
        let bench = start(&log, &subject, &newer, Settings { new_version, keep_skips, ..settings() });
        let done = |status: &Status| status.state == State::Following && status.checkpoint.get() == 3;
        let status = bench.status_when(done).await;
        let (skipped, text, says) = match keep_skips {
            true => (vec![1], None, "leaves out again"),
            false => (Vec::new(), Some("x"), "tries again"),
        };
        assert_eq!(status.skipped, skipped, "{new_version:?}");
        assert_eq!(bench.texts("bad").await.as_deref(), text, "{new_version:?}");
        let audit = bench.handle().audit("journal", 3).await.unwrap();
        let entry = audit.iter().find(|entry| entry.action == "new_version").unwrap();
        assert_eq!(entry.reason, "version 2 instead of 1");
        assert!(
            entry.detail.contains(&format!("{says} what was skipped at checkpoint 1")),
            "{}",
            entry.detail
        );
        bench.running.shut_down().await;
    }
}

/// Only the next changeset can be skipped; a refused skip leaves no entry in the audit.
pub async fn a_changeset_that_is_not_next_can_not_be_skipped<S: Subject>() {
    let (bench, _) = with_notes::<S>(3).await;
    for wrong in [0, 2, 3, 99] {
        let refused = bench.handle().skip("journal", Checkpoint::new(wrong), "wrong").await;
        assert_eq!(refused, Err(OperateError::NotSkippable { checkpoint: Checkpoint::new(wrong) }));
    }
    assert_eq!(bench.handle().audit("journal", 10).await.unwrap(), []);
}

/// An operator moves the checkpoint by compare-and-set, within the log.
pub async fn the_checkpoint_moves_only_from_where_it_is_believed_to_be<S: Subject>() {
    let (bench, _) = with_notes::<S>(3).await;
    bench.handle().pause("journal", "repair").await.unwrap();
    let [zero, two, three, nine] = [0, 2, 3, 9].map(Checkpoint::new);
    let refused = bench.handle().set_checkpoint("journal", two, zero, "wrong").await;
    assert_eq!(refused, Err(OperateError::Moved { checkpoint: three }));
    assert!(matches!(
        bench.handle().set_checkpoint("journal", three, nine, "past the end").await,
        Err(OperateError::PastHead { .. })
    ));
    bench.handle().set_checkpoint("journal", three, two, "the last one again").await.unwrap();
    bench.handle().resume("journal", "repaired").await.unwrap();
    bench.caught_up().await;
    assert_eq!(bench.texts("s").await.unwrap(), "1 2 3 3");
}

/// A rebuild ends in the same rows.
pub async fn a_rebuild_ends_in_the_same_rows<S: Subject>() {
    let (bench, _) = with_notes::<S>(50).await;
    let before = bench.subject.table("journal").await;
    bench.handle().rebuild("journal", "to be sure").await.unwrap();
    bench.caught_up().await;
    assert_eq!(bench.subject.table("journal").await, before);
    let status = bench.status_when(|status| status.state == State::Following).await;
    assert_eq!(status.rebuild, None);
}

/// A rebuild that is cut short goes on with the next worker.
pub async fn a_rebuild_goes_on_after_a_restart<S: Subject>() {
    let (bench, journal) = with_notes::<S>(50).await;
    let before = bench.subject.table("journal").await;
    bench.running.shut_down().await;
    let slow = Settings { batch_changesets_max: 1, ..settings() };
    let bench = start(&bench.log, &bench.subject, &journal, slow);
    bench.handle().rebuild("journal", "cut in the middle").await.unwrap();
    bench.running.shut_down().await;
    let mut bench = start(&bench.log, &bench.subject, &journal, slow);
    for _ in 0..5 {
        let at = bench.handle().status("journal").await.unwrap().checkpoint;
        if at < Checkpoint::new(45) {
            bench.handle().when_reached("journal", at.next(), LONG).await.unwrap();
        }
        bench.running.shut_down().await;
        bench = start(&bench.log, &bench.subject, &journal, slow);
    }
    bench.caught_up().await;
    assert_eq!(bench.subject.table("journal").await, before);
}

/// A changeset that is parked already is not parked twice.
pub async fn moving_back_over_parked_changesets_parks_them_once<S: Subject>() {
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    journal.faults.fail("bad");
    for stream in ["bad", "good", "bad"] {
        log.append(stream, &note("x")).await;
    }
    let patient = Parking { retry_after_min: LONG, ..Parking::default() };
    let bench = start(&log, &subject, &journal, parking(patient));
    bench.caught_up().await;
    let [one, three] = [1, 3].map(Checkpoint::new);
    bench.handle().set_checkpoint("journal", three, one, "good once more").await.unwrap();
    bench.caught_up().await;
    assert_eq!(bench.texts("good").await.unwrap(), "x x");
    assert_eq!(bench.handle().parked("journal").await.unwrap()[0].changesets, 2);
}

/// A wait ends once the write is in the read model.
pub async fn waiting_ends_when_the_own_write_is_applied<S: Subject>() {
    let (bench, _) = with_notes::<S>(0).await;
    for n in 1..=50_u64 {
        let at = bench.log.append("s", &note(&n.to_string())).await;
        if n % 2 == 0 {
            bench.handle().when_reached("journal", at, LONG).await.unwrap();
        } else {
            let stream = "s".parse().unwrap();
            bench.handle().when_applied("journal", &stream, ChangesetId::new(n), LONG).await.unwrap();
        }
        assert!(bench.texts("s").await.unwrap().ends_with(&n.to_string()));
    }
}

/// A wait for a changeset that is not in the log yet waits for that first.
pub async fn a_changeset_that_has_no_place_yet_is_waited_for<S: Subject>() {
    let (bench, _) = with_notes::<S>(0).await;
    let stream = "s".parse().unwrap();
    let early = bench.handle().when_applied("journal", &stream, ChangesetId::new(1), LONG);
    let placed = async {
        // Once it is being asked for: the first one to be polled is the one who waits.
        tokio::task::yield_now().await;
        bench.log.append("s", &note("late")).await
    };
    let (early, _) = tokio::join!(early, placed);
    early.unwrap();
    assert_eq!(bench.texts("s").await.unwrap(), "late");

    let id = ChangesetId::new(99);
    let never = bench.handle().when_applied("journal", &stream, id, Duration::from_millis(20)).await;
    assert_eq!(never, Err(OperateError::NotInLog { stream_id: stream, changeset_id: id }));
}

/// A wait that times out says where the projection stands.
pub async fn waiting_times_out_and_says_where_it_stands<S: Subject>() {
    let (bench, _) = with_notes::<S>(2).await;
    let waited = bench.handle().when_reached("journal", Checkpoint::new(7), Duration::from_millis(20)).await;
    let (checkpoint, wanted) = (Checkpoint::new(2), Checkpoint::new(7));
    assert_eq!(waited, Err(OperateError::TimedOut { checkpoint, wanted }));
}

/// An unknown name is answered with the known ones.
pub async fn an_unknown_name_is_answered_with_the_known_ones<S: Subject>() {
    let (bench, _) = with_notes::<S>(0).await;
    let error = bench.handle().status("jornal").await.unwrap_err().to_string();
    assert!(error.contains("\"jornal\"") && error.contains("there are: journal"), "{error}");
}

/// A projection that retries and does not move is reported as stalled.
pub async fn a_projection_that_does_not_move_is_reported<S: Subject>() {
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    journal.faults.fail("s");
    log.append("s", &note("1")).await;
    // Enough attempts that it does not give up while the test looks.
    let stubborn = Settings { retry: crate::Retry { times: 1_000_000, ..settings().retry }, ..settings() };
    let mut projector = Projector::new(log.clone()).with_stalled_after(Duration::from_millis(50));
    projector.projection(journal, subject.database(), stubborn).unwrap();
    let bench = Bench { log, subject, running: projector.start() };
    let reported = |status: &Status| status.stalled.is_some() && status.state == State::Retrying;
    let status = bench.status_when(reported).await;
    let why = status.stalled.unwrap();
    assert!(why.contains("1 changesets behind") && why.contains("no 1"), "{why}");
    assert!(status.last_error.unwrap().attempts > 0);
}
