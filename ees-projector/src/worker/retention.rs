//! Deletes records that are kept for a limited time, in small portions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;

use crate::database::{AuditRows, Database};
use crate::policy::in_past;
use crate::read_model_id::Slot;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::runner::Runner;

const EVERY: Duration = Duration::from_secs(60 * 60);
const ENTRIES_AT_ONCE: usize = 1_000;

impl<D: Database> Runner<D> {
    /// Deletes old records, if it is time. Only the worker that has the lease does this, of partitions that of the first.
    /// It can wait while segments are read: the rebuild has just dropped all rows.
    pub(crate) async fn sweep_if_due(&mut self) {
        let sweeps = self.core.slot() == Slot::Live
            && self.core.partition().is_none_or(|partition| partition.index == 0);
        if !sweeps || self.sweep_due.is_some_and(|due| Instant::now() < due) || self.shares_a_rebuild() {
            return;
        }
        let removed = self.core.sweep().await.unwrap_or_else(|error| {
            tracing::warn!(
                projection = self.core.name(),
                ?error,
                "old audit entries and effects could not be deleted; retrying later"
            );
            0
        });
        // A full portion: there may be more, which are deleted after the next step.
        self.sweep_due = (removed < ENTRIES_AT_ONCE).then(|| Instant::now() + EVERY);
    }

    /// Whether it reads segments, or waits for those who do.
    fn shares_a_rebuild(&self) -> bool {
        self.status.snapshot().row.is_some_and(|row| row.segment.is_some() || row.is_at_barrier())
    }
}

impl<D: Database> Core<D> {
    /// Deletes old records. Returns the largest number of one kind.
    async fn sweep(self: &Arc<Self>) -> Result<usize, StepError> {
        let core = self.clone();
        let audit = self.write(move |tx| {
            let before = in_past(core.settings.keep_audit);
            async move { Ok(tx.sweep(core.id(), before, ENTRIES_AT_ONCE).await?) }.boxed()
        });
        let audit = audit.await?;
        // In two transactions: together they may be too large for DynamoDB.
        let core = self.clone();
        let own = self.write(move |tx| {
            async move { Ok(core.processor.sweep(tx, core.id(), ENTRIES_AT_ONCE).await?) }.boxed()
        });
        Ok(audit.max(own.await?))
    }
}
