//! What operators did, numbered.

use ees_projector::database::AuditRows;
use ees_projector::{AuditEntry, BoxError, ReadModelId};
use ees_store::Timestamp;

use super::{Tx, key, padded};

impl AuditRows for Tx {
    async fn audit(&mut self, model: &ReadModelId, entry: &AuditEntry) -> Result<(), BoxError> {
        let entries = self.list::<(u64, AuditEntry)>(&["audit", model.name()])?;
        let number = entries.last().map_or(0, |(_, (last, _))| last + 1);
        self.put(key(["audit", model.name(), &padded(number)]), &(number, entry))
    }

    async fn audit_entries(
        &mut self,
        model: &ReadModelId,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, BoxError> {
        let entries = self.list::<(u64, AuditEntry)>(&["audit", model.name()])?;
        Ok(entries.into_iter().rev().take(limit).map(|(_, (_, entry))| entry).collect())
    }

    async fn sweep(
        &mut self,
        model: &ReadModelId,
        audit_before: Timestamp,
        limit: usize,
    ) -> Result<usize, BoxError> {
        let entries = self.list::<(u64, AuditEntry)>(&["audit", model.name()])?;
        let old = entries.into_iter().filter(|(_, (_, entry))| entry.at < audit_before).take(limit);
        Ok(old.map(|(key, _)| self.remove(key)).count())
    }
}
