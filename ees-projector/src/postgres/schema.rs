//! The framework's tables in a read-model database, in the schema `ees`, and their migrations.

use std::time::{Duration, Instant};

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection, SqlSafeStr};

use super::error::is_locked;
use super::{ConnectError, TURN_MAX};

/// The table of the migrations that were applied.
const VERSIONS: &str = "ees.migrations";
/// `eesproje` in ASCII. A migration holds this advisory lock.
const MIGRATION_LOCK: i64 = 0x6565_7370_726f_6a65;

/// How long a migration that was not given a lock leaves the tables to others.
const PAUSE: Duration = Duration::from_millis(500);

/// One migration for each version. A released migration never changes.
fn migrator() -> Migrator {
    let step = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(vec![
        step(1, "projections", include_str!("0001_projections.sql")),
        step(2, "effects", include_str!("0002_effects.sql")),
        step(3, "skips", include_str!("0003_skips.sql")),
        step(4, "objects", include_str!("0004_objects.sql")),
        step(5, "timers", include_str!("0005_timers.sql")),
        step(6, "fingerprints", include_str!("0006_fingerprints.sql")),
        step(7, "segments", include_str!("0007_segments.sql")),
        step(8, "attempts", include_str!("0008_attempts.sql")),
    ]);
    migrator.dangerous_set_table_name(VERSIONS);
    migrator.create_schema("ees");
    // The migrator's own lock belongs to a session, but a pooling proxy may run each statement in another
    // one.
    migrator.set_locking(false);
    migrator
}

/// Migrates the database to this version. While somebody else has a lock that this needs, tries again: a
/// migration that waits for its lock makes everybody who needs the table later wait too.
pub(super) async fn prepare(connection: &mut PgConnection, begin: &'static str) -> Result<(), ConnectError> {
    let deadline = Instant::now() + TURN_MAX;
    loop {
        match migrate(connection, begin).await {
            Err(error) if is_locked(&error) && Instant::now() < deadline => {
                tracing::info!("the tables of ees are in use; their migration is tried again");
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

/// Migrates in one transaction that excludes other migrations.
async fn migrate(connection: &mut PgConnection, begin: &'static str) -> Result<(), ConnectError> {
    let migrator = migrator();
    let newest = migrator.iter().map(|step| step.version).max();
    let mut tx = connection.begin_with(begin).await?;
    match version(&mut tx).await? {
        there if there == newest => return Ok(()),
        there if there > newest => return Err(newer()),
        _ => {}
    }
    sqlx::query("SET LOCAL lock_timeout = '1s'").execute(&mut *tx).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATION_LOCK).execute(&mut *tx).await?;
    // The session caches that the schema did not exist until it locks a table. The previous holder of the
    // lock may have created it.
    sqlx::query("SELECT count(*) FROM pg_catalog.pg_namespace").execute(&mut *tx).await?;
    match migrator.run_direct(None, &mut *tx, false).await {
        Ok(()) => Ok(tx.commit().await?),
        Err(MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..)) => Err(newer()),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(error.into()),
        Err(other) => Err(ConnectError::new("the tables of ees could not be migrated", Some(other.into()))),
    }
}

fn newer() -> ConnectError {
    ConnectError::new("a newer version of ees has used this database: use that version or a later one", None)
}

/// The newest migration that was applied, if any.
async fn version(connection: &mut PgConnection) -> Result<Option<i64>, ConnectError> {
    let there: Option<String> =
        sqlx::query_scalar("SELECT to_regclass('ees.migrations')::text").fetch_one(&mut *connection).await?;
    if there.is_none() {
        return Ok(None);
    }
    match connection.list_applied_migrations(VERSIONS).await {
        Ok(applied) => Ok(applied.iter().map(|step| step.version).max()),
        Err(other) => {
            Err(ConnectError::new("the version of the tables of ees can't be read", Some(other.into())))
        }
    }
}
