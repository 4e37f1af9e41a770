//! Rebuilds that read the log by segments, each stream whole and in its order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Error, LogHead, LogPage, LogQuery, SegmentPage, SegmentQuery,
    StreamId, Timestamp, memory,
};
use serde::de::IgnoredAny;

use super::Subject;
use super::partitions::{
    a_new_version_goes_live, drain_with_two_hosts, has_followed, holds_each_note_once, with_notes,
};
use super::support::{Bench, ChangingLog, Journal, LONG, append, fresh, note, parking, settings, start};
use crate::database::{Database, Transaction};
use crate::{
    Drained, Explain, Fold, InPlace, OnDemand, OperateError, Order, Parking, PartitionStatus, PreviewOptions,
    Projector, ReadModelId, Recorded, Settings, SideBySide, State, Status,
};

const BY_SEGMENTS: InPlace = InPlace { force: false, keep_skips: None, workers: None, by_segments: true };

/// A few changesets in each transaction.
fn small() -> Settings {
    Settings { batch_changesets_max: 3, span_changesets_max: 5, ..settings() }
}

/// In place and side by side, while events come: the rows are those that the log makes in its order, and the projection
/// goes on from the head of the log that was noted.
pub async fn a_rebuild_by_segments_gives_the_rows_of_the_log<S: Subject>() {
    for settings in [settings(), small()] {
        let (log, subject) = (with_notes(60).await, fresh::<S>().await);
        let bench = start(&log, &subject, &Journal::new(), settings);
        bench.caught_up().await;
        let before = subject.table("journal").await;
        bench.handle().rebuild_in_place("journal", BY_SEGMENTS, "faster").await.unwrap();
        rebuilt(&bench).await;
        assert_eq!(subject.table("journal").await, before);
        let estimate = bench.handle().estimate("journal").await.unwrap();
        assert_eq!(estimate.by_segments.is_some(), S::CAPABILITIES.side_by_side);
        if let Some(by_segments) = estimate.by_segments {
            assert!(by_segments.seconds.unwrap() > 0.0, "{by_segments:?}");
            assert_eq!(by_segments.write_units.is_some(), estimate.write_units.is_some());
        }
        assert_eq!(subject.table("journal").await, before, "an estimate leaves nothing");
        let audit = bench.handle().audit("journal", 1).await.unwrap().remove(0);
        assert_eq!((&*audit.action, &*audit.detail), ("rebuild", "up to 60, by segments"));
        let coming = async {
            for n in 60..120 {
                log.append(&format!("s{}", n % 12), &note(&n.to_string())).await;
                tokio::task::yield_now().await;
            }
        };
        let rebuilding = async {
            bench.handle().rebuild_in_place("journal", BY_SEGMENTS, "").await.unwrap();
            rebuilt(&bench).await;
        };
        tokio::join!(coming, rebuilding);
        holds_each_note_once(&bench, 120).await;
        if S::CAPABILITIES.side_by_side {
            let wanted = SideBySide { verify: true, by_segments: true, ..SideBySide::default() };
            bench.handle().rebuild_side_by_side("journal", wanted, "").await.unwrap();
            bench.status_when(has_followed).await;
            holds_each_note_once(&bench, 120).await;
            assert!(bench.handle().verify("journal").await.unwrap().is_equal());
        }
        log.append("s0", &note("120")).await;
        holds_each_note_once(&bench, 121).await;
        bench.close().await;
    }
}

/// Whenever the worker is cut off, the next one goes on: no event is left out, and none is applied twice.
pub async fn a_rebuild_by_segments_goes_on_wherever_it_was_cut_off<S: Subject>() {
    let (log, subject, journal) = (with_notes(60).await, fresh::<S>().await, Journal::new());
    let bench = start(&log, &subject, &journal, small());
    bench.caught_up().await;
    journal.faults.fail("s7");
    bench.handle().rebuild_in_place("journal", BY_SEGMENTS, "").await.unwrap();
    bench.paused().await;
    bench.close().await;
    // As the operator's command leaves it.
    let live = ReadModelId::live("journal");
    let mut tx = subject.database().begin_in(&live).await.unwrap();
    let row = tx.load(&live).await.unwrap().unwrap();
    assert!(row.segment.is_some() && row.position.next == Checkpoint::START, "{row:?}");
    let resumed = row.moved(|row| row.pause = None);
    assert!(tx.replace(&live, row.position, &resumed).await.unwrap());
    tx.commit().await.unwrap();
    let (deadline, mut cut_off, mut patience) = (Instant::now() + LONG, 0, Duration::from_micros(50));
    loop {
        let one = Settings { batch_changesets_max: 1, span_changesets_max: 1, ..settings() };
        let host = OnDemand::projection(Journal::new(), subject.database(), log.clone(), one).unwrap();
        match tokio::time::timeout(patience, host.drain_until(deadline)).await {
            Ok(Drained::CaughtUp) => break,
            // The connection of the one that was cut off may hold its lease for a moment.
            Ok(Drained::Elsewhere) => tokio::time::sleep(Duration::from_millis(5)).await,
            Ok(other) => panic!("{other:?}"),
            Err(_) => (cut_off, patience) = (cut_off + 1, patience * 9 / 8),
        }
        assert!(Instant::now() < deadline, "it does not come to its end");
    }
    assert!(cut_off > 0);
    let bench = start(&log, &subject, &Journal::new(), settings());
    holds_each_note_once(&bench, 60).await;
    bench.close().await;
}

/// As many workers as wanted, or one where they can't share a rebuild by segments.
fn workers<S: Subject>(wanted: u32) -> u32 {
    if S::Database::SEGMENT_WORKERS_MAX > 1 { wanted } else { 1 }
}

/// Where the database lets several workers share a rebuild, each reads a segment, and they join at the noted head. In the
/// end there are as many partitions as before.
pub async fn several_workers_read_a_segment_each<S: Subject>() {
    if S::Database::SEGMENT_WORKERS_MAX == 1 || !S::CAPABILITIES.side_by_side {
        return;
    }
    let of_partitions = [(1, 4), (3, 3), (4, 1), (2, 5)];
    for (partitions, workers) in
        if S::CAPABILITIES.partitions { &of_partitions[..] } else { &[(1, 4), (1, 5)] }
    {
        let (partitions, workers) = (*partitions, *workers);
        let (log, subject, journal) = (with_notes(60).await, fresh::<S>().await, Journal::new());
        let split = Settings { partitions, ..small() };
        let [bench, other] = [(), ()].map(|()| start(&log, &subject, &journal, split));
        bench.caught_up().await;
        let shown = if partitions > 1 { partitions as usize } else { 0 };
        let wanted = InPlace { workers: Some(workers), ..BY_SEGMENTS };
        bench.handle().rebuild_in_place("journal", wanted, "").await.unwrap();
        for n in 60..90 {
            log.append(&format!("s{}", n % 12), &note(&n.to_string())).await;
        }
        rebuilt(&bench).await;
        bench.status_when(|status| status.partitions.len() == shown).await;
        holds_each_note_once(&bench, 90).await;
        let wanted =
            SideBySide { verify: true, workers: Some(workers), by_segments: true, ..SideBySide::default() };
        bench.handle().rebuild_side_by_side("journal", wanted, "").await.unwrap();
        bench.status_when(has_followed).await;
        holds_each_note_once(&bench, 90).await;
        assert!(bench.handle().verify("journal").await.unwrap().is_equal());
        bench.close().await;
        other.close().await;
    }
}

/// Hosts that do not stay carry a rebuild by segments to its end, each the shares that nobody has.
pub async fn hosts_that_do_not_stay_finish_a_rebuild_by_segments<S: Subject>() {
    let (log, subject, journal) = (with_notes(60).await, fresh::<S>().await, Journal::new());
    let workers = workers::<S>(3);
    let bench = start(&log, &subject, &journal, small());
    bench.caught_up().await;
    journal.faults.fail("s3");
    let wanted = InPlace { workers: Some(workers), ..BY_SEGMENTS };
    bench.handle().rebuild_in_place("journal", wanted, "").await.unwrap();
    bench.paused().await;
    journal.faults.mend();
    bench.handle().resume("journal", "").await.unwrap();
    bench.close().await;
    drain_with_two_hosts(&subject, &log, small(), |row| {
        (row.split, row.rebuild_until, row.position.next.get()) == (None, None, 60) && row.segment.is_none()
    })
    .await;
    let bench = start(&log, &subject, &Journal::new(), settings());
    holds_each_note_once(&bench, 60).await;
    bench.close().await;
}

/// A new version goes live, although workers of the old one read segments, or have left while they did.
pub async fn a_new_version_goes_live_while_nobody_reads_the_segments_of_the_live_one<S: Subject>() {
    if !S::CAPABILITIES.side_by_side {
        return;
    }
    for (workers, stays) in [(1, false), (workers::<S>(4), false), (workers::<S>(3), true)] {
        let (log, subject, journal) = (with_notes(60).await, fresh::<S>().await, Journal::new());
        let old = start(&log, &subject, &journal, small());
        old.caught_up().await;
        journal.faults.fail("s3");
        let wanted = InPlace { workers: Some(workers), ..BY_SEGMENTS };
        old.handle().rebuild_in_place("journal", wanted, "").await.unwrap();
        old.paused().await;
        a_new_version_goes_live(old, &journal, small(), (60, 0), stays).await;
    }
}

/// A changeset that fails stops its segment, until it is mended or skipped, also where several workers would park its
/// stream in an ordinary rebuild. With one worker the stream is parked, and retried when the segment is read.
pub async fn what_fails_in_a_segment_is_retried_skipped_or_parked<S: Subject>() {
    let workers = workers::<S>(4);
    let wanted = InPlace { workers: Some(workers), ..BY_SEGMENTS };
    let expected = |from: usize| {
        let texts: Vec<String> = (0..60).skip(5).step_by(12).skip(from).map(|n: u32| n.to_string()).collect();
        texts.join(" ")
    };
    // Skipped.
    let (log, subject, journal) = (with_notes(60).await, fresh::<S>().await, Journal::new());
    let bench = start(&log, &subject, &journal, small());
    bench.caught_up().await;
    journal.faults.fail("s5");
    bench.handle().rebuild_in_place("journal", wanted, "").await.unwrap();
    let status = bench.paused().await;
    let failure = status.pause.unwrap().failure.unwrap();
    assert_eq!((failure.checkpoint.get(), failure.stream_id.as_str()), (5, "s5"));
    assert!(status.rebuild.is_some());
    let elsewhere = bench.handle().skip("journal", Checkpoint::new(17), "").await;
    assert!(elsewhere.is_err(), "only the next one can be skipped");
    journal.faults.mend();
    bench.handle().skip("journal", Checkpoint::new(5), "broken").await.unwrap();
    rebuilt(&bench).await;
    bench.caught_up().await;
    assert_eq!(bench.texts("s5").await.unwrap(), expected(1));
    assert_eq!(bench.handle().status("journal").await.unwrap().skipped, [5]);
    // Left out again.
    bench.handle().rebuild_in_place("journal", wanted, "").await.unwrap();
    rebuilt(&bench).await;
    assert_eq!(bench.texts("s5").await.unwrap(), expected(1));
    bench.close().await;
    // Parked.
    let (log, subject) = (with_notes(60).await, fresh::<S>().await);
    let (retry_after_min, retry_after_max) = (Duration::from_millis(1), Duration::from_millis(20));
    let soon = Parking { retry_after_min, retry_after_max, ..Parking::default() };
    let parked = Settings { batch_changesets_max: 3, span_changesets_max: 5, ..parking(soon) };
    let bench = start(&log, &subject, &journal, parked);
    bench.caught_up().await;
    journal.faults.fail("s5");
    if workers > 1 {
        bench.handle().rebuild_in_place("journal", wanted, "").await.unwrap();
        assert_eq!(bench.paused().await.parked_streams, 0);
    }
    let alone = InPlace { workers: Some(1), ..BY_SEGMENTS };
    bench.handle().rebuild_in_place("journal", alone, "").await.unwrap();
    rebuilt(&bench).await;
    assert_eq!(bench.texts("s5").await, None);
    log.append("s5", &note("60")).await;
    bench.caught_up().await;
    assert_eq!(bench.handle().status("journal").await.unwrap().parked_streams, 1);
    journal.faults.mend();
    bench.status_when(|status| status.parked_streams == 0).await;
    assert_eq!(bench.texts("s5").await.unwrap(), format!("{} 60", expected(0)));
    let counts = bench.counts().await;
    assert_eq!((counts.len(), counts.values().all(|count| *count == 1)), (61, true), "{counts:?}");
    bench.close().await;
}

/// What is skipped in the live read model is left out by a standby that is being built by segments, whichever of them it
/// is in.
pub async fn a_skip_reaches_the_standby_in_whichever_segment_it_is<S: Subject>() {
    if !S::CAPABILITIES.side_by_side {
        return;
    }
    let (log, subject, journal) = (with_notes(60).await, fresh::<S>().await, Journal::new());
    let bench = start(&log, &subject, &journal, small());
    bench.caught_up().await;
    let streams: Vec<_> = (0..12).map(|n| format!("s{n}")).collect();
    for stream in &streams {
        journal.faults.fail(stream);
        log.append(stream, &note("broken")).await;
    }
    bench.paused().await;
    let workers = Some(workers::<S>(4));
    let wanted = SideBySide { no_swap: true, workers, by_segments: true, ..SideBySide::default() };
    bench.handle().rebuild_side_by_side("journal", wanted, "").await.unwrap();
    // Each segment stops at its first stream, if it has any.
    let have_stopped = |status: &Status| {
        let Some(standby) = &status.standby else { return false };
        let has_stopped = |it: &PartitionStatus| it.pause.is_some() || it.checkpoint > Checkpoint::START;
        standby.state == State::Paused && standby.partitions.iter().all(has_stopped)
    };
    bench.status_when(have_stopped).await;
    for checkpoint in 60..72 {
        bench.handle().skip("journal", Checkpoint::new(checkpoint), "broken").await.unwrap();
    }
    journal.faults.mend();
    bench.handle().resume("journal__standby", "mended").await.unwrap();
    bench
        .status_when(|status| {
            status
                .standby
                .as_ref()
                .is_some_and(|standby| (standby.state, standby.checkpoint.get()) == (State::Following, 72))
        })
        .await;
    bench.handle().swap("journal", false, "").await.unwrap();
    holds_each_note_once(&bench, 60).await;
    assert_eq!(bench.handle().status("journal").await.unwrap().skipped, (60..72).collect::<Vec<_>>());
    bench.close().await;
}

/// What comes before it in the segment and is none of the subscription's is no hindrance to a skip.
pub async fn the_changeset_that_stopped_a_segment_can_be_skipped_whatever_is_before_it<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let since = Timestamp::from_micros(1_700_000_000_000_000);
    for stream in ["a", "b", "c", "d"] {
        log.append_at(since.earlier_by(Duration::from_secs(60)), stream, &note("before")).await;
    }
    log.append_at(since, "e", &note("stops")).await;
    log.append_at(since, "f", &note("follows")).await;
    let journal = Journal { since: Some(since), ..Journal::new() };
    let bench = start(&log, &subject, &journal, settings());
    bench.caught_up().await;
    journal.faults.fail("e");
    bench.handle().rebuild_in_place("journal", BY_SEGMENTS, "").await.unwrap();
    let stopped = bench.paused().await.pause.unwrap().failure.unwrap();
    assert_eq!(stopped.stream_id.as_str(), "e");
    bench.handle().skip("journal", stopped.checkpoint, "broken").await.unwrap();
    bench.status_when(|status| status.rebuild.is_none() && status.checkpoint.get() == 6).await;
    assert_eq!((bench.texts("e").await, bench.texts("f").await.as_deref()), (None, Some("follows")));
    bench.close().await;
}

/// Segments of another log, or of one that went back, are not mixed with what was read before.
pub async fn a_log_that_is_replaced_while_segments_are_read_is_noticed<S: Subject>() {
    for is_other in [true, false] {
        let (log, subject, journal) = (with_notes(60).await, fresh::<S>().await, Journal::new());
        let bench = start(&log, &subject, &journal, small());
        bench.caught_up().await;
        journal.faults.fail("s5");
        bench.handle().rebuild_in_place("journal", BY_SEGMENTS, "").await.unwrap();
        bench.paused().await;
        let other = memory::Store::new();
        let other = if is_other { other } else { other.with_identity_of(&log.store()) };
        for n in 0..if is_other { 70 } else { 30 } {
            append(&other, &format!("s{}", n % 12), &note("other")).await;
        }
        let before = subject.table("journal").await;
        log.exchange(other);
        journal.faults.mend();
        let resumed = bench.handle().resume("journal", "").await;
        if resumed.is_ok() {
            let status = bench.status_when(|status| status.state == State::Stopped).await;
            let message = status.last_error.unwrap().message;
            assert!(message.contains(if is_other { "another log" } else { "went back" }), "{message}");
        }
        assert_eq!(subject.table("journal").await, before);
        bench.close().await;
    }
}

/// A projection that needs the global order, and a log without segments, are refused, and nothing is changed. While
/// segments are read, nothing is done that needs a checkpoint.
pub async fn what_can_not_be_read_by_segments_is_refused<S: Subject>() {
    let (log, subject, journal) = (with_notes(60).await, fresh::<S>().await, Journal::new());
    let bench = start(&log, &subject, &Journal { order: Order::Log, ..Journal::new() }, settings());
    bench.caught_up().await;
    are_refused(&bench, "Order::Stream").await;
    bench.close().await;
    let mut projector = Projector::new(Arc::new(Unsegmented { log: log.clone(), has_segments: false }));
    projector.projection(Journal::new(), subject.database(), settings()).unwrap();
    let bench = Bench { log: log.clone(), subject: subject.clone(), running: projector.start() };
    bench.caught_up().await;
    are_refused(&bench, "DynamoDB").await;
    bench.close().await;
    let bench = start(&log, &subject, &journal, small());
    bench.caught_up().await;
    journal.faults.fail("s5");
    bench.handle().rebuild_in_place("journal", BY_SEGMENTS, "").await.unwrap();
    bench.paused().await;
    let refused = |answer: Result<(), OperateError>| {
        assert!(
            matches!(&answer, Err(OperateError::Failed(why)) if why.contains("by segments")),
            "{answer:?}"
        );
    };
    refused(bench.handle().set_checkpoint("journal", Checkpoint::START, Checkpoint::new(60), "").await);
    if S::CAPABILITIES.partitions {
        refused(bench.handle().set_partitions("journal", 2, "").await);
    }
    // The way out.
    bench.handle().rebuild("journal", "").await.unwrap();
    journal.faults.mend();
    bench.handle().resume("journal", "").await.ok();
    holds_each_note_once(&bench, 60).await;
    bench.close().await;
}

/// Counts the events of each stream.
#[derive(Clone, Default)]
struct Counts {
    fails: Arc<AtomicBool>,
}

impl Fold for Counts {
    type Event = IgnoredAny;
    type Key = String;
    type State = u64;

    fn name(&self) -> &str {
        "counts"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, IgnoredAny>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, count: Option<u64>, event: Recorded<'_, IgnoredAny>) -> Option<u64> {
        assert!(!self.fails.load(SeqCst) || event.stream_id().as_str() != "s5", "told to");
        Some(count.unwrap_or(0) + 1)
    }
}

/// While segments are read, the rows are those of some streams only: no row is explained, and no version compared with
/// them. A fingerprint is that of the rows in the end.
pub async fn rows_of_some_segments_are_not_taken_for_those_of_a_checkpoint<S: Subject>() {
    let (log, subject, counts) = (with_notes(60).await, fresh::<S>().await, Counts::default());
    let settings = Settings { fingerprint: true, ..small() };
    let projector = || {
        let mut projector = Projector::new(log.clone());
        projector.fold(counts.clone(), subject.database(), settings).unwrap();
        projector
    };
    let running = projector().start();
    let (handle, end) = (running.handle(), Checkpoint::new(60));
    handle.when_reached("counts", end, LONG).await.unwrap();
    let fingerprint = handle.status("counts").await.unwrap().fingerprint.unwrap();
    counts.fails.store(true, SeqCst);
    let workers = Some(workers::<S>(3));
    handle.rebuild_in_place("counts", InPlace { workers, ..BY_SEGMENTS }, "").await.unwrap();
    let deadline = Instant::now() + LONG;
    while handle.status("counts").await.unwrap().state != State::Paused {
        assert!(Instant::now() < deadline, "it does not pause");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let explained = handle.explain("counts", Explain::key("s1")).await;
    assert!(
        matches!(&explained, Err(OperateError::Failed(why)) if why.contains("by segments")),
        "{explained:?}"
    );
    if S::CAPABILITIES.side_by_side {
        let verified = handle.verify("counts").await;
        assert!(
            matches!(&verified, Err(OperateError::Failed(why)) if why.contains("by segments")),
            "{verified:?}"
        );
    }
    if S::Database::PREVIEWS && !S::CAPABILITIES.partitions {
        let preview = projector().preview("counts", PreviewOptions::default()).await;
        assert!(
            matches!(&preview, Err(OperateError::Failed(why)) if why.contains("by segments")),
            "{preview:?}"
        );
    }
    counts.fails.store(false, SeqCst);
    handle.resume("counts", "").await.unwrap();
    handle.when_reached("counts", end, LONG).await.unwrap();
    while handle.status("counts").await.unwrap().fingerprint != Some(fingerprint) {
        assert!(Instant::now() < deadline, "the fingerprint is not that of the rows");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    running.shut_down().await;
}

async fn are_refused<S: Subject>(bench: &Bench<S>, way_out: &str) {
    let rows: BTreeMap<_, _> = bench.subject.table("journal").await;
    let in_place = bench.handle().rebuild_in_place("journal", BY_SEGMENTS, "").await;
    let beside = SideBySide { by_segments: true, ..SideBySide::default() };
    let beside = bench.handle().rebuild_side_by_side("journal", beside, "").await;
    assert!(
        matches!(in_place, Err(OperateError::NotSupported(why)) if why.contains(way_out)),
        "{in_place:?}"
    );
    assert!(matches!(beside, Err(OperateError::NotSupported(_))), "{beside:?}");
    assert_eq!(bench.subject.table("journal").await, rows);
    assert_eq!(bench.handle().status("journal").await.unwrap().checkpoint.get(), 60);
}

async fn rebuilt<S: Subject>(bench: &Bench<S>) -> Status {
    bench.status_when(|status| status.rebuild.is_none() && status.checkpoint.get() >= 60).await
}

/// A rebuild in the order of the log is estimated also where the right to read segments is missing.
pub async fn an_estimate_needs_no_right_to_read_segments<S: Subject>() {
    let (log, subject) = (with_notes(60).await, fresh::<S>().await);
    let mut projector = Projector::new(Arc::new(Unsegmented { log: log.clone(), has_segments: true }));
    projector.projection(Journal::new(), subject.database(), settings()).unwrap();
    let bench = Bench { log, subject, running: projector.start() };
    bench.caught_up().await;
    let estimate = bench.handle().estimate("journal").await.unwrap();
    assert_eq!((estimate.changesets, estimate.by_segments), (60, None));
    bench.close().await;
}

/// A log whose segments can't be read: it has none, or the right to read them is missing.
struct Unsegmented {
    log: Arc<ChangingLog>,
    has_segments: bool,
}

#[async_trait]
impl ChangesetLog for Unsegmented {
    async fn read(&self, query: LogQuery) -> ees_store::Result<LogPage> {
        self.log.read(query).await
    }
    async fn locate(
        &self,
        stream: &StreamId,
        changeset: ChangesetId,
    ) -> ees_store::Result<Option<Checkpoint>> {
        self.log.locate(stream, changeset).await
    }
    async fn head(&self) -> ees_store::Result<LogHead> {
        self.log.head().await
    }
    fn has_segments(&self) -> bool {
        self.has_segments
    }
    async fn read_segment(&self, _: SegmentQuery) -> ees_store::Result<SegmentPage> {
        Err(Error::Storage { detail: "AccessDenied".to_owned(), source: "no right to scan".into() })
    }
}
