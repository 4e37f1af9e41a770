//! The audit: what operators did.

use ees_store::{Checkpoint, Timestamp};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::Tx;
use super::sql::{signed, unsigned, without_nul};
use crate::database::AuditRows;
use crate::error::BoxError;
use crate::projection_state::AuditEntry;
use crate::read_model_id::ReadModelId;

impl AuditRows for Tx {
    async fn audit(&mut self, model: &ReadModelId, entry: &AuditEntry) -> Result<(), BoxError> {
        sqlx::query(
            "INSERT INTO ees.audit (projection, at, action, reason, checkpoint, detail)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(model.name())
        .bind(entry.at.as_micros())
        .bind(&entry.action)
        .bind(without_nul(&entry.reason))
        .bind(signed(entry.checkpoint.get()))
        .bind(without_nul(&entry.detail))
        .execute(self.inner())
        .await?;
        Ok(())
    }

    async fn audit_entries(
        &mut self,
        model: &ReadModelId,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, BoxError> {
        let rows = sqlx::query(
            "SELECT at, action, reason, checkpoint, detail FROM ees.audit WHERE projection = $1
             ORDER BY id DESC LIMIT $2",
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = rows.bind(model.name()).bind(limit).fetch_all(self.inner()).await?;
        let entry = |row: &PgRow| {
            Ok(AuditEntry {
                at: Timestamp::from_micros(row.try_get(0)?),
                action: row.try_get(1)?,
                reason: row.try_get(2)?,
                checkpoint: Checkpoint::new(unsigned(row.try_get(3)?)),
                detail: row.try_get(4)?,
            })
        };
        rows.iter().map(entry).collect()
    }

    async fn sweep(
        &mut self,
        model: &ReadModelId,
        audit_before: Timestamp,
        limit: usize,
    ) -> Result<usize, BoxError> {
        self.forget_gone_workers(limit).await?;
        // Reads the oldest rows by id, so that a sweep that finds only young rows stays short.
        let deleted = sqlx::query(
            "DELETE FROM ees.audit WHERE id IN (
                SELECT id FROM (SELECT id, at FROM ees.audit WHERE projection = $1 ORDER BY id LIMIT $3) oldest
                WHERE at < $2
            )",
        )
        .bind(model.name())
        .bind(audit_before.as_micros())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .execute(self.connection())
        .await?;
        Ok(usize::try_from(deleted.rows_affected()).unwrap_or(usize::MAX))
    }
}
