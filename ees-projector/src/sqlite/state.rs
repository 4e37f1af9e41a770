//! The projections' rows.

use ees_store::{ChangesetId, Checkpoint, LogId, StreamId, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use super::{Tx, additions};
use crate::database::{Attachments, Transaction};
use crate::error::BoxError;
use crate::projection_state::{ChangesetRef, Position, ProjectionState};
use crate::read_model_id::ReadModelId;

impl Transaction for Tx {
    async fn load(&mut self, model: &ReadModelId) -> Result<Option<ProjectionState>, BoxError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT version, checkpoint, epoch, log_id, last_checkpoint, last_stream_id, last_changeset_id,
                rebuild_until, pause, last_timestamp, skips FROM ees_projections WHERE name = ?1",
        )?;
        statement.query_row([model.key()], |row| Ok(state(row))).optional()?.transpose()
    }

    async fn insert(&mut self, model: &ReadModelId, state: &ProjectionState) -> Result<bool, BoxError> {
        let inserted = self
            .connection()
            .prepare_cached(
                "INSERT INTO ees_projections (name, version, checkpoint, epoch) VALUES (?1, 0, 0, 0)
                 ON CONFLICT DO NOTHING",
            )?
            .execute([model.key()])?;
        if inserted == 0 {
            return Ok(false);
        }
        self.replace(model, Position { next: Checkpoint::START, epoch: 0 }, state).await
    }

    async fn replace(
        &mut self,
        model: &ReadModelId,
        believed: Position,
        state: &ProjectionState,
    ) -> Result<bool, BoxError> {
        let mut statement = self.connection().prepare_cached(
            "UPDATE ees_projections SET version = ?4, checkpoint = ?5, epoch = ?6, log_id = ?7, last_checkpoint = ?8,
                last_stream_id = ?9, last_changeset_id = ?10, rebuild_until = ?11, pause = ?12,
                last_timestamp = ?13, skips = ?14
             WHERE name = ?1 AND checkpoint = ?2 AND epoch = ?3",
        )?;
        let last = state.last.as_ref();
        let changed = statement.execute(params![
            model.key(),
            believed.next.get(),
            believed.epoch,
            state.version,
            state.position.next.get(),
            state.position.epoch,
            state.log_id.map(|id| id.to_string()),
            last.map(|last| last.checkpoint.get()),
            last.map(|last| last.stream_id.as_str()),
            last.map(|last| last.changeset_id.get()),
            state.rebuild_until.map(Checkpoint::get),
            state.pause.as_ref().map(serde_json::to_string).transpose()?,
            last.map(|last| last.timestamp.as_micros()),
            state.skips_json()?,
        ])?;
        Ok(changed == 1)
    }

    async fn objects_of_others(&mut self, model: &ReadModelId) -> Result<Vec<String>, BoxError> {
        additions::of_others(self.connection(), model.key())
    }

    async fn claim_objects(&mut self, model: &ReadModelId, others: &[String]) -> Result<(), BoxError> {
        additions::claim(self.connection(), model.key(), others)
    }

    async fn attachments(&mut self, model: &ReadModelId) -> Result<Attachments, BoxError> {
        additions::of_tables(self.connection(), model.key())
    }

    async fn attach(&mut self, _: &ReadModelId, them: &Attachments) -> Result<Vec<String>, BoxError> {
        additions::add(self.connection(), them)
    }

    async fn commit(self) -> Result<(), BoxError> {
        self.end()
    }
}

fn state(row: &Row<'_>) -> Result<ProjectionState, BoxError> {
    let last_stream: Option<String> = row.get(5)?;
    let last = match (row.get::<_, Option<u64>>(4)?, last_stream, row.get::<_, Option<u64>>(6)?) {
        (Some(checkpoint), Some(stream_id), Some(changeset_id)) => Some(ChangesetRef {
            checkpoint: Checkpoint::new(checkpoint),
            stream_id: StreamId::new(&stream_id)?,
            changeset_id: ChangesetId::new(changeset_id),
            timestamp: Timestamp::from_micros(row.get(9)?),
        }),
        _ => None,
    };
    let log_id: Option<String> = row.get(3)?;
    let pause: Option<String> = row.get(8)?;
    let skips: Option<String> = row.get(10)?;
    Ok(ProjectionState {
        version: row.get(0)?,
        position: Position { next: Checkpoint::new(row.get(1)?), epoch: row.get(2)? },
        log_id: log_id.map(|text| text.parse().map(LogId)).transpose()?,
        last,
        rebuild_until: row.get::<_, Option<u64>>(7)?.map(Checkpoint::new),
        pause: pause.map(|text| serde_json::from_str(&text)).transpose()?,
        split: None,
        standby: None,
        skips: ProjectionState::skips_of_json(skips.as_deref())?,
    })
}

/// The checkpoint that a projection reads next; `None` when the projection was never started on this file.
/// Use it in a read transaction with your own queries, to show how fresh the read model is: both then come
/// from the same moment.
///
/// # Errors
/// An error of the database.
pub fn checkpoint(connection: &rusqlite::Connection, name: &str) -> rusqlite::Result<Option<Checkpoint>> {
    let mut statement =
        connection.prepare_cached("SELECT checkpoint FROM ees_projections WHERE name = ?1")?;
    statement.query_row([name], |row| row.get(0).map(Checkpoint::new)).optional()
}
