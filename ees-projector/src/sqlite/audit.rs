//! The audit: what operators did.

use ees_store::{Checkpoint, Timestamp};
use rusqlite::params;

use super::Tx;
use crate::database::AuditRows;
use crate::error::BoxError;
use crate::projection_state::AuditEntry;
use crate::read_model_id::ReadModelId;

impl AuditRows for Tx {
    async fn audit(&mut self, model: &ReadModelId, entry: &AuditEntry) -> Result<(), BoxError> {
        self.of(model)
            .await?
            .prepare_cached(
                "INSERT INTO ees_audit (projection, at, action, reason, checkpoint, detail)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                model.name(),
                entry.at.as_micros(),
                entry.action,
                entry.reason,
                entry.checkpoint.get(),
                entry.detail
            ])?;
        Ok(())
    }

    async fn audit_entries(
        &mut self,
        model: &ReadModelId,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, BoxError> {
        let mut statement = self.of(model).await?.prepare_cached(
            "SELECT at, action, reason, checkpoint, detail FROM ees_audit WHERE projection = ?1
             ORDER BY id DESC LIMIT ?2",
        )?;
        let entries = statement
            .query_map(params![model.name(), limit], |row| {
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

    async fn sweep(
        &mut self,
        model: &ReadModelId,
        audit_before: Timestamp,
        limit: usize,
    ) -> Result<usize, BoxError> {
        // Reads the oldest rows by id, so that a sweep that finds only young rows stays short.
        let mut delete = self.of(model).await?.prepare_cached(
            "DELETE FROM ees_audit WHERE id IN (
                SELECT id FROM (SELECT id, at FROM ees_audit WHERE projection = ?1 ORDER BY id LIMIT ?3) WHERE at < ?2
            )",
        )?;
        Ok(delete.execute(params![model.name(), audit_before.as_micros(), limit])?)
    }
}
