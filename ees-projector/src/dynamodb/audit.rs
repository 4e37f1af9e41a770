//! What operators did: entries beside the projection's row, by time.

use ees_store::{Checkpoint, Timestamp};
use uuid::Uuid;

use super::item::{CHECKPOINT, Item, KEY, item_of, number, text, to_number, to_text};
use super::state::home;
use super::tx::Tx;
use crate::database::AuditRows;
use crate::error::BoxError;
use crate::projection_state::AuditEntry;
use crate::read_model_id::ReadModelId;

/// What the keys of audit entries begin with.
const AUDIT: &str = "audit/";
/// Entries of the audit that one transaction takes away.
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
        // Rows that nobody reads any more need no transaction.
        let dropped = self.database.remove_dropped(limit).await?;
        Ok(if old.len() == SWEPT_MAX { limit } else { old.len().max(dropped) })
    }
}
