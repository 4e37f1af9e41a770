//! What is proven of a log besides its changesets, and what is added to those from before checksums.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};

use super::error::{Failure, at_path};
use super::file::{check_not_lost, resolve};
use super::lock::Lock;
use super::{Options, belonging, schema};
use crate::quarantine::StoredBody;
use crate::{Error, KeyCheck, Result, Timestamp};

/// Rows that get their checksums in one transaction.
const BATCH_ROWS: usize = 1_000;

/// Checks the idempotency keys of a log: each became a changeset that is there, and none is there twice. A
/// process may have the log open. `keep` is the time that keys are kept ([`Options::keep_keys`]).
///
/// # Errors
/// [`Error::InvalidRequest`] when there is no such file; [`Error::Damaged`], [`Error::Storage`].
pub fn check_keys(log: &Path, keep: Duration) -> Result<KeyCheck> {
    let log = &existing(log)?;
    let connection = schema::open_reader(log)?;
    schema::log_id(&connection, log)?;
    check(&connection, keep).map_err(|failure| failure.at(log))
}

fn check(connection: &Connection, keep: Duration) -> Result<KeyCheck, Failure> {
    // One snapshot for the statements below.
    let snapshot = connection.unchecked_transaction()?;
    let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
    let expired = Timestamp::now().as_micros().saturating_sub(keep);
    let counts = "SELECT count(*), coalesce(sum(stored_at <= ?1), 0) FROM idempotency_keys";
    let (keys, expired) = snapshot.query_row(counts, [expired], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut check = KeyCheck { keys, expired, ..KeyCheck::default() };
    let lost = "SELECT lower(hex(key_digest)), checkpoint FROM idempotency_keys
        LEFT JOIN changesets USING (checkpoint) WHERE changesets.stream_id IS NULL ORDER BY checkpoint";
    let mut statement = snapshot.prepare(lost)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, checkpoint): (String, i64) = (row.get(0)?, row.get(1)?);
        check.fault(|| {
            format!("the key {key} became the changeset at checkpoint {checkpoint}, where none is")
        });
    }
    // The index would hide what it does not have.
    let doubled = "SELECT lower(hex(key_digest)), count(*) FROM idempotency_keys NOT INDEXED
        GROUP BY key_digest HAVING count(*) > 1 OR length(key_digest) <> 32";
    let mut statement = snapshot.prepare(doubled)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, count): (String, i64) = (row.get(0)?, row.get(1)?);
        check.fault(|| match count {
            1 => format!("the key {key} is no SHA-256 digest"),
            count => format!("the key {key} is there {count} times"),
        });
    }
    Ok(check)
}

/// Adds checksums to the changesets that have none, from before there were checksums, and returns how many it
/// added. What can't be read gets none. No process may have the log open.
///
/// # Errors
/// As for [`Store::open`](super::Store::open), and [`Error::InvalidRequest`] when there is no such file. What was
/// added stays; call it again.
pub fn add_checksums(log: &Path) -> Result<u64> {
    let log = &existing(log)?;
    let _lock = Lock::take(log)?;
    belonging::check(log)?;
    let mut connection = schema::open(log, Options::default())?;
    let (mut after, mut added) = (-1, 0);
    loop {
        let (last, some) = add_some(&mut connection, after).map_err(|error| at_path(log, error))?;
        added += some;
        match last {
            Some(last) => after = last,
            None => return Ok(added),
        }
    }
}

/// The next rows without a checksum get theirs: where they end, and how many did.
fn add_some(connection: &mut Connection, after: i64) -> rusqlite::Result<(Option<i64>, u64)> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (mut last, mut checksums) = (None, Vec::new());
    {
        let mut missing = tx.prepare_cached(
            "SELECT checkpoint, stream_id, event_count, events, metadata FROM changesets
             WHERE checkpoint > ?1 AND checksum IS NULL ORDER BY checkpoint LIMIT ?2",
        )?;
        let mut rows = missing.query(params![after, BATCH_ROWS])?;
        while let Some(row) = rows.next()? {
            let checkpoint: i64 = row.get(0)?;
            last = Some(checkpoint);
            let bytes = |column| -> rusqlite::Result<&[u8]> { Ok(row.get_ref(column)?.as_bytes()?) };
            let count = row.get::<_, i64>(2)?.try_into().unwrap_or(0);
            let body = StoredBody { events: bytes(3)?, metadata: bytes(4)?, count };
            checksums.extend(body.own_checksum(bytes(1)?).map(|checksum| [checkpoint, checksum]));
        }
        let update = "UPDATE changesets SET checksum = ?2 WHERE checkpoint = ?1 AND checksum IS NULL";
        let mut update = tx.prepare_cached(update)?;
        for &checksum in &checksums {
            update.execute(checksum)?;
        }
    }
    tx.commit()?;
    Ok((last, checksums.len() as u64))
}

/// Where the log is.
fn existing(log: &Path) -> Result<PathBuf> {
    if !log.exists() {
        return Err(Error::InvalidRequest(format!("there is no log at {}", log.display())));
    }
    let log = resolve(log)?;
    check_not_lost(&log)?;
    Ok(log)
}
