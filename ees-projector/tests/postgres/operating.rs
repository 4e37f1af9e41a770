//! Operators at one process, while another is at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use ees_projector::{Settings, SideBySide, StandbyRole, State};

use crate::support::{Balances, Bank, LONG, until};

/// One changeset a step, and a step after the other.
fn busy() -> (Balances, Settings) {
    let slow = Balances { takes: Duration::from_millis(3), ..Balances::default() };
    (slow, Settings { batch_changesets_max: 1, span_changesets_max: 1, ..Settings::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_busy_all_the_time_obeys_what_another_process_is_told() {
    let bank = Bank::new().await;
    bank.deposit_to_many(3_000).await;
    let (slow, settings) = busy();
    let workers = [bank.start(slow, settings).await, bank.start(slow, settings).await];
    let moving =
        || async { bank.number("SELECT coalesce(max(checkpoint), 0) FROM ees.projections").await > 20 };
    until("it moves", Duration::from_secs(20), moving).await;
    // Both have come: from now on it is one and the same that works.
    until("one of them works", LONG, || async {
        bank.number("SELECT count(*) FROM ees.workers WHERE projection = 'balances'").await == 2
    })
    .await;
    let mut told = &workers[0];
    for worker in &workers {
        if worker.handle().status("balances").await.unwrap().state == State::Elsewhere {
            told = worker;
        }
    }
    for _ in 0..5 {
        told.handle().pause("balances", "to look").await.unwrap();
        let here = bank.number("SELECT coalesce(max(checkpoint), 0) FROM ees.projections").await;
        assert!(here < 3_000, "it was not busy");
        told.handle().resume("balances", "seen").await.unwrap();
        until("it goes on", Duration::from_secs(20), || async {
            bank.number("SELECT coalesce(max(checkpoint), 0) FROM ees.projections").await > here
        })
        .await;
    }
    told.handle().rebuild("balances", "from zero").await.unwrap();
    let here = bank.number("SELECT coalesce(max(checkpoint), 0) FROM ees.projections").await;
    assert!(here < 20, "{here}");
    for worker in workers {
        worker.shut_down().await;
    }
    let at = bank.number("SELECT coalesce(max(checkpoint), 0) FROM ees.projections").await;
    assert_eq!(bank.total(&bank.connect().await).await, at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_begins_although_the_old_one_is_busy() {
    let bank = Bank::new().await;
    bank.deposit_to_many(800).await;
    let (slow, settings) = busy();
    let old = bank.start(slow, settings).await;
    let moving =
        || async { bank.number("SELECT coalesce(max(checkpoint), 0) FROM ees.projections").await > 20 };
    until("it moves", Duration::from_secs(20), moving).await;
    let new = bank.start(Balances { version: 2, bonus: 1, ..Balances::default() }, Settings::default()).await;
    until("the new version has it", Duration::from_secs(2), || async {
        bank.number("SELECT coalesce(max(version), 0) FROM ees.projections").await == 2
    })
    .await;
    bank.caught_up(&new).await;
    bank.status_when(&old, |status| status.state == State::Stopped).await;
    assert_eq!(bank.total(&bank.connect().await).await, 1_600);
    old.shut_down().await;
    new.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_by_several_at_once_leaves_whole_rows() {
    let bank = Arc::new(Bank::new().await);
    bank.deposit_to_many(50).await;
    let workers = [
        Arc::new(bank.start(Balances::default(), Settings::default()).await),
        Arc::new(bank.start(Balances::default(), Settings::default()).await),
    ];
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for worker in &workers {
        for what in 0..4 {
            let (worker, stop) = (worker.clone(), stop.clone());
            tasks.push(tokio::spawn(async move {
                let handle = worker.handle();
                while !stop.load(SeqCst) {
                    // Whether it is refused does not matter here.
                    let _ = match what {
                        0 => handle.rebuild("balances", "").await,
                        1 => handle.rebuild_side_by_side("balances", SideBySide::default(), "").await,
                        2 => handle.rollback("balances", false, "").await,
                        _ => handle.discard_standby("balances", "").await,
                    };
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }));
        }
    }
    for number in 0..100 {
        bank.deposit(&format!("account-{number}"), 1).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.store(true, SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    for worker in &workers {
        bank.caught_up(worker).await;
    }
    assert_eq!(bank.total(&bank.connect().await).await, 150);
    let known: &[&[&str]] = &[&["balances"], &["balances", "balances__standby"]];
    assert!(known.contains(&&*bank.schemas().await.iter().map(String::as_str).collect::<Vec<_>>()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_done_beside_a_read_model_is_refused_with_a_reason() {
    let bank = Bank::new().await;
    bank.deposit_to_many(10).await;
    let running = bank.start(Balances::default(), Settings::default()).await;
    bank.caught_up(&running).await;
    let handle = running.handle();
    for refused in [handle.swap("balances", false, "").await, handle.discard_standby("balances", "").await] {
        assert!(refused.unwrap_err().to_string().contains("standby"));
    }
    let only_built = SideBySide { no_swap: true, ..SideBySide::default() };
    handle.rebuild_side_by_side("balances", only_built, "").await.unwrap();
    let refused = handle.rebuild_side_by_side("balances", only_built, "").await.unwrap_err();
    assert!(refused.to_string().contains("already"), "{refused}");
    handle.rebuild("balances", "in place meanwhile").await.unwrap();
    bank.caught_up(&running).await;
    bank.status_when(&running, |status| {
        status
            .standby
            .as_ref()
            .is_some_and(|standby| standby.rebuild.is_none() && standby.checkpoint.get() == 10)
    })
    .await;
    handle.swap("balances", false, "").await.unwrap();
    let swapped = |status: &ees_projector::Status| {
        status.standby.as_ref().is_some_and(|standby| standby.plan.role == StandbyRole::Following)
    };
    bank.status_when(&running, swapped).await;
    assert_eq!(bank.total(&bank.connect().await).await, 10);
    handle.discard_standby("balances", "").await.unwrap();
    assert_eq!(bank.schemas().await, ["balances"]);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_that_is_discarded_while_it_is_built_leaves_nothing() {
    let bank = Bank::new().await;
    bank.deposit_to_many(300).await;
    let (slow, settings) = busy();
    let fast = bank.start(Balances::default(), Settings::default()).await;
    bank.caught_up(&fast).await;
    fast.shut_down().await;
    let running = bank.start(slow, settings).await;
    bank.caught_up(&running).await;
    running.handle().rebuild_side_by_side("balances", SideBySide::default(), "").await.unwrap();
    bank.status_when(&running, |status| {
        status.standby.as_ref().is_some_and(|standby| standby.checkpoint.get() > 10)
    })
    .await;
    running.handle().discard_standby("balances", "").await.unwrap();
    assert_eq!(bank.schemas().await, ["balances"]);
    bank.status_when(&running, |status| status.standby.is_none()).await;
    assert_eq!(bank.total(&bank.connect().await).await, 300);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_of_a_paused_read_model_says_so_soon() {
    let bank = Bank::new().await;
    bank.deposit_to_many(10).await;
    let running = bank.start(Balances::default(), Settings::default()).await;
    bank.caught_up(&running).await;
    running.handle().pause("balances", "holidays").await.unwrap();
    bank.deposit("account-1", 1).await;
    let verified = tokio::time::timeout(Duration::from_secs(5), running.handle().verify("balances")).await;
    let refused = verified.expect("it takes its time").unwrap_err();
    assert!(refused.to_string().contains("paused"), "{refused}");
    assert_eq!(bank.schemas().await, ["balances"]);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_verifications_at_once_end_both() {
    let bank = Bank::new().await;
    bank.deposit_to_many(200).await;
    let workers = [
        bank.start(Balances::default(), Settings::default()).await,
        bank.start(Balances::default(), Settings::default()).await,
    ];
    bank.caught_up(&workers[0]).await;
    let both = async {
        tokio::join!(workers[0].handle().verify("balances"), workers[1].handle().verify("balances"))
    };
    let (one, other) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("they end");
    for verified in [one, other] {
        match verified {
            Ok(comparison) => assert!(comparison.is_equal(), "{comparison:?}"),
            Err(refused) => {
                let said = refused.to_string();
                assert!(said.contains("another process") || said.contains("balances__scratch"), "{said}");
            }
        }
    }
    assert!(workers[0].handle().verify("balances").await.unwrap().is_equal());
    assert_eq!(bank.schemas().await, ["balances"]);
}
