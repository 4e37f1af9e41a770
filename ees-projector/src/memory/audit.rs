//! The audit: what operators did.

use ees_store::Timestamp;

use super::Tx;
use crate::database::AuditRows;
use crate::error::BoxError;
use crate::projection_state::AuditEntry;
use crate::read_model_id::ReadModelId;

impl AuditRows for Tx {
    async fn audit(&mut self, model: &ReadModelId, entry: &AuditEntry) -> Result<(), BoxError> {
        self.state.audit.push((model.name().to_owned(), entry.clone()));
        Ok(())
    }

    async fn audit_entries(
        &mut self,
        model: &ReadModelId,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, BoxError> {
        let of_this = self.state.audit.iter().rev().filter(|(projection, _)| projection == model.name());
        Ok(of_this.take(limit).map(|(_, entry)| entry.clone()).collect())
    }

    async fn sweep(
        &mut self,
        model: &ReadModelId,
        audit_before: Timestamp,
        limit: usize,
    ) -> Result<usize, BoxError> {
        let before = self.state.audit.len();
        let mut left = limit;
        self.state.audit.retain(|(projection, entry)| {
            let goes = projection == model.name() && entry.at < audit_before && left > 0;
            left -= usize::from(goes);
            !goes
        });
        Ok(before - self.state.audit.len())
    }
}
