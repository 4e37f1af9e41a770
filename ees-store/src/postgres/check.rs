//! What is proven of a log besides its changesets, and what is added to those from before checksums.

use std::time::Duration;

use futures::TryStreamExt as _;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row};

use super::error::failed;
use super::server::{self, Server};
use super::sql::{NOW, unsigned};
use super::{schema, unread};
use crate::quarantine::StoredBody;
use crate::{KeyCheck, Result};

/// Rows that get their checksums in one transaction.
const BATCH_ROWS: i64 = 1_000;

/// Checks the idempotency keys of a log: each became a changeset that is there, and none is there twice.
/// Processes may have the log open. `keep` is the time that keys are kept
/// ([`Options::keep_keys`](super::Options::keep_keys)).
///
/// # Errors
/// As for [`Store::connect`](super::Store::connect).
pub async fn check_keys(url: &str, keep: Duration) -> Result<KeyCheck> {
    let server = Server::at(url).map_err(|error| unread(&error))?;
    let mut connection = server.connect().await.map_err(failed)?;
    let mut tx = server::begin(&mut connection, server.pooled).await.map_err(failed)?;
    check(&mut tx, keep).await.map_err(failed)
}

async fn check(connection: &mut PgConnection, keep: Duration) -> sqlx::Result<KeyCheck> {
    // One snapshot for the statements below. And an index would hide what it does not have.
    let whole = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_indexscan = off;
        SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off";
    sqlx::raw_sql(whole).execute(&mut *connection).await?;
    let counts = format!(
        "SELECT count(*), count(*) FILTER (WHERE stored_at <= {NOW} - $1) FROM ees_store.idempotency_keys"
    );
    let counts = sqlx::query(AssertSqlSafe(counts)).bind(i64::try_from(keep.as_micros()).unwrap_or(i64::MAX));
    let counts = counts.fetch_one(&mut *connection).await?;
    let (keys, expired) = (unsigned(counts.try_get(0)?), unsigned(counts.try_get(1)?));
    let mut check = KeyCheck { keys, expired, ..KeyCheck::default() };
    let lost =
        "SELECT encode(key_digest, 'hex'), checkpoint FROM ees_store.idempotency_keys k WHERE NOT EXISTS
        (SELECT FROM ees_store.changesets c WHERE c.checkpoint = k.checkpoint) ORDER BY checkpoint";
    let mut rows = sqlx::query(lost).fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let (key, checkpoint): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        check.fault(|| {
            format!("the key {key} became the changeset at checkpoint {checkpoint}, where none is")
        });
    }
    drop(rows);
    let doubled = "SELECT encode(key_digest, 'hex'), count(*) FROM ees_store.idempotency_keys
        GROUP BY key_digest HAVING count(*) > 1 OR octet_length(key_digest) <> 32";
    let mut rows = sqlx::query(doubled).fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let (key, count): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        check.fault(|| match count {
            1 => format!("the key {key} is no SHA-256 digest"),
            count => format!("the key {key} is there {count} times"),
        });
    }
    drop(rows);
    Ok(check)
}

/// Adds checksums to the changesets that have none, from before there were checksums, and returns how many it
/// added. What can't be read gets none. Processes may have the log open. It needs the right to change
/// changesets, as their owner has.
///
/// # Errors
/// As for [`Store::connect`](super::Store::connect). What was added stays; call it again.
pub async fn add_checksums(url: &str) -> Result<u64> {
    let server = Server::at(url).map_err(|error| unread(&error))?;
    let mut connection = server.connect().await.map_err(failed)?;
    let mut tx = server::begin(&mut connection, server.pooled).await.map_err(failed)?;
    schema::prepare(&mut tx).await?;
    tx.commit().await.map_err(failed)?;
    let (mut after, mut added) = (-1, 0);
    loop {
        let mut tx = server::begin(&mut connection, server.pooled).await.map_err(failed)?;
        let (last, some) = add_some(&mut tx, after).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        added += some;
        match last {
            Some(last) => after = last,
            None => break,
        }
    }
    let _ = connection.close().await;
    Ok(added)
}

/// The next rows without a checksum get theirs: where they end, and how many did.
async fn add_some(connection: &mut PgConnection, after: i64) -> sqlx::Result<(Option<i64>, u64)> {
    let missing = sqlx::query(
        "SELECT checkpoint, stream_id, event_count, events, metadata FROM ees_store.changesets
         WHERE checkpoint > $1 AND checksum IS NULL ORDER BY checkpoint LIMIT $2",
    );
    let mut last = None;
    let (mut checkpoints, mut checksums) = (Vec::new(), Vec::new());
    let mut rows = missing.bind(after).bind(BATCH_ROWS).fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let checkpoint: i64 = row.try_get(0)?;
        last = Some(checkpoint);
        let bytes = |column: usize| -> sqlx::Result<&[u8]> { Ok(row.try_get::<&str, _>(column)?.as_bytes()) };
        let body = StoredBody { events: bytes(3)?, metadata: bytes(4)?, count: unsigned(row.try_get(2)?) };
        if let Some(checksum) = body.own_checksum(bytes(1)?) {
            checkpoints.push(checkpoint);
            checksums.push(checksum);
        }
    }
    drop(rows);
    let update = sqlx::query(
        "UPDATE ees_store.changesets c SET checksum = n.checksum
         FROM unnest($1::bigint[], $2::bigint[]) n (checkpoint, checksum)
         WHERE c.checkpoint = n.checkpoint AND c.checksum IS NULL",
    );
    let added = update.bind(checkpoints).bind(checksums).execute(connection).await?;
    Ok((last, added.rows_affected()))
}
