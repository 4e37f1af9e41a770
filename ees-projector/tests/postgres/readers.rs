//! Readers, who know nothing of what happens to the read model behind its name.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use ees_projector::postgres::Database;
use ees_projector::{NewVersion, OperateError, Projector, Settings, SideBySide, StandbyRole, Status};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use tokio::task::JoinHandle;

use crate::support::{Balances, Bank, LONG, until};

const TOTAL: &str = "SELECT coalesce(sum((state->>'amount')::bigint), 0)::bigint FROM balances.balances";

/// A role of the test's own.
struct Role<'a> {
    bank: &'a Bank,
    name: String,
}

impl<'a> Role<'a> {
    async fn new(bank: &'a Bank, suffix: &str) -> Self {
        let database = bank.url().rsplit('/').next().unwrap();
        let name = format!("{database}_{suffix}");
        bank.run(&format!("CREATE ROLE {name} LOGIN")).await;
        Self { bank, name }
    }

    async fn connect(&self) -> PgConnection {
        let options: PgConnectOptions = self.bank.url().parse().unwrap();
        options.username(&self.name).connect().await.unwrap()
    }

    async fn may(&self, sql: &str) -> bool {
        self.connect().await.execute(AssertSqlSafe(sql.to_owned())).await.is_ok()
    }

    async fn remove(self) {
        self.bank.run(&format!("DROP OWNED BY {0}; DROP ROLE {0}", self.name)).await;
    }
}

/// Asks for the total all the time, in transactions of several statements or none: every one that was seen.
async fn watch(
    role: &Role<'_>,
    isolation: Option<&'static str>,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<BTreeSet<i64>> {
    let (mut connection, stop) = (role.connect().await, stop.clone());
    tokio::spawn(async move {
        let mut seen = BTreeSet::new();
        while !stop.load(SeqCst) {
            let Some(isolation) = isolation else {
                seen.insert(sqlx::query_scalar(TOTAL).fetch_one(&mut connection).await.unwrap());
                continue;
            };
            let mut tx = connection.begin_with(isolation).await.unwrap();
            for _ in 0..4 {
                // Sees what it sees from now on; and another table lets it look for news of names.
                let _: i64 =
                    sqlx::query_scalar("SELECT count(*) FROM pg_class").fetch_one(&mut *tx).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
                seen.insert(sqlx::query_scalar(TOTAL).fetch_one(&mut *tx).await.unwrap());
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            tx.commit().await.unwrap();
        }
        seen
    })
}

fn follows(status: &Status) -> bool {
    status.standby.as_ref().is_some_and(|standby| standby.plan.role == StandbyRole::Following)
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_survive_a_rebuild_in_place_a_swap_and_a_rollback() {
    let bank = Bank::new().await;
    bank.deposit_to_many(20).await;
    let running = bank.start(Balances::default(), Settings::default()).await;
    bank.caught_up(&running).await;
    let (reads, counts, later) =
        (Role::new(&bank, "reads").await, Role::new(&bank, "counts").await, Role::new(&bank, "later").await);
    for role in [&reads, &counts, &later] {
        bank.run(&format!("GRANT USAGE ON SCHEMA balances TO {}", role.name)).await;
    }
    bank.run(&format!("GRANT SELECT ON balances.balances TO {}", reads.name)).await;
    bank.run(&format!("GRANT SELECT (key) ON balances.balances TO {}", counts.name)).await;
    bank.run(&format!(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA balances GRANT SELECT ON TABLES TO {}",
        later.name
    ))
    .await;
    let check = |when: &'static str| {
        let (reads, counts, later) = (&reads, &counts, &later);
        async move {
            assert!(reads.may(TOTAL).await, "{when}: who may read all");
            assert!(counts.may("SELECT count(key) FROM balances.balances").await, "{when}: one column");
            assert!(!counts.may(TOTAL).await, "{when}: the other column");
            assert!(!reads.may("DELETE FROM balances.balances").await, "{when}: nobody else writes");
            assert!(when == "at first" || later.may(TOTAL).await, "{when}: who may read what is to come");
        }
    };
    check("at first").await;
    let stop = Arc::new(AtomicBool::new(false));
    let watching = watch(&reads, None, &stop).await;
    running.handle().rebuild("balances", "").await.unwrap();
    bank.caught_up(&running).await;
    check("rebuilt in place").await;
    for (swaps, when) in [(1, "swapped"), (2, "swapped again")] {
        running.handle().rebuild_side_by_side("balances", SideBySide::default(), "").await.unwrap();
        let swapped = "SELECT count(*) FROM ees.audit WHERE action = 'swap'";
        until(when, LONG, || async { bank.number(swapped).await == swaps }).await;
        check(when).await;
    }
    running.handle().rollback("balances", false, "back").await.unwrap();
    check("rolled back").await;
    running.handle().rebuild("balances", "").await.unwrap();
    bank.caught_up(&running).await;
    check("rebuilt in place again").await;
    stop.store(true, SeqCst);
    assert!(watching.await.unwrap().contains(&20));
    running.shut_down().await;
    for role in [reads, counts, later] {
        role.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_no_outage() {
    let (bank, running) = Bank::with_balances().await;
    running.shut_down().await;
    let poor = Role::new(&bank, "poor").await;
    bank.run(&format!(
        "GRANT USAGE ON SCHEMA ees TO {0}; GRANT SELECT ON ALL TABLES IN SCHEMA ees TO {0}",
        poor.name
    ))
    .await;
    let url = format!("postgres://{}@{}", poor.name, bank.url().split_once('@').unwrap().1);
    let mut projector = Projector::new(bank.log.clone());
    let database = Database::connect(&url).await.unwrap();
    projector.fold(Balances::default(), database, Settings::default()).unwrap();
    let running = projector.start();
    let refused = running.handle().pause("balances", "").await.unwrap_err();
    assert!(
        matches!(&refused, OperateError::NotAuthorized(why) if why.contains("permission denied")),
        "{refused:?}"
    );
    running.shut_down().await;
    poor.remove().await;
}

/// Total, checkpoint and version of the tables that a name has found, asked in one statement.
const WITH_POSITION: &str =
    "SELECT coalesce(sum((b.state->>'amount')::bigint), 0)::bigint, min(p.checkpoint), min(p.version)
    FROM balances.balances b
    JOIN pg_class c ON c.oid = b.tableoid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN ees.projections p ON p.name = n.nspname";

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_their_position_are_of_one_read_model_at_every_moment_of_a_swap() {
    let bank = Arc::new(Bank::new().await);
    bank.deposit_to_many(20).await;
    let old = bank.start(Balances::default(), Settings::default()).await;
    bank.caught_up(&old).await;
    let stop = Arc::new(AtomicBool::new(false));
    let watching: Vec<_> = ["BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ"]
        .into_iter()
        .map(|isolation| {
            let (bank, stop) = (bank.clone(), stop.clone());
            tokio::spawn(async move {
                let mut connection = PgConnection::connect(bank.url()).await.unwrap();
                let mut seen = 0;
                while !stop.load(SeqCst) {
                    let mut tx = connection.begin_with(isolation).await.unwrap();
                    for _ in 0..3 {
                        let (total, checkpoint, version): (i64, i64, i64) =
                            sqlx::query_as(WITH_POSITION).fetch_one(&mut *tx).await.unwrap();
                        // Each changeset gives 1; in version 2, it gives 2.
                        assert_eq!(total, checkpoint * version, "{isolation} {version}");
                        seen += 1;
                    }
                    tx.commit().await.unwrap();
                }
                seen
            })
        })
        .collect();
    let depositing = tokio::spawn({
        let (bank, stop) = (bank.clone(), stop.clone());
        async move {
            while !stop.load(SeqCst) {
                bank.deposit("account-1", 1).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    let beside = NewVersion::SideBySide { verify: false };
    let settings = Settings { new_version: beside, ..Settings::default() };
    let new = bank.start(Balances { version: 2, bonus: 1, ..Balances::default() }, settings).await;
    bank.status_when(&old, follows).await;
    for _ in 0..4 {
        old.handle().rollback("balances", true, "back").await.unwrap();
        new.handle().rollback("balances", true, "and forth").await.unwrap();
    }
    stop.store(true, SeqCst);
    depositing.await.unwrap();
    for watching in watching {
        assert!(watching.await.unwrap() > 20);
    }
    old.shut_down().await;
    new.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_was_taken_away_does_not_come_back_with_a_rollback() {
    let bank = Bank::new().await;
    bank.deposit_to_many(20).await;
    let running = bank.start(Balances::default(), Settings::default()).await;
    bank.caught_up(&running).await;
    let reads = Role::new(&bank, "reads").await;
    bank.run(&format!(
        "GRANT USAGE ON SCHEMA balances TO {0}; GRANT SELECT ON balances.balances TO {0}",
        reads.name
    ))
    .await;
    running.handle().rebuild_side_by_side("balances", SideBySide::default(), "").await.unwrap();
    bank.status_when(&running, follows).await;
    assert!(reads.may(TOTAL).await);
    bank.run(&format!("REVOKE SELECT ON balances.balances FROM {}", reads.name)).await;
    running.handle().rollback("balances", false, "back").await.unwrap();
    assert!(!reads.may(TOTAL).await);
    running.shut_down().await;
    reads.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_in_transactions_see_no_half_built_state_through_a_new_version_and_back() {
    let bank = Bank::new().await;
    bank.deposit_to_many(100).await;
    let old = bank.start(Balances::default(), Settings::default()).await;
    bank.caught_up(&old).await;
    let reads = Role::new(&bank, "reads").await;
    bank.run(&format!(
        "GRANT USAGE ON SCHEMA balances TO {0}; GRANT SELECT ON balances.balances TO {0}",
        reads.name
    ))
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut watching = Vec::new();
    for isolation in [
        None,
        Some("BEGIN"),
        Some("BEGIN ISOLATION LEVEL REPEATABLE READ"),
        Some("BEGIN ISOLATION LEVEL REPEATABLE READ"),
    ] {
        watching.push(watch(&reads, isolation, &stop).await);
    }
    let slow = Balances { version: 2, bonus: 1, takes: Duration::from_millis(1) };
    let beside = NewVersion::SideBySide { verify: false };
    let new = bank
        .start(slow, Settings { new_version: beside, batch_changesets_max: 3, ..Settings::default() })
        .await;
    for number in 0..2 {
        bank.status_when(&old, follows).await;
        assert_eq!(bank.total(&bank.connect().await).await, 200, "round {number}");
        // Back and forth; and a new one now and then.
        let (back, forth) = (old.handle().rollback("balances", false, "back").await, new.handle());
        back.unwrap();
        bank.status_when(&new, follows).await;
        forth.rebuild_side_by_side("balances", SideBySide::default(), "not its own").await.unwrap_err();
        forth.discard_standby("balances", "anew").await.unwrap();
    }
    stop.store(true, SeqCst);
    for watching in watching {
        let seen = watching.await.unwrap();
        assert!(seen.iter().all(|total| [100, 200].contains(total)), "a total that no version has: {seen:?}");
    }
    old.shut_down().await;
    new.shut_down().await;
    reads.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_transaction_keeps_what_it_sees_and_others_do_not_wait_for_it() {
    let bank = Bank::new().await;
    bank.deposit_to_many(50).await;
    let running = bank.start(Balances::default(), Settings::default()).await;
    bank.caught_up(&running).await;
    bank.run("UPDATE balances.balances SET state = '{\"amount\":7,\"deposits\":1}' WHERE key = 'account-3'")
        .await;
    let mut connection = PgConnection::connect(bank.url()).await.unwrap();
    let mut long = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    // It sees the database as it is now, and has not looked at the read model yet.
    let _: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_class").fetch_one(&mut *long).await.unwrap();
    running.handle().rebuild_side_by_side("balances", SideBySide::default(), "damaged").await.unwrap();
    let whole = |status: &Status| {
        status
            .standby
            .as_ref()
            .is_some_and(|standby| standby.checkpoint.get() == 50 && standby.rebuild.is_none())
    };
    bank.status_when(&running, whole).await;
    // Readers outside of such a transaction are served all the while.
    for _ in 0..20 {
        assert_eq!(bank.total(&bank.connect().await).await, 56);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seen: i64 = sqlx::query_scalar(TOTAL).fetch_one(&mut *long).await.unwrap();
    assert_eq!(seen, 56, "in a transaction that is older than what was built");
    long.commit().await.unwrap();
    bank.status_when(&running, follows).await;
    assert_eq!(bank.total(&bank.connect().await).await, 50);
    running.shut_down().await;
}
