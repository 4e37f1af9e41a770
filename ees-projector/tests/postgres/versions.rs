//! Programs of several versions on one read model.

use std::time::Duration;

use ees_projector::postgres::Database;
use ees_projector::{NewVersion, Running, Settings, State, Status};

use sqlx::Connection;

use crate::support::{Balances, Bank, LONG, until};

const LIVE: &str = "SELECT coalesce(max(version), 0) FROM ees.projections WHERE name = 'balances'";
const EPOCH: &str = "SELECT epoch FROM ees.projections WHERE name = 'balances'";

async fn start(bank: &Bank, version: u32, new_version: NewVersion) -> Running {
    let bonus = i64::from(version) - 1;
    let takes = Duration::from_millis(1);
    let settings = Settings { batch_changesets_max: 5, new_version, ..Settings::default() };
    bank.start(Balances { version, bonus, takes }, settings).await
}

async fn the_newest_is_live_in_the_end(way: NewVersion, versions: [u32; 3]) {
    let bank = Bank::new().await;
    bank.deposit_to_many(100).await;
    let mut programs = Vec::new();
    for version in versions {
        programs.push(start(&bank, version, way).await);
    }
    until("the newest is live", LONG, || async { bank.number(LIVE).await == 3 }).await;
    let newest = &programs[versions.iter().position(|version| *version == 3).unwrap()];
    bank.caught_up(newest).await;
    let quiet = |status: &Status| status.state == State::Following && status.owner.is_some();
    bank.status_when(newest, quiet).await;
    let epoch = bank.number(EPOCH).await;
    for _ in 0..3 {
        bank.deposit("account-1", 1).await;
        bank.caught_up(newest).await;
    }
    assert_eq!(bank.total(&bank.connect().await).await, 309, "{versions:?}");
    assert_eq!(bank.number(EPOCH).await, epoch, "{versions:?}: nobody has taken it since");
    for program in programs {
        program.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_versions_in_place_the_newest_is_live_and_nothing_is_built_for_ever() {
    for versions in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
        the_newest_is_live_in_the_end(NewVersion::InPlace, versions).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_versions_side_by_side_the_newest_is_live_and_nothing_is_built_for_ever() {
    for versions in [[1, 2, 3], [2, 3, 1]] {
        the_newest_is_live_in_the_end(NewVersion::SideBySide { verify: false }, versions).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_an_open_reader_prevents_is_tried_again() {
    let bank = Bank::new().await;
    bank.connect().await;
    bank.run(
        "ALTER TABLE ees.projections DROP COLUMN objects, DROP COLUMN fingerprint, DROP COLUMN segment; DROP TABLE ees.timers;
         ALTER TABLE ees.effects DROP COLUMN worker, DROP COLUMN busy_until;
         DELETE FROM ees.migrations WHERE version >= 4",
    )
    .await;
    let mut reader = sqlx::PgConnection::connect(bank.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT FROM ees.projections").execute(&mut reader).await.unwrap();
    let url = bank.url().to_owned();
    let connecting = tokio::spawn(async move { Database::connect(&url).await });
    let waiting = || async {
        let waiting =
            "SELECT count(*) FROM pg_locks WHERE relation = 'ees.projections'::regclass AND NOT granted";
        bank.number(waiting).await > 0
    };
    until("the migration waits", LONG, waiting).await;
    until("it has given up", LONG, || async { !waiting().await }).await;
    assert!(!connecting.is_finished(), "it is tried again");
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    connecting.await.unwrap().unwrap();
    let migrated = "SELECT count(*) FROM ees.migrations WHERE version >= 4";
    assert_eq!(bank.number(migrated).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rolled_back_stays_so_when_programs_start_again() {
    let bank = Bank::new().await;
    bank.deposit_to_many(50).await;
    let way = NewVersion::SideBySide { verify: false };
    let mut old = start(&bank, 1, way).await;
    bank.caught_up(&old).await;
    let mut new = start(&bank, 2, way).await;
    until("the new one is live", LONG, || async { bank.number(LIVE).await == 2 }).await;
    bank.status_when(&old, |status| status.standby.is_some()).await;
    old.handle().rollback("balances", false, "back").await.unwrap();
    for way in [way, NewVersion::InPlace, way] {
        new.shut_down().await;
        old.shut_down().await;
        new = start(&bank, 2, way).await;
        old = start(&bank, 1, way).await;
        bank.deposit("account-1", 1).await;
        bank.caught_up(&old).await;
        bank.status_when(&new, |status| status.standby.is_some()).await;
        assert_eq!(bank.number(LIVE).await, 1);
    }
    assert_eq!(bank.total(&bank.connect().await).await, 53);
    old.shut_down().await;
    new.shut_down().await;
}
