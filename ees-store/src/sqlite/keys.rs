//! Idempotency keys: which commit a key became, kept for a while.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use crate::{ChangesetId, Checkpoint, Commit, Committed, Refusal, Timestamp};

/// What the first commit with this key became, or why a repeat with another body is refused.
pub(super) fn repeat(
    connection: &Connection,
    commit: &Commit,
    digest: &[u8; 32],
) -> rusqlite::Result<Option<Result<Committed, Refusal>>> {
    let mut find = connection.prepare_cached(
        "SELECT checkpoint, changeset_id, events = ?2 AND metadata = ?3
         FROM idempotency_keys JOIN changesets USING (checkpoint) WHERE key_digest = ?1",
    )?;
    let wanted = params![digest, commit.events.as_stored(), commit.metadata.as_str()];
    find.query_row(wanted, |row| {
        let same: bool = row.get(2)?;
        if !same {
            return Ok(Err(Refusal::KeyReused));
        }
        Ok(Ok(Committed {
            changeset_id: ChangesetId::new(row.get(1)?),
            checkpoint: Some(Checkpoint::new(row.get(0)?)),
        }))
    })
    .optional()
}

pub(super) fn insert(
    connection: &Connection,
    digest: &[u8; 32],
    checkpoint: Checkpoint,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO idempotency_keys (checkpoint, key_digest, stored_at) VALUES (?1, ?2, ?3)",
    )?;
    insert.execute(params![checkpoint.get(), digest, Timestamp::now().as_micros()])?;
    Ok(())
}

/// Forgets old keys, a bounded number at a time, between batches.
pub(super) struct Sweeper {
    keep: Duration,
    due: Instant,
}

impl Sweeper {
    const KEYS_AT_ONCE: usize = 1_000;
    const PAUSE: Duration = Duration::from_secs(60);

    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, due: Instant::now() }
    }

    pub(super) fn sweep(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if Instant::now() < self.due {
            return Ok(());
        }
        let keep = i64::try_from(self.keep.as_micros()).unwrap_or(i64::MAX);
        let before = Timestamp::now().as_micros().saturating_sub(keep);
        // The oldest by place, so that a look at nothing but young keys stays short.
        let mut delete = connection.prepare_cached(
            "DELETE FROM idempotency_keys WHERE checkpoint IN (
                SELECT checkpoint FROM (
                    SELECT checkpoint, stored_at FROM idempotency_keys ORDER BY checkpoint LIMIT ?1
                ) WHERE stored_at < ?2
            )",
        )?;
        let deleted = delete.execute(params![Self::KEYS_AT_ONCE, before])?;
        if deleted < Self::KEYS_AT_ONCE {
            self.due = Instant::now() + Self::PAUSE;
        }
        Ok(())
    }
}
