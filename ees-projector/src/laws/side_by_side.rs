//! A read model that is built side by side with the live one, where the database can do that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Instant;

use ees_store::ChangesetLog;

use super::Subject;
use super::support::{ChangingLog, Journal, LONG, fresh, note, parking, settings, start};
use crate::database::{Database, FoldRows, Transaction};
use crate::read_model::{Change, Value};
use crate::{
    Drained, NewVersion, OnDemand, OperateError, Parking, ReadModelId, Settings, SideBySide, Slot,
    StandbyRole, State, Status, Table,
};

/// What the database says of itself is so.
pub async fn side_by_side_is_offered_as_the_database_says<S: Subject>() {
    assert_eq!(S::Database::SIDE_BY_SIDE, S::CAPABILITIES.side_by_side);
}

/// The new read model is compared with the live one, swapped with it, and swapped back; readers see the same rows.
/// Where the database can't do that, it is refused, and nothing has changed.
pub async fn a_read_model_is_swapped_and_back_or_that_is_refused<S: Subject>() {
    for partitions in partitions::<S>() {
        let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
        for n in 0..30 {
            log.append(&format!("s{}", n % 4), &note(&n.to_string())).await;
        }
        let bench = start(&log, &subject, &Journal::new(), split(partitions));
        bench.caught_up().await;
        let before = subject.table("journal").await;
        let wanted = SideBySide { verify: true, ..SideBySide::default() };
        let begun = bench.handle().rebuild_side_by_side("journal", wanted, "to see").await;
        if S::CAPABILITIES.side_by_side {
            begun.unwrap();
            let swapped = |role| role == Some(StandbyRole::Following);
            bench.status_when(|status| swapped(status.standby.as_ref().map(|it| it.plan.role))).await;
            assert_eq!(subject.table("journal").await, before);
            log.append("s0", &note("more")).await;
            bench.caught_up().await;
            bench.handle().rollback("journal", false, "back").await.unwrap();
            assert!(bench.texts("s0").await.unwrap().ends_with(" more"), "the old one has followed");
            assert!(bench.handle().verify("journal").await.unwrap().is_equal());
        } else {
            assert!(matches!(begun, Err(OperateError::NotSupported(_))), "{begun:?}");
            let verified = bench.handle().verify("journal").await;
            assert!(matches!(verified, Err(OperateError::NotSupported(_))), "{verified:?}");
            let begun = bench.handle().begin_verification("journal");
            assert!(matches!(begun, Err(OperateError::NotSupported(_))), "{begun:?}");
            let status = bench.status_when(|status| status.state == State::Following).await;
            assert!(status.standby.is_none());
            assert_eq!(subject.table("journal").await, before);
        }
    }
}

/// What is skipped in the live read model while a standby follows is left out by the standby, and known after the
/// swap.
pub async fn a_skip_reaches_the_standby_and_outlives_the_swap<S: Subject>() {
    for partitions in supported::<S>() {
        let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
        log.append("a", &note("x")).await;
        let bench = start(&log, &subject, &journal, split(partitions));
        bench.caught_up().await;
        let wanted = SideBySide { no_swap: true, ..SideBySide::default() };
        bench.handle().rebuild_side_by_side("journal", wanted, "to see").await.unwrap();
        let is_in = |status: &Status, state| status.standby.as_ref().is_some_and(|it| it.state == state);
        bench.status_when(|status| is_in(status, State::Following)).await;
        journal.faults.fail("bad");
        log.append("bad", &note("x")).await;
        let at = bench.paused().await.checkpoint;
        bench.status_when(|status| is_in(status, State::Paused)).await;
        bench.handle().skip("journal", at, "it is broken").await.unwrap();
        journal.faults.mend();
        bench.handle().resume("journal__standby", "the live one has skipped it").await.unwrap();
        bench.status_when(|status| is_in(status, State::Following)).await;
        bench.handle().swap("journal", false, "done").await.unwrap();
        let status = bench.status_when(|status| status.checkpoint.get() == 2).await;
        assert_eq!((status.skipped, status.pause), (vec![1], None));
        assert_eq!(bench.texts("bad").await, None);
    }
}

/// What is parked in both read models and skipped in the live one is parked in neither: the standby does not retry it.
pub async fn a_skip_of_what_is_parked_reaches_the_standby<S: Subject>() {
    for partitions in supported::<S>() {
        let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
        log.append("a", &note("x")).await;
        let later = Parking { retry_after_min: LONG, retry_after_max: LONG, ..Parking::default() };
        let bench = start(&log, &subject, &journal, Settings { partitions: *partitions, ..parking(later) });
        bench.caught_up().await;
        let wanted = SideBySide { no_swap: true, ..SideBySide::default() };
        bench.handle().rebuild_side_by_side("journal", wanted, "to see").await.unwrap();
        journal.faults.fail("bad");
        let at = log.append("bad", &note("broken")).await;
        bench.caught_up().await;
        bench
            .status_when(|status| status.standby.as_ref().is_some_and(|it| it.checkpoint == at.next()))
            .await;
        bench.handle().skip("journal", at, "it is broken").await.unwrap();
        journal.faults.mend();
        bench.handle().swap("journal", false, "done").await.unwrap();
        log.append("bad", &note("mended")).await;
        bench.caught_up().await;
        assert_eq!(bench.texts("bad").await.as_deref(), Some("mended"));
        bench.close().await;
    }
}

/// Readers find the old read model or the new one, each complete, without an error, through a new version and back.
/// The old one has followed in the meantime.
pub async fn readers_find_whole_read_models_through_a_new_version_and_back<S: Subject>() {
    for partitions in supported::<S>() {
        let (log, subject) = (with_notes(40).await, fresh::<S>().await);
        let old = start(&log, &subject, &Journal::new(), split(partitions));
        old.caught_up().await;
        let journal = Journal { version: 2, ending: "!", ..Journal::new() };
        let new = start(&log, &subject, &journal, beside(partitions, false));
        let stop = AtomicBool::new(false);
        let reading = async {
            let mut seen = BTreeSet::new();
            while !stop.load(SeqCst) {
                let rows = subject.table("journal").await;
                seen.insert((rows.len(), rows.values().filter(|text| text.contains('!')).count()));
                tokio::task::yield_now().await;
            }
            seen
        };
        let swapping = async {
            new.status_when(|status| status.version == 2 && status.standby.is_none() && is_at_head(status))
                .await;
            old.status_when(|status| has_role(status, StandbyRole::Following)).await;
            log.append("s0", &note("more")).await;
            new.caught_up().await;
            old.handle().rollback("journal", false, "version 2 shouts").await.unwrap();
            old.caught_up().await;
            stop.store(true, SeqCst);
        };
        let (seen, ()) = tokio::join!(reading, swapping);
        assert!(old.texts("s0").await.unwrap().ends_with(" more"), "the old one has followed");
        // Rows of events and of 4 streams; of these the ones that the new version wrote.
        let whole = BTreeSet::from([(44, 0), (44, 4), (45, 0), (45, 4)]);
        assert!(seen.is_subset(&whole), "a state that no version has: {seen:?}");
        old.close().await;
        new.close().await;
    }
}

/// A new version that writes other rows is not swapped after a comparison, and the status names one of them. An
/// operator swaps it nevertheless.
pub async fn a_version_that_differs_is_swapped_by_an_operator_only<S: Subject>() {
    for partitions in supported::<S>() {
        let (log, subject) = (with_notes(20).await, fresh::<S>().await);
        let old = start(&log, &subject, &Journal::new(), split(partitions));
        old.caught_up().await;
        let journal = Journal { version: 2, ending: "!", ..Journal::new() };
        let new = start(&log, &subject, &journal, beside(partitions, true));
        let noted = |status: &Status| status.standby.as_ref().and_then(|it| it.plan.note.clone());
        let status = new.status_when(|status| noted(status).is_some()).await;
        let note = noted(&status).unwrap();
        assert!(note.contains("4 differences") && note.contains("changed row s0"), "{note}");
        assert!(!old.texts("s0").await.unwrap().contains('!'));
        new.handle().swap("journal", false, "it is meant so").await.unwrap();
        assert!(old.texts("s0").await.unwrap().contains('!'));
        old.close().await;
        new.close().await;
    }
}

/// A program can't tell whether the rows of another version are right, and does not call them wrong.
pub async fn a_read_model_of_another_version_is_not_verified<S: Subject>() {
    for partitions in supported::<S>() {
        let (log, subject) = (with_notes(20).await, fresh::<S>().await);
        let old = start(&log, &subject, &Journal::new(), split(partitions));
        old.caught_up().await;
        let journal = Journal { version: 2, ending: "!", ..Journal::new() };
        let new = start(&log, &subject, &journal, beside(partitions, true));
        new.status_when(|status| status.standby.as_ref().is_some_and(|it| it.plan.note.is_some())).await;
        assert_eq!(new.handle().verify("journal").await, Err(OperateError::Absent));
        assert!(old.handle().verify("journal").await.unwrap().is_equal());
        new.handle().swap("journal", false, "it is meant so").await.unwrap();
        assert!(new.handle().verify("journal").await.unwrap().is_equal());
        assert_eq!(old.handle().verify("journal").await, Err(OperateError::Absent));
        old.close().await;
        new.close().await;
    }
}

/// A verification finds rows that were changed, that are missing, and that nobody wrote, by their keys. It changes
/// nothing, and leaves nothing.
pub async fn rows_that_differ_from_the_log_are_found<S: Subject>() {
    for partitions in supported::<S>() {
        let (log, subject) = (with_notes(20).await, fresh::<S>().await);
        let bench = start(&log, &subject, &Journal::new(), split(partitions));
        bench.caught_up().await;
        let equal = bench.handle().verify("journal").await.unwrap();
        assert_eq!((equal.rows, equal.checkpoint, equal.differences), (24, 20, vec![]));
        let before = subject.table("journal").await;
        let document = |text: &str| Some(vec![Value::Json(text.to_owned())]);
        let change = |key: &str, row| Change { key: key.to_owned(), before: None, row };
        let damage = [change("s1", document("7")), change("s2", None), change("nobody", document("{}"))];
        damaged(&subject, &damage).await;
        let found = bench.handle().verify("journal").await.unwrap();
        let words = |text: &String| text.split(": ").nth(1).unwrap().to_owned();
        let found: BTreeSet<_> = found.differences.iter().map(words).collect();
        let expected = ["changed row s1", "extra row nobody", "missing row s2"].map(str::to_owned);
        assert_eq!(found, BTreeSet::from(expected));
        let after = subject.table("journal").await;
        assert_eq!(
            (after.len(), after.get("s1").unwrap().as_str()),
            (before.len(), "7"),
            "nothing was mended"
        );
        assert_eq!(loaded(&subject, Slot::Scratch).await, None);
        bench.close().await;
    }
}

/// While the live read model moves on, a verification finds what differs, and nothing else.
pub async fn a_verification_beside_new_events_finds_what_differs_only<S: Subject>() {
    if !S::CAPABILITIES.side_by_side {
        return;
    }
    let (log, subject) = (with_notes(60).await, fresh::<S>().await);
    let bench = start(&log, &subject, &Journal::new(), settings());
    bench.caught_up().await;
    let verified = async || {
        let stop = AtomicBool::new(false);
        let writing = async {
            while !stop.load(SeqCst) {
                log.append("s0", &note("more")).await;
                log.append(&format!("new-{}", log.head().await.unwrap().checkpoint), &note("more")).await;
                bench.caught_up().await;
            }
        };
        let verifying = async {
            let found = bench.handle().verify("journal").await;
            stop.store(true, SeqCst);
            found.unwrap()
        };
        tokio::join!(writing, verifying).1
    };
    let before = log.head().await.unwrap().checkpoint.get();
    let equal = verified().await;
    assert_eq!(equal.differences, Vec::<String>::new());
    assert!(equal.checkpoint >= before && equal.rows >= 64, "{equal:?}");
    bench.caught_up().await;
    let document = |text: &str| Some(vec![Value::Json(text.to_owned())]);
    let change = |key: &str, row| Change { key: key.to_owned(), before: None, row };
    let damage = [change("s1", document("7")), change("s2#1", None), change("nobody", document("{}"))];
    damaged(&subject, &damage).await;
    let found = verified().await;
    let words = |text: &String| text.split(": ").nth(1).unwrap().to_owned();
    let found: BTreeSet<_> = found.differences.iter().map(words).collect();
    let expected = ["changed row s1", "extra row nobody", "missing row s2#1"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from(expected));
    bench.close().await;
}

/// A swap and a rollback between steps that go on: each event is applied once in both read models, and what was there
/// stays there for readers.
pub async fn a_swap_beside_new_events_loses_none<S: Subject>() {
    if !S::CAPABILITIES.side_by_side {
        return;
    }
    let (log, subject) = (with_notes(20).await, fresh::<S>().await);
    let bench = start(&log, &subject, &Journal::new(), settings());
    bench.caught_up().await;
    let stop = AtomicBool::new(false);
    let writing = async {
        while !stop.load(SeqCst) {
            log.append("s0", &note("more")).await;
            bench.caught_up().await;
        }
    };
    let reading = async {
        while !stop.load(SeqCst) {
            let rows = subject.table("journal").await;
            assert!(rows.len() >= 24 && rows.contains_key("s3#5"), "{rows:?}");
            tokio::task::yield_now().await;
        }
    };
    let swapping = async {
        bench.handle().rebuild_side_by_side("journal", SideBySide::default(), "").await.unwrap();
        bench.status_when(|status| has_role(status, StandbyRole::Following)).await;
        bench.handle().rollback("journal", false, "").await.unwrap();
        stop.store(true, SeqCst);
    };
    tokio::join!(writing, reading, swapping);
    bench.caught_up().await;
    let is_complete = |counts: &BTreeMap<String, u64>| counts.values().all(|count| *count == 1);
    let (rolled_back, texts) = (bench.counts().await, bench.texts("s0").await);
    assert_eq!(rolled_back.len() as u64, log.head().await.unwrap().checkpoint.get());
    assert!(is_complete(&rolled_back), "{rolled_back:?}");
    bench.handle().rollback("journal", false, "").await.unwrap();
    bench.caught_up().await;
    assert_eq!((bench.counts().await, bench.texts("s0").await), (rolled_back, texts));
    bench.close().await;
}

/// Two operators who swap at the same time have swapped once: the second is told so, and undoes nothing.
pub async fn two_swaps_at_once_are_one<S: Subject>() {
    if !S::CAPABILITIES.side_by_side {
        return;
    }
    let (log, subject) = (with_notes(20).await, fresh::<S>().await);
    let benches = [(), ()].map(|()| start(&log, &subject, &Journal::new(), settings()));
    let [one, other] = &benches;
    one.caught_up().await;
    other.caught_up().await;
    let wanted = SideBySide { no_swap: true, ..SideBySide::default() };
    one.handle().rebuild_side_by_side("journal", wanted, "").await.unwrap();
    let is_complete = |status: &Status| {
        has_role(status, StandbyRole::Building)
            && status.standby.as_ref().is_some_and(|it| it.rebuild.is_none() && it.checkpoint == status.head)
    };
    one.status_when(is_complete).await;
    let swaps = benches.iter().map(|bench| bench.handle().swap("journal", true, ""));
    let swapped = futures::future::join_all(swaps).await;
    let count = swapped.iter().filter(|swapped| swapped.is_ok()).count();
    assert_eq!(count, 1, "{swapped:?}");
    let audit = one.handle().audit("journal", 100).await.unwrap();
    assert_eq!(audit.iter().filter(|entry| entry.action == "swap").count(), 1, "{audit:?}");
    for bench in benches {
        bench.close().await;
    }
}

/// A swap needs all that the log has. What it does not show yet, as an index that lags, is no log that went back: the swap is
/// refused for now, and the standby goes on.
pub async fn a_swap_waits_for_what_the_log_does_not_show_yet<S: Subject>() {
    for partitions in supported::<S>() {
        let (log, subject) = (with_notes(20).await, fresh::<S>().await);
        let bench = start(&log, &subject, &Journal::new(), split(partitions));
        bench.caught_up().await;
        let wanted = SideBySide { no_swap: true, ..SideBySide::default() };
        bench.handle().rebuild_side_by_side("journal", wanted, "").await.unwrap();
        let is_complete = |status: &Status| {
            status.standby.as_ref().is_some_and(|it| it.rebuild.is_none() && it.checkpoint == status.head)
        };
        bench.status_when(is_complete).await;
        log.hold_back().await;
        log.append("s0", &note("late")).await;
        let refused = bench.handle().swap("journal", false, "").await;
        assert!(matches!(refused, Err(OperateError::Unavailable(_))), "{refused:?}");
        let standby = bench.handle().status("journal").await.unwrap().standby.unwrap();
        assert_ne!(standby.state, State::Stopped, "{standby:?}");
        log.show_all();
        bench.handle().swap("journal", false, "").await.unwrap();
        bench.caught_up().await;
        assert!(bench.texts("s0").await.unwrap().ends_with(" late"));
        bench.close().await;
    }
}

/// A host that does not stay builds the standby of a new version, compares and swaps it, and lets the old one follow.
pub async fn a_host_that_does_not_stay_builds_and_swaps_a_standby<S: Subject>() {
    if !S::CAPABILITIES.side_by_side {
        return;
    }
    let (log, subject) = (with_notes(20).await, fresh::<S>().await);
    let host =
        |journal, settings| OnDemand::projection(journal, subject.database(), log.clone(), settings).unwrap();
    let old = host(Journal::new(), settings());
    let soon = || Instant::now() + LONG;
    assert_eq!(old.drain_until(soon()).await, Drained::CaughtUp);
    assert_eq!(old.drain_standby_until(soon()).await, Drained::Elsewhere);
    let new = host(Journal { version: 2, ending: "!", ..Journal::new() }, beside(&1, false));
    assert_eq!(new.drain_until(soon()).await, Drained::Elsewhere, "the live one is of the old version");
    assert!(!subject.table("journal").await["s0"].contains('!'));
    log.append("s0", &note("more")).await;
    assert_eq!(new.drain_standby_until(soon()).await, Drained::Elsewhere, "now it is of the old version");
    assert!(subject.table("journal").await["s0"].ends_with("more!\""));
    assert_eq!(new.drain_until(soon()).await, Drained::CaughtUp);
    log.append("s0", &note("last")).await;
    assert_eq!(old.drain_until(soon()).await, Drained::Elsewhere);
    assert_eq!(old.drain_standby_until(soon()).await, Drained::CaughtUp);
    assert_eq!(loaded(&subject, Slot::Standby).await, Some(22));
}

/// Changes the rows of the live journal, as no event did.
async fn damaged<S: Subject>(subject: &Arc<S>, rows: &[Change]) {
    let (database, live) = (subject.database(), ReadModelId::live("journal"));
    let mut tx = database.begin_in(&live).await.unwrap();
    let row = tx.load(&live).await.unwrap().unwrap();
    assert!(tx.replace(&live, row.position, &row).await.unwrap());
    tx.write_rows(&Table::document("journal"), rows).await.unwrap();
    tx.commit().await.unwrap();
}

async fn loaded<S: Subject>(subject: &Arc<S>, slot: Slot) -> Option<u64> {
    let (database, model) = (subject.database(), ReadModelId::new("journal", slot));
    let row = database.begin_in(&model).await.unwrap().load(&model).await.unwrap();
    row.map(|row| row.position.next.get())
}

/// What a worker that was killed has left complete, or half built, the next one completes and swaps, also when
/// nothing new is in the log.
pub async fn a_standby_is_completed_and_swapped_after_a_restart<S: Subject>() {
    if !S::CAPABILITIES.side_by_side || !S::CAPABILITIES.reopens {
        return;
    }
    for partitions in partitions::<S>() {
        let (log, subject) = (with_notes(20).await, fresh::<S>().await);
        let bench = start(&log, &subject, &Journal::new(), split(partitions));
        bench.caught_up().await;
        let only_built = SideBySide { no_swap: true, ..SideBySide::default() };
        bench.handle().rebuild_side_by_side("journal", only_built, "").await.unwrap();
        bench.status_when(|status| status.standby.as_ref().is_some_and(|it| it.checkpoint.get() == 20)).await;
        bench.close().await;
        // As one leaves it that was killed after its last step, before the swap.
        let standby = ReadModelId::new("journal", Slot::Standby);
        let database = subject.database();
        let mut tx = database.begin_in(&standby).await.unwrap();
        let row = tx.load(&standby).await.unwrap().unwrap();
        let due = row.moved(|row| row.standby.as_mut().unwrap().swap = true);
        assert!(tx.replace(&standby, row.position, &due).await.unwrap());
        tx.commit().await.unwrap();
        drop(database);
        let subject = Arc::new(Arc::into_inner(subject).unwrap().reopen().await);
        let next = start(&log, &subject, &Journal::new(), split(partitions));
        next.status_when(|status| has_role(status, StandbyRole::Following)).await;
        assert_eq!(subject.table("journal").await.len(), 24);
        next.close().await;
    }
}

/// A standby is paused, resumed and waited for by its own name. What concerns both read models has the projection's
/// name.
pub async fn a_standby_is_operated_by_its_own_name<S: Subject>() {
    for partitions in supported::<S>() {
        let (log, subject) = (with_notes(20).await, fresh::<S>().await);
        let bench = start(&log, &subject, &Journal::new(), split(partitions));
        bench.caught_up().await;
        let handle = bench.handle();
        let only_built = SideBySide { no_swap: true, ..SideBySide::default() };
        handle.rebuild_side_by_side("journal", only_built, "").await.unwrap();
        bench.status_when(|status| status.standby.is_some()).await;
        handle.pause("journal__standby", "to look").await.unwrap();
        let is_paused = |status: &Status| status.standby.as_ref().is_some_and(|it| it.pause.is_some());
        let status = bench.status_when(is_paused).await;
        assert!(status.pause.is_none(), "the live one goes on");
        let standby = handle.status("journal__standby").await.unwrap();
        assert_eq!(
            (&*standby.name, standby.state, &standby.standby),
            ("journal__standby", State::Paused, &None)
        );
        assert_eq!(standby.pause.unwrap().reason, "to look");
        let of_standby = handle.audit("journal__standby", 10).await.unwrap();
        assert_eq!(of_standby.iter().map(|entry| &*entry.action).collect::<Vec<_>>(), ["pause"]);
        handle.resume("journal__standby", "seen").await.unwrap();
        bench.status_when(|status| !is_paused(status)).await;
        let head = handle.status("journal").await.unwrap().head;
        handle.when_reached("journal__standby", head, LONG).await.unwrap();
        for refused in [
            handle.discard_standby("journal__standby", "").await,
            handle.rebuild("journal__standby", "").await,
        ] {
            assert!(matches!(refused, Err(OperateError::Unknown { .. })), "{refused:?}");
        }
        handle.discard_standby("journal", "").await.unwrap();
        assert_eq!(handle.status("journal__standby").await.unwrap_err(), OperateError::NoStandby);
        assert_eq!(loaded(&subject, Slot::Standby).await, None);
        let audit = handle.audit("journal", 10).await.unwrap();
        let actions: Vec<_> = audit.iter().map(|entry| &*entry.action).collect();
        assert_eq!(actions, ["discard", "rebuild_side_by_side"]);
        bench.close().await;
    }
}

/// An estimate applies changesets to a read model that is never there.
pub async fn an_estimate_leaves_nothing<S: Subject>() {
    let (log, subject) = (with_notes(20).await, fresh::<S>().await);
    let bench = start(&log, &subject, &Journal::new(), settings());
    bench.caught_up().await;
    let before = subject.table("journal").await;
    let estimate = bench.handle().estimate("journal").await.unwrap();
    let knows = S::CAPABILITIES.side_by_side;
    assert_eq!(estimate.changesets, 20);
    assert_eq!(estimate.rate.is_some(), knows);
    assert_eq!(subject.table("journal").await, before);
    assert_eq!(loaded(&subject, Slot::Scratch).await, None);
    bench.close().await;
}

/// Notes in 4 streams.
async fn with_notes(count: usize) -> Arc<ChangingLog> {
    let log = ChangingLog::new();
    for n in 0..count {
        log.append(&format!("s{}", n % 4), &note(&n.to_string())).await;
    }
    log
}

/// The numbers of partitions to try it with.
fn partitions<S: Subject>() -> &'static [u32] {
    if S::CAPABILITIES.partitions { &[1, 3] } else { &[1] }
}

/// The same where a read model can be built side by side, and none elsewhere.
fn supported<S: Subject>() -> &'static [u32] {
    if S::CAPABILITIES.side_by_side { partitions::<S>() } else { &[] }
}

fn split(partitions: &u32) -> Settings {
    Settings { partitions: *partitions, ..settings() }
}

fn beside(partitions: &u32, verify: bool) -> Settings {
    Settings { new_version: NewVersion::SideBySide { verify }, ..split(partitions) }
}

fn has_role(status: &Status, role: StandbyRole) -> bool {
    status.standby.as_ref().is_some_and(|standby| standby.plan.role == role)
}

fn is_at_head(status: &Status) -> bool {
    status.checkpoint == status.head
}
