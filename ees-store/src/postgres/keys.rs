//! Idempotency keys are kept for a while, by the database's clock; then they go, a bounded number at a time.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::readers::Readers;
use super::sql::NOW;
use crate::key_ages::{KEYS_AT_ONCE, KeyAges, Part};
use crate::{Result, Timestamp};

const PAUSE: Duration = Duration::from_secs(60);

/// Forgets old keys until it is dropped. Several processes may do so at once.
pub(super) async fn sweep(readers: Arc<Readers>, keep: Duration) {
    let mut ages = None;
    let mut after = i64::MIN;
    loop {
        match sweep_part(&readers, keep, &mut ages, after).await {
            Ok(part) => match part.rest_after() {
                Some(rest) => {
                    after = rest;
                    continue;
                }
                None => after = i64::MIN,
            },
            Err(error) => tracing::warn!(%error, "failed to delete old idempotency keys; will retry"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn sweep_part(
    readers: &Readers,
    keep: Duration,
    ages: &mut Option<KeyAges>,
    after: i64,
) -> Result<Part> {
    let ages = match ages {
        Some(ages) => ages,
        None => {
            let (clock, newest) = readers.ask(&(), |(), connection| Box::pin(clock(connection))).await?;
            ages.insert(KeyAges::new(keep, clock, newest))
        }
    };
    let question = (after, ages.forgotten_up_to().as_micros());
    readers.ask(&question, |(after, before), connection| Box::pin(delete(connection, *after, *before))).await
}

/// What the database's clock says, and when the newest key was stored.
async fn clock(connection: &mut PgConnection) -> sqlx::Result<(Timestamp, Option<Timestamp>)> {
    let newest = "SELECT stored_at FROM ees_store.idempotency_keys ORDER BY checkpoint DESC LIMIT 1";
    let sql = sqlx::AssertSqlSafe(format!("SELECT {NOW}, ({newest})"));
    let row = sqlx::query(sql).fetch_one(connection).await?;
    let newest: Option<i64> = row.try_get(1)?;
    Ok((Timestamp::from_micros(row.try_get(0)?), newest.map(Timestamp::from_micros)))
}

async fn delete(connection: &mut PgConnection, after: i64, before: i64) -> sqlx::Result<Part> {
    let sql = format!(
        "WITH part AS MATERIALIZED (
            SELECT checkpoint, stored_at FROM ees_store.idempotency_keys WHERE checkpoint > $1
            ORDER BY checkpoint LIMIT $2
        ), deleted AS (
            DELETE FROM ees_store.idempotency_keys WHERE checkpoint IN (
                SELECT k.checkpoint FROM ees_store.idempotency_keys k JOIN part USING (checkpoint)
                WHERE k.stored_at <= $3 FOR UPDATE OF k SKIP LOCKED
            )
        )
        SELECT max(checkpoint), count(*), coalesce(bool_or(stored_at > $3 AND stored_at <= {NOW}), false) FROM part"
    );
    let part = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(after).bind(KEYS_AT_ONCE).bind(before);
    let row = part.fetch_one(connection).await?;
    Ok(Part { last: row.try_get(0)?, keys: row.try_get(1)?, has_young: row.try_get(2)? })
}
