//! The audit: what operators did. Entries are in the partition of the projection's row, ordered by time.

use ees_store::{Checkpoint, Timestamp};
use uuid::Uuid;

use super::item::{CHECKPOINT, Item, KEY, item_of, number, text, to_number, to_text};
use super::row_key::home;
use super::tx::Tx;
use crate::database::AuditRows;
use crate::error::BoxError;
use crate::projection_state::AuditEntry;
use crate::read_model_id::ReadModelId;

/// The prefix of the keys of audit entries.
const AUDIT: &str = "audit/";
/// The most audit entries that one transaction deletes.
const SWEPT_MAX: usize = 90;

fn of_moment(moment: Timestamp) -> String {
    format!("{AUDIT}{:020}", moment.as_micros())
}

impl AuditRows for Tx {
    async fn audit(&mut self, model: &ReadModelId, entry: &AuditEntry) -> Result<(), BoxError> {
        let key = format!("{}/{}", of_moment(entry.at), Uuid::new_v4().simple());
        let item = item_of([
            ("at", number(entry.at.as_micros())),
            ("action", text(&entry.action)),
            ("reason", text(&entry.reason)),
            (CHECKPOINT, number(entry.checkpoint.get())),
            ("detail", text(&entry.detail)),
        ]);
        self.stage(&home(model.name()), &key, Some(item))
    }

    async fn audit_entries(
        &mut self,
        model: &ReadModelId,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, BoxError> {
        let found = self.query_between(&home(model.name()), AUDIT, None, limit, false).await?;
        let entry = |item: &Item| {
            Ok(AuditEntry {
                at: Timestamp::from_micros(to_number(item, "at")?),
                action: to_text(item, "action")?.to_owned(),
                reason: to_text(item, "reason")?.to_owned(),
                checkpoint: Checkpoint::new(to_number(item, CHECKPOINT)?),
                detail: to_text(item, "detail")?.to_owned(),
            })
        };
        found.iter().map(entry).collect()
    }

    async fn sweep(
        &mut self,
        model: &ReadModelId,
        audit_before: Timestamp,
        limit: usize,
    ) -> Result<usize, BoxError> {
        let home = home(model.name());
        let until = of_moment(audit_before);
        let old = self.query_between(&home, AUDIT, Some(&until), limit.min(SWEPT_MAX), true).await?;
        for entry in &old {
            self.stage(&home, to_text(entry, KEY)?, None)?;
        }
        // Rows of dropped tables are never read again, so their deletion needs no transaction.
        let dropped = self.database.remove_dropped(limit).await?;
        Ok(if old.len() == SWEPT_MAX { limit } else { old.len().max(dropped) })
    }
}
