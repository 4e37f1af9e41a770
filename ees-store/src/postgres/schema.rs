//! What the database holds, by version.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, SqlSafeStr};
use uuid::Uuid;

use super::error::failed;
use crate::{Error, LogId, Result};

/// The table that says which steps were taken.
const VERSIONS: &str = "ees_store.migrations";
/// `eesstore` in ASCII: a process that migrates holds this lock.
const MIGRATION_LOCK: i64 = 0x6565_7373_746f_7265;
/// How often a locked table is tried: for a minute.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_secs(1);

/// One step a version; a step that was released never changes.
fn migrator() -> Migrator {
    let step = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(vec![
        step(1, "log", include_str!("0001_log.sql")),
        step(2, "times", include_str!("0002_times.sql")),
        step(3, "checksums", include_str!("0003_checksums.sql")),
        step(4, "trace context", include_str!("0004_trace_context.sql")),
    ]);
    migrator.dangerous_set_table_name(VERSIONS);
    migrator.create_schema("ees_store");
    // Its own lock belongs to a session, and a pooling proxy may give every statement another one.
    migrator.set_locking(false);
    migrator
}

/// Brings the database to this version, in one transaction that nobody else can be in. A database that is
/// there already is only looked at: that needs no right to change it.
pub(super) async fn prepare(connection: &mut PgConnection) -> Result<()> {
    let encoding: String =
        sqlx::query_scalar("SHOW server_encoding").fetch_one(&mut *connection).await.map_err(failed)?;
    if encoding != "UTF8" {
        let detail =
            format!("its encoding is {encoding}, but ees needs UTF8: create it WITH ENCODING 'UTF8'");
        return Err(Error::Damaged { path: database(connection).await, detail });
    }
    let migrator = migrator();
    let newest = migrator.iter().map(|step| step.version).max().unwrap_or_default();
    match version(connection).await.map_err(failed)? {
        Some(there) if there == newest => return Ok(()),
        Some(there) if there > newest => {
            return Err(Error::NewerVersion { path: database(connection).await });
        }
        _ => {}
    }
    for _ in 0..TRIES {
        if migrate(connection, &migrator).await? {
            return Ok(());
        }
        tracing::warn!("somebody reads the log's tables, so they can't be changed now; trying again");
        tokio::time::sleep(PAUSE).await;
    }
    Err(Error::Unavailable(
        "PostgreSQL: the log's tables are in use, so they can't be brought to this version".into(),
    ))
}

/// Brings the tables to this version, in one transaction. Returns `false` if they are locked.
async fn migrate(connection: &mut PgConnection, migrator: &Migrator) -> Result<bool> {
    let mut tx = connection.begin().await.map_err(failed)?;
    // Everybody else queues behind a change of the tables that waits, also the servers that run.
    sqlx::raw_sql("SET LOCAL lock_timeout = '2s'").execute(&mut *tx).await.map_err(failed)?;
    let turn = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATION_LOCK);
    match turn.execute(&mut *tx).await {
        Ok(_) => {}
        Err(error) if is_locked(&error) => return Ok(false),
        Err(error) => return Err(failed(error)),
    }
    // A session remembers that there was no such schema until it locks a table; another process may have made
    // it.
    sqlx::query("SELECT count(*) FROM pg_catalog.pg_namespace").execute(&mut *tx).await.map_err(failed)?;
    match migrator.run_direct(None, &mut *tx, false).await {
        Ok(()) => tx.commit().await.map_err(failed).map(|()| true),
        Err(MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..)) => {
            drop(tx);
            Err(Error::NewerVersion { path: database(connection).await })
        }
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) if is_locked(&error) => {
            Ok(false)
        }
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(failed(error)),
        Err(other) => {
            Err(Error::Storage { detail: "preparing the database".to_owned(), source: Box::new(other) })
        }
    }
}

/// Whether a lock was not had in time.
fn is_locked(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03")
}

/// The newest step taken, if any was.
async fn version(connection: &mut PgConnection) -> sqlx::Result<Option<i64>> {
    let there: Option<String> = sqlx::query_scalar("SELECT to_regclass('ees_store.migrations')::text")
        .fetch_one(&mut *connection)
        .await?;
    if there.is_none() {
        return Ok(None);
    }
    let applied = connection.list_applied_migrations(VERSIONS).await.map_err(|e| match e {
        MigrateError::Execute(error) => error,
        other => sqlx::Error::Migrate(Box::new(other)),
    })?;
    Ok(applied.iter().map(|step| step.version).max())
}

/// The name of the database, for messages.
async fn database(connection: &mut PgConnection) -> PathBuf {
    let name: sqlx::Result<String> =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(connection).await;
    format!("database {}", name.unwrap_or_default()).into()
}

pub(super) async fn log_id(connection: &mut PgConnection) -> Result<LogId> {
    let text: String = sqlx::query_scalar("SELECT log_id FROM ees_store.log")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    match Uuid::parse_str(&text) {
        Ok(id) => Ok(LogId(id)),
        Err(_) => Err(Error::Damaged {
            path: database(connection).await,
            detail: "its log id is not a UUID".to_owned(),
        }),
    }
}
