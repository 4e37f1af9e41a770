//! The framework's tables in a read-model database, by version, in the schema `ees`.

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection, SqlSafeStr};

use super::ConnectError;

/// The table that says which steps were taken.
const VERSIONS: &str = "ees.migrations";
/// `eesproje` in ASCII: whoever migrates holds this lock.
const MIGRATION_LOCK: i64 = 0x6565_7370_726f_6a65;

/// One step a version; a step that was released never changes.
fn migrator() -> Migrator {
    let step = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(vec![
        step(1, "projections", include_str!("0001_projections.sql")),
        step(2, "effects", include_str!("0002_effects.sql")),
    ]);
    migrator.dangerous_set_table_name(VERSIONS);
    migrator.create_schema("ees");
    // Its own lock belongs to a session, and a pooling proxy may give every statement another one.
    migrator.set_locking(false);
    migrator
}

/// Brings the database to this version, in one transaction that nobody else can be in.
pub(super) async fn prepare(connection: &mut PgConnection, begin: &'static str) -> Result<(), ConnectError> {
    let migrator = migrator();
    let newest = migrator.iter().map(|step| step.version).max();
    let mut tx = connection.begin_with(begin).await?;
    match version(&mut tx).await? {
        there if there == newest => return Ok(()),
        there if there > newest => return Err(newer()),
        _ => {}
    }
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATION_LOCK).execute(&mut *tx).await?;
    // A session remembers that there was no such schema until it locks a table; whoever had the lock may have made it.
    sqlx::query("SELECT count(*) FROM pg_catalog.pg_namespace").execute(&mut *tx).await?;
    match migrator.run_direct(None, &mut *tx, false).await {
        Ok(()) => Ok(tx.commit().await?),
        Err(MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..)) => Err(newer()),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(error.into()),
        Err(other) => Err(ConnectError::new("its tables could not be prepared", Some(other.into()))),
    }
}

fn newer() -> ConnectError {
    ConnectError::new(
        "the database was used by a newer version of ees; use that version or a later one",
        None,
    )
}

/// The newest step taken, if any was.
async fn version(connection: &mut PgConnection) -> Result<Option<i64>, ConnectError> {
    let there: Option<String> =
        sqlx::query_scalar("SELECT to_regclass('ees.migrations')::text").fetch_one(&mut *connection).await?;
    if there.is_none() {
        return Ok(None);
    }
    match connection.list_applied_migrations(VERSIONS).await {
        Ok(applied) => Ok(applied.iter().map(|step| step.version).max()),
        Err(other) => Err(ConnectError::new("its version can't be read", Some(other.into()))),
    }
}
