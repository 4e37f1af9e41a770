//! Parked streams and their changesets.

use ees_store::{ChangesetId, Checkpoint, StreamId, Timestamp};
use rusqlite::params;

use super::Tx;
use crate::database::ParkedRows;
use crate::error::BoxError;
use crate::projection_state::{ChangesetRef, ParkedStream};
use crate::read_model_id::ReadModelId;

impl ParkedRows for Tx {
    async fn park(
        &mut self,
        model: &ReadModelId,
        changeset: &ChangesetRef,
        error: &str,
        retry_at: Option<Timestamp>,
    ) -> Result<(), BoxError> {
        let stream_id = changeset.stream_id.as_str();
        let connection = self.of(model).await?;
        connection
            .prepare_cached(
                "INSERT INTO ees_parked_streams (projection, stream_id, attempts, error, since, retry_at)
                 VALUES (?1, ?2, 1, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                model.name(),
                stream_id,
                error,
                Timestamp::now().as_micros(),
                ParkedStream::due_micros(retry_at)
            ])?;
        connection
            .prepare_cached(
                "INSERT INTO ees_parked_changesets (projection, stream_id, checkpoint, changeset_id)
                 VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                model.name(),
                stream_id,
                changeset.checkpoint.get(),
                changeset.changeset_id.get()
            ])?;
        Ok(())
    }

    async fn parked(&mut self, model: &ReadModelId) -> Result<Vec<ParkedStream>, BoxError> {
        let mut statement = self.of(model).await?.prepare_cached(
            "SELECT stream_id, min(changeset_id), count(*), attempts, error, since, retry_at
             FROM ees_parked_streams JOIN ees_parked_changesets USING (projection, stream_id)
             WHERE projection = ?1 GROUP BY stream_id ORDER BY retry_at",
        )?;
        let mut rows = statement.query([model.name()])?;
        let mut streams = Vec::new();
        while let Some(row) = rows.next()? {
            streams.push(ParkedStream {
                stream_id: StreamId::new(row.get_ref(0)?.as_str()?)?,
                first: ChangesetId::new(row.get(1)?),
                changesets: row.get(2)?,
                attempts: row.get(3)?,
                error: row.get(4)?,
                since: Timestamp::from_micros(row.get(5)?),
                retry_at: ParkedStream::due_at(row.get(6)?),
            });
        }
        Ok(streams)
    }

    async fn parked_checkpoints(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, BoxError> {
        let mut statement = self.of(model).await?.prepare_cached(
            "SELECT checkpoint FROM ees_parked_changesets WHERE projection = ?1 AND stream_id = ?2
             ORDER BY checkpoint LIMIT ?3",
        )?;
        let checkpoints = statement
            .query_map(params![model.name(), stream_id.as_str(), limit], |row| {
                row.get(0).map(Checkpoint::new)
            })?
            .collect::<Result<_, _>>()?;
        Ok(checkpoints)
    }

    async fn unpark(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
    ) -> Result<bool, BoxError> {
        let connection = self.of(model).await?;
        let deleted = connection
            .prepare_cached(
                "DELETE FROM ees_parked_changesets WHERE projection = ?1 AND stream_id = ?2 AND checkpoint = ?3",
            )?
            .execute(params![model.name(), stream_id.as_str(), checkpoint.get()])?;
        connection
            .prepare_cached(
                "DELETE FROM ees_parked_streams WHERE projection = ?1 AND stream_id = ?2 AND NOT EXISTS
                    (SELECT 1 FROM ees_parked_changesets WHERE projection = ?1 AND stream_id = ?2)",
            )?
            .execute(params![model.name(), stream_id.as_str()])?;
        Ok(deleted == 1)
    }

    async fn update_parked(&mut self, model: &ReadModelId, stream: &ParkedStream) -> Result<(), BoxError> {
        self.of(model)
            .await?
            .prepare_cached(
                "UPDATE ees_parked_streams SET attempts = ?3, error = ?4, since = ?5, retry_at = ?6
                 WHERE projection = ?1 AND stream_id = ?2",
            )?
            .execute(params![
                model.name(),
                stream.stream_id.as_str(),
                stream.attempts,
                stream.error,
                stream.since.as_micros(),
                ParkedStream::due_micros(stream.retry_at)
            ])?;
        Ok(())
    }

    async fn clear_parked(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        for table in ["ees_parked_changesets", "ees_parked_streams"] {
            self.of(model)
                .await?
                .execute(&format!("DELETE FROM {table} WHERE projection = ?1"), [model.name()])?;
        }
        Ok(())
    }
}
