//! Idempotency keys: which commit a key became, kept for a while.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use crate::key_ages::{KEYS_AT_ONCE, KeyAges, Part};
use crate::{ChangesetId, Checkpoint, Commit, Committed, Refusal, Timestamp};

/// How often the keys are looked through.
const PAUSE: Duration = Duration::from_secs(60);

/// The keys of a log. Old ones are forgotten between batches, a bounded number at a time.
pub(super) struct Keys {
    ages: KeyAges,
    due: Instant,
    /// The keys up to this checkpoint have had their turn.
    after: i64,
}

impl Keys {
    pub(super) fn open(connection: &Connection, keep: Duration) -> rusqlite::Result<Self> {
        let newest = "SELECT stored_at FROM idempotency_keys ORDER BY checkpoint DESC LIMIT 1";
        let newest = connection.query_row(newest, [], |row| row.get(0)).optional()?;
        let newest = newest.map(Timestamp::from_micros);
        let ages = KeyAges::new(keep, Timestamp::now(), newest);
        Ok(Self { ages, due: Instant::now(), after: i64::MIN })
    }

    /// What the first commit with this key became, or why a repeat with another body is refused.
    pub(super) fn repeat(
        &self,
        connection: &Connection,
        commit: &Commit,
        digest: &[u8; 32],
    ) -> rusqlite::Result<Option<Result<Committed, Refusal>>> {
        let mut find = connection.prepare_cached(
            "SELECT checkpoint, changeset_id, events = ?2 AND metadata = ?3
             FROM idempotency_keys JOIN changesets USING (checkpoint) WHERE key_digest = ?1",
        )?;
        let wanted = params![digest, commit.events.as_stored(), commit.metadata_as_stored()];
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
        &self,
        connection: &Connection,
        digest: &[u8; 32],
        checkpoint: Checkpoint,
    ) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO idempotency_keys (checkpoint, key_digest, stored_at) VALUES (?1, ?2, ?3)",
        )?;
        insert.execute(params![checkpoint.get(), digest, self.ages.now().as_micros()])?;
        Ok(())
    }

    /// Forgets old keys, when it is time.
    pub(super) fn sweep(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if Instant::now() < self.due {
            return Ok(());
        }
        let (before, now) = (self.ages.forgotten_up_to(), self.ages.now().max(Timestamp::now()));
        let mut look = connection.prepare_cached(
            "SELECT max(checkpoint), count(*), coalesce(max(stored_at > ?3 AND stored_at <= ?4), 0) FROM (
                SELECT checkpoint, stored_at FROM idempotency_keys WHERE checkpoint > ?1
                ORDER BY checkpoint LIMIT ?2
            )",
        )?;
        let part = params![self.after, KEYS_AT_ONCE, before.as_micros(), now.as_micros()];
        let part = look.query_row(part, |row| {
            Ok(Part { last: row.get(0)?, keys: row.get(1)?, has_young: row.get(2)? })
        })?;
        let mut delete = connection.prepare_cached(
            "DELETE FROM idempotency_keys WHERE checkpoint > ?1 AND checkpoint <= ?2 AND stored_at <= ?3",
        )?;
        delete.execute(params![self.after, part.last, before.as_micros()])?;
        match part.rest_after() {
            Some(after) => self.after = after,
            None => {
                self.after = i64::MIN;
                self.due = Instant::now() + PAUSE;
            }
        }
        Ok(())
    }
}
