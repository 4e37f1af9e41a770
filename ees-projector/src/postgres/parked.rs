//! Parked streams and their changesets.

use ees_store::{ChangesetId, Checkpoint, StreamId, Timestamp};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::Tx;
use super::sql::{signed, unsigned, without_nul};
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
        sqlx::query(
            "WITH stream AS (
                INSERT INTO ees.parked_streams (projection, stream_id, attempts, error, since, retry_at)
                VALUES ($1, $2, 1, $3, $4, $5) ON CONFLICT DO NOTHING
             )
             INSERT INTO ees.parked_changesets (projection, stream_id, checkpoint, changeset_id)
             VALUES ($1, $2, $6, $7) ON CONFLICT DO NOTHING",
        )
        .bind(model.name())
        .bind(stream_id)
        .bind(without_nul(error))
        .bind(Timestamp::now().as_micros())
        .bind(ParkedStream::due_micros(retry_at))
        .bind(signed(changeset.checkpoint.get()))
        .bind(signed(changeset.changeset_id.get()))
        .execute(self.inner())
        .await?;
        Ok(())
    }

    async fn parked(&mut self, model: &ReadModelId) -> Result<Vec<ParkedStream>, BoxError> {
        let rows = sqlx::query(
            "SELECT stream_id, min(changeset_id), count(*), attempts, error, since, retry_at
             FROM ees.parked_streams JOIN ees.parked_changesets USING (projection, stream_id)
             WHERE projection = $1 GROUP BY stream_id, attempts, error, since, retry_at ORDER BY retry_at, stream_id",
        );
        let rows = rows.bind(model.name()).fetch_all(self.inner()).await?;
        rows.iter().map(parked_stream).collect()
    }

    async fn parked_checkpoints(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, BoxError> {
        let checkpoints: Vec<i64> = sqlx::query_scalar(
            "SELECT checkpoint FROM ees.parked_changesets WHERE projection = $1 AND stream_id = $2
             ORDER BY checkpoint LIMIT $3",
        )
        .bind(model.name())
        .bind(stream_id.as_str())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.inner())
        .await?;
        Ok(checkpoints.into_iter().map(|checkpoint| Checkpoint::new(unsigned(checkpoint))).collect())
    }

    async fn unpark(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
    ) -> Result<bool, BoxError> {
        let deleted = sqlx::query(
            "DELETE FROM ees.parked_changesets WHERE projection = $1 AND stream_id = $2 AND checkpoint = $3",
        )
        .bind(model.name())
        .bind(stream_id.as_str())
        .bind(signed(checkpoint.get()))
        .execute(self.inner())
        .await?;
        sqlx::query(
            "DELETE FROM ees.parked_streams WHERE projection = $1 AND stream_id = $2 AND NOT EXISTS
                (SELECT 1 FROM ees.parked_changesets WHERE projection = $1 AND stream_id = $2)",
        )
        .bind(model.name())
        .bind(stream_id.as_str())
        .execute(self.inner())
        .await?;
        Ok(deleted.rows_affected() == 1)
    }

    async fn update_parked(&mut self, model: &ReadModelId, stream: &ParkedStream) -> Result<(), BoxError> {
        sqlx::query(
            "UPDATE ees.parked_streams SET attempts = $3, error = $4, since = $5, retry_at = $6
             WHERE projection = $1 AND stream_id = $2",
        )
        .bind(model.name())
        .bind(stream.stream_id.as_str())
        .bind(i64::from(stream.attempts))
        .bind(without_nul(&stream.error))
        .bind(stream.since.as_micros())
        .bind(ParkedStream::due_micros(stream.retry_at))
        .execute(self.inner())
        .await?;
        Ok(())
    }

    async fn clear_parked(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        sqlx::query("DELETE FROM ees.parked_changesets WHERE projection = $1")
            .bind(model.name())
            .execute(self.inner())
            .await?;
        sqlx::query("DELETE FROM ees.parked_streams WHERE projection = $1")
            .bind(model.name())
            .execute(self.inner())
            .await?;
        Ok(())
    }
}

fn parked_stream(row: &PgRow) -> Result<ParkedStream, BoxError> {
    Ok(ParkedStream {
        stream_id: StreamId::new(row.try_get(0)?)?,
        first: ChangesetId::new(unsigned(row.try_get(1)?)),
        changesets: unsigned(row.try_get(2)?),
        attempts: u32::try_from(row.try_get::<i64, _>(3)?)?,
        error: row.try_get(4)?,
        since: Timestamp::from_micros(row.try_get(5)?),
        retry_at: ParkedStream::due_at(row.try_get(6)?),
    })
}
