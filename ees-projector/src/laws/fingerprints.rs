//! The fingerprint that a fold keeps of its rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ees_store::{ChangesetLog, Checkpoint};
use serde::Deserialize;
use serde_json::json;

use super::Subject;
use super::columns::{Edge, edges};
use super::stream_rebuilds::forge;
use super::support::{Bench, ChangingLog, Journal, LONG, fresh, parking, settings, start as start_journal};
use crate::database::{Database, FoldRows, Transaction};
use crate::read_model::{Change, Value};
use crate::{
    AsOf, Composite, Drained, Fingerprint, FingerprintCheck, Fold, MultiFold, OnDemand, OperateError, Order,
    Parking, Projector, ReadModel, ReadModelId, RebuildStreams, Recorded, RegisterError, Settings,
    SideBySide, StandbyRole, Table, memory,
};

/// Sets a row of the stream to one of the edges, or deletes it.
#[derive(Deserialize)]
struct Set {
    key: String,
    number: Option<usize>,
    #[serde(default)]
    fails: bool,
}

/// Rows with a column of each type.
struct Edged {
    edges: Vec<Edge>,
}

impl Fold for Edged {
    type Event = Set;
    type Key = String;
    type State = Edge;
    fn name(&self) -> &str {
        "edged"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn table(&self) -> Table {
        Edge::table()
    }
    fn key(&self, event: Recorded<'_, Set>) -> Option<String> {
        Some(event.event.key.clone())
    }
    fn fold(&self, _: Option<Edge>, event: Recorded<'_, Set>) -> Option<Edge> {
        Some(self.edges[event.event.number?].clone())
    }
}

/// How often each stream set what, as documents. It fails if it is told to.
#[derive(Clone, Default)]
struct Tally {
    fails: Arc<AtomicBool>,
}

impl MultiFold for Tally {
    type Event = Set;
    type Key = String;
    type State = (u64, f64);
    fn name(&self) -> &str {
        "tally"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn keys(&self, event: Recorded<'_, Set>) -> impl IntoIterator<Item = String> {
        let stream = event.stream_id().to_string();
        [format!("{stream} has {:?}", event.event.number), stream]
    }
    fn fold(&self, _: &String, row: Option<(u64, f64)>, event: Recorded<'_, Set>) -> Option<(u64, f64)> {
        assert!(!(event.event.fails && self.fails.load(SeqCst)), "told to");
        let (count, sum) = row.unwrap_or_default();
        Some((count + 1, sum + 0.1))
    }
}

fn composite(tally: &Tally) -> Composite<Set> {
    Composite::new("journal").stage(Edged { edges: edges() }).stage(tally.clone())
}

fn keeping(settings: Settings) -> Settings {
    Settings { fingerprint: true, batch_changesets_max: 9, span_changesets_max: 9, ..settings }
}

fn start<S: Subject>(
    log: &Arc<ChangingLog>,
    subject: &Arc<S>,
    tally: &Tally,
    settings: Settings,
) -> Bench<S> {
    let mut projector = Projector::new(log.clone());
    projector.fold(composite(tally), subject.database(), settings).unwrap();
    Bench { log: log.clone(), subject: subject.clone(), running: projector.start() }
}

/// Appends events that set, change and delete rows.
async fn append(log: &ChangingLog, seed: u64, count: usize) {
    let (mut chance, edges) = (fastrand::Rng::with_seed(seed), edges().len());
    for _ in 0..count {
        let stream = format!("s{}", chance.u8(0..8));
        let number = (chance.u8(0..4) > 0).then(|| chance.usize(0..edges));
        let event = json!({"key": format!("{stream} '{}", chance.u8(0..3)), "number": number});
        log.append(&stream, &event.to_string()).await;
    }
}

impl<S: Subject> Bench<S> {
    /// Compares what is kept with the rows.
    async fn checked(&self) -> FingerprintCheck {
        self.handle().verify_quickly("journal").await.unwrap()
    }

    /// The fingerprint at the end of the log, which is that of the rows.
    async fn fingerprint(&self) -> Fingerprint {
        self.caught_up().await;
        let check = self.checked().await;
        assert!(check.is_equal(), "{check:?}");
        assert_eq!(check.checkpoint, Some(self.log.head().await.unwrap().checkpoint));
        check.kept
    }
}

/// The fingerprint of the same fold over the same log on a new database in memory.
async fn of_another_run(log: &Arc<ChangingLog>, tally: &Tally) -> Fingerprint {
    let mut projector = Projector::new(log.clone());
    let settings = Settings { batch_changesets_max: 4, span_changesets_max: 4, ..keeping(settings()) };
    projector.fold(composite(tally), memory::Database::new(), settings).unwrap();
    let running = projector.start();
    let head = log.head().await.unwrap().checkpoint;
    running.handle().when_reached("journal", head, LONG).await.unwrap();
    let kept = running.handle().status("journal").await.unwrap().fingerprint.unwrap();
    running.shut_down().await;
    kept
}

/// Whatever the batches, the fingerprint is that of the rows; the same rows have the same one on every database, also
/// after a rebuild. The status has it.
pub async fn a_fingerprint_is_that_of_the_rows<S: Subject>() {
    let (log, subject, tally) = (ChangingLog::new(), fresh::<S>().await, Tally::default());
    let bench = start(&log, &subject, &tally, keeping(settings()));
    append(&log, 1, 60).await;
    let earlier = bench.fingerprint().await;
    append(&log, 2, 60).await;
    let kept = bench.fingerprint().await;
    assert_ne!(kept, earlier);
    assert_eq!(kept, of_another_run(&log, &tally).await);
    let status = bench.handle().status("journal").await.unwrap();
    assert_eq!((status.fingerprint, status.checkpoint), (Some(kept), Checkpoint::new(120)));
    let tables = subject.table_of("journal", "tally").await.len();
    assert!(bench.checked().await.rows >= u64::try_from(tables).unwrap());
    bench.close().await;

    let bench = start(&log, &subject, &tally, Settings { batch_changesets_max: 50, ..keeping(settings()) });
    append(&log, 3, 40).await;
    let kept = bench.fingerprint().await;
    bench.handle().rebuild("journal", "again").await.unwrap();
    assert_eq!(bench.fingerprint().await, kept);
    bench.close().await;
}

/// A row that somebody changed, deleted or added past the projector is found, also after the projector has written it
/// again.
pub async fn a_row_changed_past_the_projector_is_found<S: Subject>() {
    let (log, subject, tally) = (ChangingLog::new(), fresh::<S>().await, Tally::default());
    let bench = start(&log, &subject, &tally, keeping(settings()));
    log.append("a", &json!({"key": "a", "number": 1}).to_string()).await;
    let kept = bench.fingerprint().await;
    let row = |text: &str| Some(vec![Value::Json(text.to_owned())]);
    for (key, found, put) in
        [("a", row("[1,0.1]"), row("[1,0.2]")), ("a", row("[1,0.1]"), None), ("b", None, row("[0,0.0]"))]
    {
        write(&*subject, key, found.clone(), put.clone()).await;
        let check = bench.checked().await;
        assert!(!check.is_equal() && check.kept == kept, "{key} {put:?}: {check:?}");
        write(&*subject, key, put, found).await;
        assert!(bench.checked().await.is_equal());
    }
    write(&*subject, "a", row("[1,0.1]"), row("[7,0.1]")).await;
    log.append("a", &json!({"key": "a", "number": 1}).to_string()).await;
    bench.caught_up().await;
    assert!(!bench.checked().await.is_equal());
    bench.handle().rebuild("journal", "somebody has changed it").await.unwrap();
    bench.fingerprint().await;
    bench.close().await;
}

/// Writes a row of the second stage as nobody should.
async fn write<S: Subject>(subject: &S, key: &str, before: Option<Vec<Value>>, row: Option<Vec<Value>>) {
    let model = ReadModelId::live("journal");
    let mut tx = subject.database().begin().await.unwrap();
    // The fence is also what steps into the schema, where each read model has one.
    let state = tx.load(&model).await.unwrap().unwrap();
    assert!(tx.replace(&model, state.position, &state).await.unwrap());
    tx.write_rows(&Table::document("tally"), &[Change { key: key.to_owned(), before, row }]).await.unwrap();
    tx.commit().await.unwrap();
}

/// Workers that are killed at any moment, and two that race for the same projection, leave the fingerprint right.
pub async fn kills_and_rivals_leave_the_fingerprint_right<S: Subject>() {
    let (log, subject, tally) = (ChangingLog::new(), fresh::<S>().await, Tally::default());
    append(&log, 4, 60).await;
    let few = Settings { batch_changesets_max: 3, span_changesets_max: 3, ..keeping(settings()) };
    let mut chance = fastrand::Rng::with_seed(5);
    for _ in 0..25 {
        let worker = || OnDemand::fold(composite(&tally), subject.database(), log.clone(), few).unwrap();
        let (one, other) = (worker(), worker());
        let drained = async {
            let deadline = Instant::now() + LONG;
            tokio::join!(one.drain_until(deadline), other.drain_until(deadline))
        };
        // Dropped wherever it is by then.
        let drained = tokio::time::timeout(Duration::from_micros(chance.u64(500..20_000)), drained).await;
        if let Ok((Drained::CaughtUp, _) | (_, Drained::CaughtUp)) = drained {
            break;
        }
    }
    let rivals = [(), ()].map(|()| start(&log, &subject, &tally, keeping(settings())));
    append(&log, 6, 30).await;
    for rival in &rivals {
        rival.caught_up().await;
    }
    let kept = rivals[0].fingerprint().await;
    assert_eq!(kept, of_another_run(&log, &tally).await);
    for rival in rivals {
        rival.close().await;
    }
}

/// What is parked is in the fingerprint when it gets through, and what is skipped never is.
pub async fn what_is_parked_or_skipped_is_not_in_the_fingerprint<S: Subject>() {
    let (log, subject, tally) = (ChangingLog::new(), fresh::<S>().await, Tally::default());
    tally.fails.store(true, SeqCst);
    let patient = Parking { retry_after_min: LONG * 100, retry_after_max: LONG * 100, ..Parking::default() };
    let bench = start(&log, &subject, &tally, keeping(parking(patient)));
    append(&log, 7, 20).await;
    for stream in ["s1", "s2", "bad"] {
        let event = json!({"key": format!("{stream} x"), "number": 2, "fails": true});
        log.append(stream, &event.to_string()).await;
    }
    append(&log, 8, 40).await;
    let without = bench.fingerprint().await;
    assert_eq!(bench.handle().parked("journal").await.unwrap().len(), 3);
    bench.handle().skip("journal", Checkpoint::new(22), "it is broken").await.unwrap();
    assert_eq!(bench.fingerprint().await, without);
    tally.fails.store(false, SeqCst);
    bench.handle().retry_parked("journal", None, "mended").await.unwrap();
    let with = bench.fingerprint().await;
    assert!(bench.handle().parked("journal").await.unwrap().is_empty());
    assert_ne!(with, without);
    bench.handle().rebuild("journal", "again").await.unwrap();
    assert_eq!(bench.fingerprint().await, with);
    bench.close().await;
}

/// A standby, a swap, a rollback and a copy as of the present keep the fingerprint, and so do partitions, as their sum.
pub async fn a_standby_a_copy_and_partitions_keep_the_fingerprint<S: Subject>() {
    let (log, subject, tally) = (ChangingLog::new(), fresh::<S>().await, Tally::default());
    let bench = start(&log, &subject, &tally, keeping(settings()));
    append(&log, 9, 60).await;
    let kept = bench.fingerprint().await;
    if S::CAPABILITIES.side_by_side {
        let wanted = SideBySide { no_swap: true, ..SideBySide::default() };
        bench.handle().rebuild_side_by_side("journal", wanted, "to see").await.unwrap();
        bench
            .status_when(|status| {
                let standby = status.standby.as_ref();
                standby.is_some_and(|it| it.rebuild.is_none() && it.checkpoint == status.head)
            })
            .await;
        let of_standby = bench.handle().verify_quickly("journal__standby").await.unwrap();
        assert!(of_standby.is_equal() && of_standby.kept == kept, "{of_standby:?}");
        bench.handle().swap("journal", false, "").await.unwrap();
        let has_swapped = |role: StandbyRole| role == StandbyRole::Following;
        bench.status_when(|it| it.standby.as_ref().is_some_and(|it| has_swapped(it.plan.role))).await;
        assert_eq!(bench.fingerprint().await, kept);
        append(&log, 10, 20).await;
        let later = bench.fingerprint().await;
        bench.handle().rollback("journal", false, "").await.unwrap();
        assert_eq!(bench.fingerprint().await, later);
    }
    let kept = bench.fingerprint().await;
    if S::Database::COPIES {
        let checkpoint = log.head().await.unwrap().checkpoint;
        bench.handle().as_of("journal", AsOf { checkpoint, into: "copied".to_owned() }).await.unwrap();
        let (database, copy) =
            subject.database().copy_of(&ReadModelId::live("journal"), "copied", false).await.unwrap();
        let state = database.begin().await.unwrap().load(&copy).await.unwrap().unwrap();
        assert_eq!(state.fingerprint, Some(kept));
    }
    if S::CAPABILITIES.partitions {
        for count in [4, 3, 1] {
            bench.handle().set_partitions("journal", count, "").await.unwrap();
            let wanted = if count == 1 { 0 } else { count as usize };
            bench.status_when(|status| status.partitions.len() == wanted).await;
            append(&log, 11 + u64::from(count), 30).await;
            bench.caught_up().await;
            let check = bench.checked().await;
            assert!(check.is_equal(), "{count}: {check:?}");
        }
        let kept = bench.fingerprint().await;
        assert_eq!(kept, of_another_run(&log, &tally).await);
        bench.handle().rebuild("journal", "again").await.unwrap();
        assert_eq!(bench.fingerprint().await, kept);
    }
    bench.close().await;
}

/// A swap is seen in the status, also while no changesets come.
pub async fn a_swap_is_seen_in_the_status_of_a_projection_at_rest<S: Subject>() {
    if !S::CAPABILITIES.side_by_side {
        return;
    }
    let (log, subject, tally) = (ChangingLog::new(), fresh::<S>().await, Tally::default());
    let without = start(&log, &subject, &tally, settings());
    append(&log, 12, 20).await;
    without.caught_up().await;
    without.close().await;
    let with = start(&log, &subject, &tally, keeping(settings()));
    with.caught_up().await;
    assert_eq!(with.handle().status("journal").await.unwrap().fingerprint, None);
    with.handle()
        .rebuild_side_by_side("journal", SideBySide::default(), "for the fingerprint")
        .await
        .unwrap();
    with.status_when(|status| status.fingerprint.is_some()).await;
    with.close().await;
}

/// A read model that has rows already keeps a fingerprint from its next rebuild on. A program that does not keep one
/// ends it, as its changes would be missing. So does a rebuild of some streams that finds wrong rows: it does not know
/// whether they were counted.
pub async fn a_fingerprint_begins_with_a_rebuild_and_ends_without_the_setting<S: Subject>() {
    let (log, subject, tally) = (ChangingLog::new(), fresh::<S>().await, Tally::default());
    let without = start(&log, &subject, &tally, settings());
    append(&log, 12, 20).await;
    without.caught_up().await;
    let refused = without.handle().verify_quickly("journal").await;
    assert!(matches!(refused, Err(OperateError::NotSupported(_))), "{refused:?}");
    without.close().await;

    let with = start(&log, &subject, &tally, keeping(settings()));
    append(&log, 13, 20).await;
    with.caught_up().await;
    let refused = with.handle().verify_quickly("journal").await;
    assert!(
        matches!(&refused, Err(OperateError::Failed(why)) if why.contains("ees projections rebuild journal")),
        "{refused:?}"
    );
    assert_eq!(with.handle().status("journal").await.unwrap().fingerprint, None);
    with.handle().rebuild("journal", "for the fingerprint").await.unwrap();
    with.fingerprint().await;
    let some = RebuildStreams::of(["s0".parse().unwrap()]);
    let nothing_wrong = with.handle().rebuild_streams("journal", some.clone(), "").await.unwrap();
    assert_eq!(nothing_wrong.rows, []);
    with.fingerprint().await;
    forge(&*subject, "journal", "tally", &[("s0", None)]).await;
    let dry_run = RebuildStreams { dry_run: true, ..some.clone() };
    assert_eq!(with.handle().rebuild_streams("journal", dry_run, "").await.unwrap().added, 1);
    assert!(!with.checked().await.is_equal());
    with.handle().rebuild_streams("journal", some, "").await.unwrap();
    let refused = with.handle().verify_quickly("journal").await;
    assert!(
        matches!(&refused, Err(OperateError::Failed(why)) if why.contains("some streams were rebuilt")),
        "{refused:?}"
    );
    with.handle().rebuild("journal", "for the fingerprint").await.unwrap();
    with.fingerprint().await;
    with.close().await;

    let without = start(&log, &subject, &tally, settings());
    append(&log, 14, 20).await;
    without.caught_up().await;
    without.close().await;
    let with = start(&log, &subject, &tally, keeping(settings()));
    with.caught_up().await;
    let refused = with.handle().verify_quickly("journal").await;
    assert!(
        matches!(&refused, Err(OperateError::Failed(why)) if why.contains("ees projections rebuild journal")),
        "{refused:?}"
    );
    with.close().await;
}

/// Only a fold can keep one.
pub async fn what_has_no_fingerprint_is_refused<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let mut projector = Projector::new(log.clone());
    let refused = projector.projection(Journal::new(), subject.database(), keeping(settings()));
    assert_eq!(refused, Err(RegisterError::NoFingerprint("journal".to_owned())));
    let refused =
        OnDemand::projection(Journal::new(), subject.database(), log.clone(), keeping(settings())).err();
    assert_eq!(refused, Some(RegisterError::NoFingerprint("journal".to_owned())));
    let bench = start_journal(&log, &subject, &Journal::new(), settings());
    bench.caught_up().await;
    let refused = bench.handle().verify_quickly("journal").await;
    assert!(matches!(refused, Err(OperateError::NotSupported(_))), "{refused:?}");
    bench.close().await;
}
