//! Idempotency keys are kept for a while; then they go, a bounded number at a time.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnection;

use super::readers::Readers;
use crate::Timestamp;

const KEYS_AT_ONCE: i64 = 1_000;
const PAUSE: Duration = Duration::from_secs(60);

/// Forgets old keys until it is dropped. Several processes may do so at once.
pub(super) async fn sweep(readers: Arc<Readers>, keep: Duration) {
    loop {
        let deleted = match readers.ask(&keep, |keep, connection| Box::pin(delete(connection, *keep))).await {
            Ok(deleted) => deleted,
            Err(error) => {
                tracing::warn!(%error, "failed to delete old idempotency keys; will retry");
                0
            }
        };
        if deleted < KEYS_AT_ONCE as u64 {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn delete(connection: &mut PgConnection, keep: Duration) -> sqlx::Result<u64> {
    let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
    // The oldest by place, so that a look at nothing but young keys stays short.
    let deleted = sqlx::query(
        "DELETE FROM ees_store.idempotency_keys WHERE checkpoint IN (
            SELECT checkpoint FROM (
                SELECT checkpoint, stored_at FROM ees_store.idempotency_keys ORDER BY checkpoint LIMIT $1
            ) oldest WHERE stored_at < $2 FOR UPDATE SKIP LOCKED
        )",
    );
    let before = Timestamp::now().as_micros().saturating_sub(keep);
    Ok(deleted.bind(KEYS_AT_ONCE).bind(before).execute(connection).await?.rows_affected())
}
