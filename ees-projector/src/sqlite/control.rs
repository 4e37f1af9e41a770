//! The projections' rows, what is parked, and the audit.

use ees_store::{ChangesetId, Checkpoint, LogId, StreamId, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use super::Tx;
use crate::control::{Applied, AuditEntry, Control, ParkedStream, Position};
use crate::database::Transaction;
use crate::projection::BoxError;

impl Transaction for Tx {
    async fn load(&mut self, name: &str) -> Result<Option<Control>, BoxError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT version, checkpoint, epoch, log_id, last_checkpoint, last_stream_id, last_changeset_id,
                rebuild_until, pause, last_timestamp FROM ees_projections WHERE name = ?1",
        )?;
        statement.query_row([name], |row| Ok(control(row))).optional()?.transpose()
    }

    async fn insert(&mut self, name: &str, control: &Control) -> Result<bool, BoxError> {
        let inserted = self
            .connection()
            .prepare_cached(
                "INSERT INTO ees_projections (name, version, checkpoint, epoch) VALUES (?1, 0, 0, 0)
                 ON CONFLICT DO NOTHING",
            )?
            .execute([name])?;
        if inserted == 0 {
            return Ok(false);
        }
        self.replace(name, Position { next: Checkpoint::START, epoch: 0 }, control).await
    }

    async fn replace(&mut self, name: &str, believed: Position, control: &Control) -> Result<bool, BoxError> {
        let mut statement = self.connection().prepare_cached(
            "UPDATE ees_projections SET version = ?4, checkpoint = ?5, epoch = ?6, log_id = ?7, last_checkpoint = ?8,
                last_stream_id = ?9, last_changeset_id = ?10, rebuild_until = ?11, pause = ?12,
                last_timestamp = ?13
             WHERE name = ?1 AND checkpoint = ?2 AND epoch = ?3",
        )?;
        let last = control.last.as_ref();
        let changed = statement.execute(params![
            name,
            believed.next.get(),
            believed.epoch,
            control.version,
            control.position.next.get(),
            control.position.epoch,
            control.log_id.map(|id| id.to_string()),
            last.map(|last| last.checkpoint.get()),
            last.map(|last| last.stream_id.as_str()),
            last.map(|last| last.changeset_id.get()),
            control.rebuild_until.map(Checkpoint::get),
            control.pause.as_ref().map(serde_json::to_string).transpose()?,
            last.map(|last| last.timestamp.as_micros()),
        ])?;
        Ok(changed == 1)
    }

    async fn park(
        &mut self,
        name: &str,
        changeset: &Applied,
        error: &str,
        retry_at: Timestamp,
    ) -> Result<(), BoxError> {
        let stream_id = changeset.stream_id.as_str();
        let connection = self.connection();
        connection
            .prepare_cached(
                "INSERT INTO ees_parked_streams (projection, stream_id, attempts, error, since, retry_at)
                 VALUES (?1, ?2, 1, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            )?
            .execute(params![name, stream_id, error, Timestamp::now().as_micros(), retry_at.as_micros()])?;
        connection
            .prepare_cached(
                "INSERT INTO ees_parked_changesets (projection, stream_id, checkpoint, changeset_id)
                 VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            )?
            .execute(params![name, stream_id, changeset.checkpoint.get(), changeset.changeset_id.get()])?;
        Ok(())
    }

    async fn parked(&mut self, name: &str) -> Result<Vec<ParkedStream>, BoxError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT stream_id, min(changeset_id), count(*), attempts, error, since, retry_at
             FROM ees_parked_streams JOIN ees_parked_changesets USING (projection, stream_id)
             WHERE projection = ?1 GROUP BY stream_id ORDER BY retry_at",
        )?;
        let mut rows = statement.query([name])?;
        let mut streams = Vec::new();
        while let Some(row) = rows.next()? {
            streams.push(ParkedStream {
                stream_id: StreamId::new(row.get_ref(0)?.as_str()?)?,
                first: ChangesetId::new(row.get(1)?),
                changesets: row.get(2)?,
                attempts: row.get(3)?,
                error: row.get(4)?,
                since: Timestamp::from_micros(row.get(5)?),
                retry_at: Timestamp::from_micros(row.get(6)?),
            });
        }
        Ok(streams)
    }

    async fn parked_places(
        &mut self,
        name: &str,
        stream_id: &StreamId,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, BoxError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT checkpoint FROM ees_parked_changesets WHERE projection = ?1 AND stream_id = ?2
             ORDER BY checkpoint LIMIT ?3",
        )?;
        let places = statement
            .query_map(params![name, stream_id.as_str(), limit], |row| row.get(0).map(Checkpoint::new))?
            .collect::<Result<_, _>>()?;
        Ok(places)
    }

    async fn unpark(
        &mut self,
        name: &str,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
    ) -> Result<bool, BoxError> {
        let connection = self.connection();
        let deleted = connection
            .prepare_cached(
                "DELETE FROM ees_parked_changesets WHERE projection = ?1 AND stream_id = ?2 AND checkpoint = ?3",
            )?
            .execute(params![name, stream_id.as_str(), checkpoint.get()])?;
        connection
            .prepare_cached(
                "DELETE FROM ees_parked_streams WHERE projection = ?1 AND stream_id = ?2 AND NOT EXISTS
                    (SELECT 1 FROM ees_parked_changesets WHERE projection = ?1 AND stream_id = ?2)",
            )?
            .execute(params![name, stream_id.as_str()])?;
        Ok(deleted == 1)
    }

    async fn update_parked(&mut self, name: &str, stream: &ParkedStream) -> Result<(), BoxError> {
        self.connection()
            .prepare_cached(
                "UPDATE ees_parked_streams SET attempts = ?3, error = ?4, since = ?5, retry_at = ?6
                 WHERE projection = ?1 AND stream_id = ?2",
            )?
            .execute(params![
                name,
                stream.stream_id.as_str(),
                stream.attempts,
                stream.error,
                stream.since.as_micros(),
                stream.retry_at.as_micros()
            ])?;
        Ok(())
    }

    async fn clear_parked(&mut self, name: &str) -> Result<(), BoxError> {
        for table in ["ees_parked_changesets", "ees_parked_streams"] {
            self.connection().execute(&format!("DELETE FROM {table} WHERE projection = ?1"), [name])?;
        }
        Ok(())
    }

    async fn audit(&mut self, name: &str, entry: &AuditEntry) -> Result<(), BoxError> {
        self.connection()
            .prepare_cached(
                "INSERT INTO ees_audit (projection, at, action, reason, checkpoint, detail)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                name,
                entry.at.as_micros(),
                entry.action,
                entry.reason,
                entry.checkpoint.get(),
                entry.detail
            ])?;
        Ok(())
    }

    async fn audit_entries(&mut self, name: &str, limit: usize) -> Result<Vec<AuditEntry>, BoxError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT at, action, reason, checkpoint, detail FROM ees_audit WHERE projection = ?1
             ORDER BY id DESC LIMIT ?2",
        )?;
        let entries = statement
            .query_map(params![name, limit], |row| {
                Ok(AuditEntry {
                    at: Timestamp::from_micros(row.get(0)?),
                    action: row.get(1)?,
                    reason: row.get(2)?,
                    checkpoint: Checkpoint::new(row.get(3)?),
                    detail: row.get(4)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(entries)
    }

    async fn sweep(&mut self, name: &str, audit_before: Timestamp, limit: usize) -> Result<usize, BoxError> {
        // The oldest by number, so that a look at nothing but young ones stays short.
        let mut delete = self.connection().prepare_cached(
            "DELETE FROM ees_audit WHERE id IN (
                SELECT id FROM (SELECT id, at FROM ees_audit WHERE projection = ?1 ORDER BY id LIMIT ?3) WHERE at < ?2
            )",
        )?;
        Ok(delete.execute(params![name, audit_before.as_micros(), limit])?)
    }

    async fn commit(self) -> Result<(), BoxError> {
        self.end()
    }
}

fn control(row: &Row<'_>) -> Result<Control, BoxError> {
    let last_stream: Option<String> = row.get(5)?;
    let last = match (row.get::<_, Option<u64>>(4)?, last_stream, row.get::<_, Option<u64>>(6)?) {
        (Some(checkpoint), Some(stream_id), Some(changeset_id)) => Some(Applied {
            checkpoint: Checkpoint::new(checkpoint),
            stream_id: StreamId::new(&stream_id)?,
            changeset_id: ChangesetId::new(changeset_id),
            timestamp: Timestamp::from_micros(row.get(9)?),
        }),
        _ => None,
    };
    let log_id: Option<String> = row.get(3)?;
    let pause: Option<String> = row.get(8)?;
    Ok(Control {
        version: row.get(0)?,
        position: Position { next: Checkpoint::new(row.get(1)?), epoch: row.get(2)? },
        log_id: log_id.map(|text| text.parse().map(LogId)).transpose()?,
        last,
        rebuild_until: row.get::<_, Option<u64>>(7)?.map(Checkpoint::new),
        pause: pause.map(|text| serde_json::from_str(&text)).transpose()?,
        split: None,
        standby: None,
    })
}

/// The checkpoint a projection reads next, as of the same moment as other queries in the same transaction; `None`
/// when it was never started here. For read models that show how fresh they are.
///
/// # Errors
/// The database's.
pub fn checkpoint(connection: &rusqlite::Connection, name: &str) -> rusqlite::Result<Option<Checkpoint>> {
    let mut statement =
        connection.prepare_cached("SELECT checkpoint FROM ees_projections WHERE name = ?1")?;
    statement.query_row([name], |row| row.get(0).map(Checkpoint::new)).optional()
}
