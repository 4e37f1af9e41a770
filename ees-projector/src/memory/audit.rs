//! The audit: what operators did.

use ees_store::Timestamp;

use super::Tx;
use crate::database::AuditRows;
use crate::error::BoxError;
use crate::projection_state::AuditEntry;
use crate::read_model_id::ReadModelId;

impl AuditRows for Tx {
    async fn audit(&mut self, model: &ReadModelId, entry: &AuditEntry) -> Result<(), BoxError> {
        self.lock_model(model).await?.audit.push(entry.clone());
        Ok(())
    }

    async fn audit_entries(
        &mut self,
        model: &ReadModelId,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, BoxError> {
        Ok(self.look(model).await?.audit.iter().rev().take(limit).cloned().collect())
    }

    async fn sweep(
        &mut self,
        model: &ReadModelId,
        audit_before: Timestamp,
        limit: usize,
    ) -> Result<usize, BoxError> {
        let audit = &mut self.lock_model(model).await?.audit;
        let before = audit.len();
        let mut left = limit;
        audit.retain(|entry| {
            let goes = entry.at < audit_before && left > 0;
            left -= usize::from(goes);
            !goes
        });
        Ok(before - audit.len())
    }
}
