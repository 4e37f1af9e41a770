//! A read model built beside the one that is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use ees_projector::postgres::Tx;
use ees_projector::{
    BoxError, NewVersion, OperateError, Projection, Projector, Recorded, Settings, SideBySide, StandbyRole,
    State,
};

use crate::support::{Balances, Bank, LONG};

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_side_by_side_ends_in_the_same_rows_and_keeps_the_old_ones_for_a_rollback() {
    let bank = Bank::new().await;
    bank.deposit_to_many(50).await;
    let running = bank.start(Balances::default(), Settings::default()).await;
    bank.caught_up(&running).await;
    let database = bank.connect().await;

    let wanted = SideBySide { verify: true, ..SideBySide::default() };
    running.handle().rebuild_side_by_side("balances", wanted, "to see").await.unwrap();
    bank.status_when(&running, |status| {
        status.standby.as_ref().is_some_and(|standby| standby.plan.role == StandbyRole::Following)
    })
    .await;
    assert_eq!(bank.total(&database).await, 50);

    bank.deposit("account-1", 10).await;
    bank.caught_up(&running).await;
    assert_eq!(bank.total(&database).await, 60);
    running.handle().rollback("balances", false, "back").await.unwrap();
    assert_eq!(bank.total(&database).await, 60, "the old one has followed");
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_no_error_and_only_whole_states_through_a_new_version_and_back() {
    let bank = Arc::new(Bank::new().await);
    bank.deposit_to_many(100).await;
    let old = bank.start(Balances::default(), Settings::default()).await;
    bank.caught_up(&old).await;

    let stop = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (bank, stop) = (bank.clone(), stop.clone());
        async move {
            let database = bank.connect().await;
            let mut seen = std::collections::BTreeSet::new();
            while !stop.load(SeqCst) {
                seen.insert(bank.total(&database).await);
            }
            seen
        }
    });
    let beside = Settings { new_version: NewVersion::SideBySide { verify: false }, ..Settings::default() };
    let new = bank.start(Balances { version: 2, bonus: 1, ..Balances::default() }, beside).await;
    let swapped =
        bank.status_when(&new, |status| status.standby.is_none() && status.checkpoint.get() == 100).await;
    assert_eq!(swapped.version, 2);
    // The old program goes on with the one that was live before.
    bank.status_when(&old, |status| {
        status.standby.as_ref().is_some_and(|standby| standby.plan.role == StandbyRole::Following)
    })
    .await;
    bank.deposit("account-1", 1_000).await;
    bank.caught_up(&new).await;
    old.handle().rollback("balances", false, "version 2 pays too much").await.unwrap();
    bank.caught_up(&old).await;
    stop.store(true, SeqCst);
    let seen = reader.await.unwrap();
    let known = [100, 200, 1_201, 1_100];
    assert!(seen.iter().all(|total| known.contains(total)), "a state that no version has: {seen:?}");
    assert_eq!(bank.total(&bank.connect().await).await, 1_100);
    old.shut_down().await;
    new.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_differs_is_not_swapped_and_the_rows_are_named() {
    let bank = Bank::new().await;
    bank.deposit_to_many(20).await;
    let old = bank.start(Balances::default(), Settings::default()).await;
    bank.caught_up(&old).await;
    let beside = Settings { new_version: NewVersion::SideBySide { verify: true }, ..Settings::default() };
    let new = bank.start(Balances { version: 2, bonus: 1, ..Balances::default() }, beside).await;
    let status = bank
        .status_when(&new, |status| {
            status.standby.as_ref().is_some_and(|standby| standby.plan.note.is_some())
        })
        .await;
    let note = status.standby.unwrap().plan.note.unwrap();
    assert!(note.contains("changed row account-0"), "{note}");
    assert_eq!(bank.total(&bank.connect().await).await, 20);
    new.handle().swap("balances", false, "it is meant so").await.unwrap();
    assert_eq!(bank.total(&bank.connect().await).await, 40);
    old.shut_down().await;
    new.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_left_ready_is_swapped_by_the_next_without_news() {
    let bank = Bank::new().await;
    bank.deposit_to_many(20).await;
    let running = bank.start(Balances::default(), Settings::default()).await;
    bank.caught_up(&running).await;
    let only_built = SideBySide { no_swap: true, ..SideBySide::default() };
    running.handle().rebuild_side_by_side("balances", only_built, "").await.unwrap();
    bank.status_when(&running, |status| {
        status.standby.as_ref().is_some_and(|standby| standby.checkpoint.get() == 20)
    })
    .await;
    running.shut_down().await;
    // As one leaves it that was killed after its last step.
    bank.run("UPDATE ees.projections SET standby = replace(standby, '\"swap\":false', '\"swap\":true')")
        .await;
    let next = bank.start(Balances::default(), Settings::default()).await;
    bank.status_when(&next, |status| {
        status.standby.as_ref().is_some_and(|standby| standby.plan.role == StandbyRole::Following)
    })
    .await;
    next.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_a_missing_and_an_extra_row_are_found() {
    let bank = Bank::new().await;
    bank.deposit_to_many(20).await;
    let running = bank.start(Balances::default(), Settings::default()).await;
    bank.caught_up(&running).await;
    let equal = running.handle().verify("balances").await.unwrap();
    assert_eq!((equal.rows, equal.checkpoint, equal.is_equal()), (20, 20, true));
    for damage in [
        "UPDATE balances.balances SET state = '{\"amount\":7,\"deposits\":1}' WHERE key = 'account-3'",
        "DELETE FROM balances.balances WHERE key = 'account-4'",
        "INSERT INTO balances.balances VALUES ('nobody', '{}')",
    ] {
        sqlx::raw_sql(damage).execute(bank.connect().await.pool()).await.unwrap();
    }
    let found = running.handle().verify("balances").await.unwrap();
    let found: Vec<_> = found.differences.iter().map(|text| text.split(':').nth(1).unwrap().trim()).collect();
    assert_eq!(found, ["changed row account-3", "missing row account-4", "extra row nobody"]);
    running.shut_down().await;
}

/// Keeps tables that have only the names of their columns in common with aliases.
struct Hostile;

const HOSTILE: &[&str] = &["t", "a", "Upper\"quoted", "größe", "select"];

impl Projection<Tx> for Hostile {
    type Event = serde::de::IgnoredAny;

    fn name(&self) -> &str {
        "hostile"
    }
    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        for table in HOSTILE {
            let table = table.replace('"', "\"\"");
            let sql = format!(
                "CREATE TABLE \"{table}\" (t text, a text, b text, key text, rows text, live text,
                    \"Upper\" text, \"quo\"\"te\" text, \"größe\" text, {long} text, PRIMARY KEY (t, \"quo\"\"te\"));
                 INSERT INTO \"{table}\" VALUES ('1', '1', '1', '1', '1', '1', '1', '1', '1', '1');
                 CREATE TABLE \"{table} without key\" (t text, a text);
                 INSERT INTO \"{table} without key\" VALUES ('1', '1'), ('1', '2')",
                long = "l".repeat(63)
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(tx.connection()).await?;
        }
        Ok(())
    }
    async fn drop_tables(&self, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn apply(&self, _: Recorded<'_, Self::Event>, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_is_compared_whatever_tables_and_columns_are_called() {
    let bank = Bank::new().await;
    let last = bank.deposit("account-1", 1).await;
    let mut projector = Projector::new(bank.log.clone());
    projector.projection(Hostile, bank.connect().await, Settings::default()).unwrap();
    let running = projector.start();
    running.handle().when_reached("hostile", last, LONG).await.unwrap();
    let equal = running.handle().verify("hostile").await.unwrap();
    assert_eq!((equal.rows, equal.differences), (15, vec![]));
    for column in ["a", "b", "key", "rows", "live", "\"Upper\"", "\"größe\""] {
        bank.run(&format!(
            "UPDATE hostile.t SET {column} = '2'; UPDATE hostile.\"größe\" SET {column} = '2'"
        ))
        .await;
        let found = running.handle().verify("hostile").await.unwrap().differences;
        assert_eq!(found.len(), 2, "{column}: {found:?}");
        assert!(found.iter().all(|it| it.contains("changed row (1,1)")), "{column}: {found:?}");
        bank.run(&format!(
            "UPDATE hostile.t SET {column} = '1'; UPDATE hostile.\"größe\" SET {column} = '1'"
        ))
        .await;
    }
    bank.run("UPDATE hostile.\"t without key\" SET a = '3' WHERE a = '2'").await;
    assert_eq!(
        running.handle().verify("hostile").await.unwrap().differences.len(),
        2,
        "one extra, one missing"
    );
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_beside_the_live_one_is_steered_by_its_own_name() {
    let (bank, running) = Bank::with_balances().await;
    let only_built = SideBySide { no_swap: true, ..SideBySide::default() };
    running.handle().rebuild_side_by_side("balances", only_built, "").await.unwrap();
    bank.status_when(&running, |status| status.standby.is_some()).await;
    running.handle().pause("balances__standby", "to look").await.unwrap();
    let status = bank
        .status_when(&running, |status| status.standby.as_ref().is_some_and(|it| it.pause.is_some()))
        .await;
    assert!(status.pause.is_none(), "the live one goes on");
    let standby = running.handle().status("balances__standby").await.unwrap();
    assert_eq!(
        (&*standby.name, standby.state, &standby.standby),
        ("balances__standby", State::Paused, &None)
    );
    assert_eq!(standby.pause.unwrap().reason, "to look");
    let of_standby = running.handle().audit("balances__standby", 10).await.unwrap();
    assert_eq!(of_standby.iter().map(|entry| &*entry.action).collect::<Vec<_>>(), ["pause"]);
    running.handle().resume("balances__standby", "seen").await.unwrap();
    bank.status_when(&running, |status| status.standby.as_ref().is_some_and(|it| it.pause.is_none())).await;
    let head = running.handle().status("balances").await.unwrap().head;
    running.handle().when_reached("balances__standby", head, LONG).await.unwrap();
    // What concerns both read models has the projection's name.
    for refused in [
        running.handle().discard_standby("balances__standby", "").await,
        running.handle().rebuild("balances__standby", "").await,
    ] {
        assert!(matches!(refused, Err(OperateError::Unknown { .. })), "{refused:?}");
    }
    running.handle().discard_standby("balances", "").await.unwrap();
    let gone = running.handle().status("balances__standby").await;
    assert_eq!(gone.unwrap_err(), OperateError::NoStandby);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_open_an_empty_database_at_once_all_succeed() {
    for _ in 0..3 {
        let bank = Bank::new().await;
        let opening = (0..6).map(|_| ees_projector::postgres::Database::connect(bank.url()));
        for opened in futures::future::join_all(opening).await {
            opened.unwrap();
        }
    }
}
