//! Streams that are dealt out to several workers, where the database can do that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::Checkpoint;

use super::Subject;
use super::support::{Bench, ChangingLog, Journal, LONG, fresh, note, settings, start};
use crate::database::{Database, FoldRows, Transaction};
use crate::partition::{Partition, Split};
use crate::projection_state::ProjectionState;
use crate::{
    InPlace, NewVersion, OnDemand, OperateError, Order, PartitionStatus, ReadModelId, Settings, SideBySide,
    Slot, StandbyRole, StandbyStatus, State, Status, Table,
};

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

/// Each partition is compared with its counterpart at the same checkpoint, and swapped with it, while events come and
/// other workers take part.
pub async fn partitions_are_compared_and_swapped_while_events_come<S: Subject>() {
    if !S::CAPABILITIES.partitions || !S::CAPABILITIES.side_by_side {
        return;
    }
    let (log, subject) = (with_notes(60).await, fresh::<S>().await);
    let split = Settings { partitions: 3, ..settings() };
    let [bench, other] = [(), ()].map(|()| start(&log, &subject, &Journal::new(), split));
    bench.caught_up().await;
    let coming = async {
        for n in 60..180 {
            log.append(&format!("s{}", n % 12), &note(&n.to_string())).await;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let swapped = async {
        assert_eq!(bench.handle().verify("journal").await.unwrap().differences, Vec::<String>::new());
        let wanted = SideBySide { verify: true, ..SideBySide::default() };
        bench.handle().rebuild_side_by_side("journal", wanted, "").await.unwrap();
        bench.status_when(has_followed).await;
    };
    tokio::join!(coming, swapped);
    holds_each_note_once(&bench, 180).await;
    assert_eq!(bench.handle().status("journal").await.unwrap().partitions.len(), 3);
    bench.handle().rollback("journal", false, "back").await.unwrap();
    holds_each_note_once(&bench, 180).await;
    bench.close().await;
    other.close().await;
}

/// A standby that was built with another number of partitions gets the live read model's before the two are swapped.
pub async fn a_standby_gets_the_number_of_partitions_of_the_live_one<S: Subject>() {
    if !S::CAPABILITIES.partitions || !S::CAPABILITIES.side_by_side {
        return;
    }
    let (log, subject) = (with_notes(60).await, fresh::<S>().await);
    let bench = start(&log, &subject, &Journal::new(), Settings { partitions: 3, ..settings() });
    bench.caught_up().await;
    let only_built = SideBySide { no_swap: true, ..SideBySide::default() };
    bench.handle().rebuild_side_by_side("journal", only_built, "").await.unwrap();
    let is_built = |status: &Status| {
        let standby = status.standby.as_ref();
        standby.is_some_and(|it| it.rebuild.is_none() && it.partitions.len() == 3)
    };
    bench.status_when(is_built).await;
    for (count, shown) in [(2, 2), (1, 0), (4, 4)] {
        bench.handle().set_partitions("journal", count, "").await.unwrap();
        bench.status_when(|status| status.partitions.len() == shown).await;
        let back = count != 2;
        let handle = bench.handle();
        let swapped = if back {
            handle.rollback("journal", false, "").await
        } else {
            handle.swap("journal", false, "").await
        };
        swapped.unwrap();
        let status = bench.status_when(|status| status.partitions.len() == shown).await;
        assert_eq!(status.standby.unwrap().plan.role, StandbyRole::Following);
        holds_each_note_once(&bench, 60).await;
    }
    bench.close().await;
}

/// A new version goes live, although the number of partitions of the old one is being changed, or several workers rebuild
/// it in place; also if the last worker of the old version has left. That goes on where it was when it is started
/// again, and can be made live.
pub async fn a_new_version_goes_live_while_nobody_ends_a_change_of_the_live_one<S: Subject>() {
    if !S::CAPABILITIES.partitions || !S::CAPABILITIES.side_by_side {
        return;
    }
    for (before, wanted, stays) in
        [(3, 2, false), (3, 1, true), (2, 5, false), (1, 1, true), (2, 2, false), (2, 3, true)]
    {
        let journal = Journal::new();
        let settings = Settings { partitions: before, ..settings() };
        let (old, count) = amid_a_change::<S>(&journal, settings, wanted).await;
        let shown = if wanted > 1 { wanted as usize } else { 0 };
        a_new_version_goes_live(old, &journal, settings, (count, shown), stays).await;
    }
}

/// A new version that is to be compared first waits until the change of the old one has ended, and follows the log
/// meanwhile.
pub async fn a_new_version_that_is_to_be_compared_waits_for_a_change_of_the_live_one<S: Subject>() {
    if !S::CAPABILITIES.partitions || !S::CAPABILITIES.side_by_side {
        return;
    }
    for wanted in [1, 2] {
        let journal = Journal::new();
        let settings = Settings { partitions: 2, ..settings() };
        let (old, count) = amid_a_change::<S>(&journal, settings, wanted).await;
        let newer = Journal { version: 2, ..Journal::new() };
        let beside = Settings { new_version: NewVersion::SideBySide { verify: true }, ..settings };
        let new = start(&old.log, &old.subject, &newer, beside);
        let is_complete = |it: &StandbyStatus| it.rebuild.is_none() && it.checkpoint.get() == count as u64;
        new.status_when(|status| status.standby.as_ref().is_some_and(is_complete)).await;
        for more in 0..5 {
            old.log.append("s1", &note(&(count + more).to_string())).await;
            // A comparison waits for half a minute, and nothing is applied meanwhile.
            let at = Checkpoint::new((count + more) as u64);
            new.handle().when_reached("journal__standby", at, Duration::from_secs(20)).await.unwrap();
        }
        let status = new.handle().status("journal").await.unwrap();
        let plan = status.standby.unwrap().plan;
        assert_eq!((plan.role, plan.note), (StandbyRole::Building, None));
        journal.faults.mend();
        old.handle().resume("journal", "").await.unwrap();
        new.status_when(|status| status.standby.is_none()).await;
        new.caught_up().await;
        old.close().await;
        new.close().await;
    }
}

/// A read model whose partitions are changed to the wanted number, or which is rebuilt by four workers if it has that
/// number, and which can't go on: and the length of its log.
async fn amid_a_change<S: Subject>(journal: &Journal, settings: Settings, wanted: u32) -> (Bench<S>, usize) {
    let (log, subject) = (with_notes(60).await, fresh::<S>().await);
    let bench = start(&log, &subject, journal, settings);
    bench.caught_up().await;
    journal.faults.fail("s3");
    if wanted == settings.partitions {
        let dealt_out = InPlace { workers: Some(4), ..InPlace::default() };
        bench.handle().rebuild_in_place("journal", dealt_out, "").await.unwrap();
        bench.paused().await;
        return (bench, 60);
    }
    for n in 60..72 {
        log.append(&format!("s{}", n % 12), &note(&n.to_string())).await;
    }
    // One of them stands still, and another one has come further.
    let far = |status: &Status| status.partitions.iter().any(|it| it.checkpoint.get() == 72);
    bench.status_when(|status| status.state == State::Paused && far(status)).await;
    bench.handle().set_partitions("journal", wanted, "").await.unwrap();
    (bench, 72)
}

/// A new version goes live beside an old one that is amid a change, and stays there or not. In the end, the old one has
/// so many partitions, and is live again. `count` is the length of the log.
pub(super) async fn a_new_version_goes_live<S: Subject>(
    old: Bench<S>,
    journal: &Journal,
    settings: Settings,
    (count, shown): (usize, usize),
    stays: bool,
) {
    let (log, subject) = (old.log.clone(), old.subject.clone());
    let old = if stays {
        Some(old)
    } else {
        old.close().await;
        None
    };
    let newer = Journal { version: 2, ..Journal::new() };
    let beside = Settings { new_version: NewVersion::SideBySide { verify: false }, ..settings };
    let new = start(&log, &subject, &newer, beside);
    holds_each_note_once(&new, count).await;
    new.status_when(|status| status.partitions.len() == shown).await;
    journal.faults.mend();
    let old = old.unwrap_or_else(|| start(&log, &subject, journal, settings));
    old.handle().resume("journal__standby", "").await.unwrap();
    let is_settled = |it: &StandbyStatus| {
        let is_there = it.partitions.len() == shown && it.checkpoint.get() == count as u64;
        (it.version, it.plan.role) == (1, StandbyRole::Following) && is_there && it.rebuild.is_none()
    };
    old.status_when(|status| status.standby.as_ref().is_some_and(is_settled)).await;
    old.handle().rollback("journal", false, "").await.unwrap();
    log.append(&format!("s{}", count % 12), &note(&count.to_string())).await;
    holds_each_note_once(&old, count + 1).await;
    assert_eq!(old.handle().status("journal").await.unwrap().version, 1);
    old.close().await;
    new.close().await;
}

/// A rebuild is dealt out to several workers, side by side or in place. In the end there are as many partitions as
/// before.
pub async fn a_rebuild_is_dealt_out_to_workers_and_joined<S: Subject>() {
    if !S::CAPABILITIES.partitions || !S::CAPABILITIES.side_by_side {
        return;
    }
    for (partitions, workers) in [(1, 4), (2, 1)] {
        let (log, subject, journal) = (with_notes(60).await, fresh::<S>().await, Journal::new());
        let split = Settings { partitions, ..settings() };
        let [bench, other] = [(), ()].map(|()| start(&log, &subject, &journal, split));
        bench.caught_up().await;
        let handle = bench.handle();
        let shown = if partitions > 1 { partitions as usize } else { 0 };
        // Does not come to its end until it is resumed.
        journal.faults.fail("s0");
        let wanted = SideBySide { verify: true, workers: Some(workers), ..SideBySide::default() };
        handle.rebuild_side_by_side("journal", wanted, "").await.unwrap();
        let are_all = |partitions: &[PartitionStatus]| partitions.len() == workers as usize;
        let is_dealt_out = |it: &StandbyStatus| are_all(&it.partitions) && it.pause.is_some();
        bench.status_when(|status| status.standby.as_ref().is_some_and(is_dealt_out)).await;
        journal.faults.mend();
        handle.resume("journal__standby", "").await.unwrap();
        let status = bench.status_when(has_followed).await;
        assert_eq!((status.partitions.len(), status.rebuild.is_some()), (shown, false));
        holds_each_note_once(&bench, 60).await;
        handle.discard_standby("journal", "").await.unwrap();
        journal.faults.fail("s0");
        let wanted = InPlace { workers: Some(workers), ..InPlace::default() };
        handle.rebuild_in_place("journal", wanted, "").await.unwrap();
        let is_dealt_out =
            |it: &Status| are_all(&it.partitions) && it.pause.is_some() && it.rebuild.is_some();
        bench.status_when(is_dealt_out).await;
        journal.faults.mend();
        handle.resume("journal", "").await.unwrap();
        bench.status_when(|status| status.partitions.len() == shown && status.rebuild.is_none()).await;
        holds_each_note_once(&bench, 60).await;
        let audit = handle.audit("journal", 10).await.unwrap();
        let rebuilt = audit.iter().find(|entry| entry.action == "rebuild").unwrap();
        assert_eq!(rebuilt.detail, format!("up to 60, by {workers} workers"));
        log.append("s0", &note("60")).await;
        holds_each_note_once(&bench, 61).await;
        bench.close().await;
        other.close().await;
    }
}

/// A rebuild is dealt out only where the projection needs no more than the order within streams, and the database has
/// partitions. Nothing is changed otherwise.
pub async fn a_rebuild_that_can_not_be_dealt_out_is_refused<S: Subject>() {
    let (log, subject) = (with_notes(12).await, fresh::<S>().await);
    for order in [Order::Stream, Order::Log] {
        let bench = start(&log, &subject, &Journal { order, ..Journal::new() }, settings());
        bench.caught_up().await;
        let refused = |answer: &Result<(), OperateError>| match answer {
            Err(OperateError::NotSupported(_)) => !S::CAPABILITIES.partitions,
            Err(OperateError::NeedsLogOrder) => S::CAPABILITIES.partitions && order == Order::Log,
            Err(OperateError::PartitionCount { .. }) => S::CAPABILITIES.partitions && order == Order::Stream,
            _ => false,
        };
        for workers in if order == Order::Log { [2, 3] } else { [0, 257] } {
            let workers = Some(workers);
            let in_place = InPlace { workers, ..InPlace::default() };
            let answer = bench.handle().rebuild_in_place("journal", in_place, "").await;
            assert!(refused(&answer), "{answer:?}");
            let beside = SideBySide { workers, ..SideBySide::default() };
            let answer = bench.handle().rebuild_side_by_side("journal", beside, "").await;
            assert!(refused(&answer), "{answer:?}");
        }
        let status = bench.handle().status("journal").await.unwrap();
        assert_eq!((status.checkpoint.get(), status.standby), (12, None));
        bench.close().await;
    }
}

/// Hosts that do not stay carry a rebuild that is dealt out to its end, and join it.
pub async fn hosts_that_do_not_stay_finish_a_rebuild_that_is_dealt_out<S: Subject>() {
    if !S::CAPABILITIES.partitions {
        return;
    }
    let (log, subject) = (with_notes(60).await, fresh::<S>().await);
    let bench = start(&log, &subject, &Journal::new(), settings());
    bench.caught_up().await;
    bench.close().await;
    // As the operator's command leaves it.
    let (database, live) = (subject.database(), ReadModelId::live("journal"));
    let mut tx = database.begin_in(&live).await.unwrap();
    let row = tx.load(&live).await.unwrap().unwrap();
    let wiped = row.wiped(1, Checkpoint::new(60), true, None);
    let wiped = ProjectionState { split: Split::for_rebuild(3, 1), ..wiped };
    assert!(tx.replace(&live, row.position, &wiped).await.unwrap());
    for partition in Partition::all(3) {
        let state = ProjectionState { split: Some(Split::into(3)), ..wiped.clone() };
        tx.add_partition(&live.of_partition(partition), &state).await.unwrap();
    }
    tx.drop_table(&Table::document("journal")).await.unwrap();
    tx.create_table(&Table::document("journal")).await.unwrap();
    tx.commit().await.unwrap();
    drain_with_two_hosts(&subject, &log, settings(), |row| {
        (row.split, row.rebuild_until, row.position.next.get()) == (None, None, 60)
    })
    .await;
    let bench = start(&log, &subject, &Journal::new(), settings());
    holds_each_note_once(&bench, 60).await;
    bench.close().await;
}

/// A worker that is killed while it compares leaves the partitions of the standby standing still. The next one lets
/// them go on.
pub async fn partitions_that_a_killed_worker_left_standing_still_go_on<S: Subject>() {
    if !S::CAPABILITIES.partitions || !S::CAPABILITIES.side_by_side {
        return;
    }
    let (log, subject) = (with_notes(24).await, fresh::<S>().await);
    let split = Settings { partitions: 3, ..settings() };
    let bench = start(&log, &subject, &Journal::new(), split);
    bench.caught_up().await;
    let only_built = SideBySide { no_swap: true, ..SideBySide::default() };
    bench.handle().rebuild_side_by_side("journal", only_built, "").await.unwrap();
    let has_reached = |status: &Status, next: u64| {
        let standby = status.standby.as_ref();
        standby.is_some_and(|it| it.partitions.len() == 3 && it.checkpoint.get() == next)
    };
    bench.status_when(|status| has_reached(status, 24)).await;
    bench.close().await;
    let (database, standby) = (subject.database(), ReadModelId::new("journal", Slot::Standby));
    let mut tx = database.begin_in(&standby).await.unwrap();
    for row in tx.partitions(&standby, true).await.unwrap() {
        let still = row.state.moved(|state| {
            state.split = Some(Split { barrier: Some(state.position.next), ..Split::into(3) });
        });
        assert!(tx.replace(&row.id, row.state.position, &still).await.unwrap());
    }
    tx.commit().await.unwrap();
    let bench = start(&log, &subject, &Journal::new(), split);
    for n in 24..36 {
        log.append(&format!("s{}", n % 12), &note(&n.to_string())).await;
    }
    bench.status_when(|status| has_reached(status, 36)).await;
    bench.close().await;
}

/// A new version that needs the global order has no partitions when it is rebuilt in place, and is not built side by
/// side with one that has.
pub async fn a_new_version_that_needs_the_global_order_has_no_partitions<S: Subject>() {
    if !S::CAPABILITIES.partitions || !S::CAPABILITIES.side_by_side {
        return;
    }
    let (log, subject) = (with_notes(24).await, fresh::<S>().await);
    let bench = start(&log, &subject, &Journal::new(), Settings { partitions: 3, ..settings() });
    bench.caught_up().await;
    bench.close().await;
    let ordered = Journal { version: 2, order: Order::Log, ..Journal::new() };
    let beside = Settings { new_version: NewVersion::SideBySide { verify: false }, ..settings() };
    let bench = start(&log, &subject, &ordered, beside);
    let status = bench.status_when(|status| status.state == State::Stopped).await;
    assert!(status.last_error.unwrap().message.contains("set the number of partitions to 1"));
    bench.close().await;
    let bench = start(&log, &subject, &ordered, settings());
    let status = bench.status_when(|status| status.checkpoint.get() == 24 && status.version == 2).await;
    assert_eq!(status.partitions.len(), 0);
    holds_each_note_once(&bench, 24).await;
    bench.close().await;
}

/// Notes in 12 streams.
pub(super) async fn with_notes(count: usize) -> Arc<ChangingLog> {
    let log = ChangingLog::new();
    for n in 0..count {
        log.append(&format!("s{}", n % 12), &note(&n.to_string())).await;
    }
    log
}

/// Lets two hosts that do not stay run the journal, again and again, until its row is as wanted.
pub(super) async fn drain_with_two_hosts<S: Subject>(
    subject: &Arc<S>,
    log: &Arc<ChangingLog>,
    settings: Settings,
    wanted: impl Fn(&ProjectionState) -> bool,
) {
    let hosts = [(), ()]
        .map(|()| OnDemand::projection(Journal::new(), subject.database(), log.clone(), settings).unwrap());
    let (deadline, live) = (Instant::now() + LONG, ReadModelId::live("journal"));
    let is_so = async || {
        let row = subject.database().begin_in(&live).await.unwrap().load(&live).await.unwrap();
        wanted(&row.unwrap())
    };
    while !is_so().await {
        assert!(Instant::now() < deadline, "it does not come to its end");
        futures::future::join_all(hosts.iter().map(|host| host.drain_until(deadline))).await;
    }
}

pub(super) async fn holds_each_note_once<S: Subject>(bench: &Bench<S>, count: usize) {
    bench.caught_up().await;
    let counts = bench.counts().await;
    assert_eq!((counts.len(), counts.values().all(|count| *count == 1)), (count, true), "{counts:?}");
    let of_first: Vec<String> = (0..count).step_by(12).map(|n| n.to_string()).collect();
    assert_eq!(bench.texts("s0").await.unwrap(), of_first.join(" "));
}

pub(super) fn has_followed(status: &Status) -> bool {
    status.standby.as_ref().is_some_and(|standby| standby.plan.role == StandbyRole::Following)
}
