//! What is kept for a while only goes, a bounded number of entries at a time.

use std::time::{Duration, Instant};

use ees_store::Timestamp;

use crate::database::{AuditRows, Database, LedgerRows, Transaction};
use crate::projection::Projection;
use crate::slot::Slot;
use crate::worker::runner::Runner;

const EVERY: Duration = Duration::from_secs(60 * 60);
const ENTRIES_AT_ONCE: usize = 1_000;

impl<P, D> Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Forgets what is old enough, if it is time to. For the worker whose turn it is: one is enough.
    pub(crate) async fn sweep_if_due(&mut self) {
        if self.core.slot() != Slot::Live || self.sweep_due.is_some_and(|due| Instant::now() < due) {
            return;
        }
        let core = self.core.clone();
        let sweep = async move {
            let before = past(core.settings.keep_audit);
            let mut tx = core.database.begin().await?;
            let gone = tx.sweep(core.name(), before, ENTRIES_AT_ONCE).await?;
            tx.commit().await?;
            let Some(effects) = core.projection.effects() else { return Ok(gone) };
            // Apart: together they may be more than DynamoDB takes at once.
            let before = past(effects.settings().keep_effects);
            let mut tx = core.database.begin().await?;
            let forgotten = tx.sweep_effects(core.name(), before, ENTRIES_AT_ONCE).await?;
            tx.commit().await?;
            Ok(gone.max(forgotten))
        };
        let gone = self.core.database.run(sweep).await.and_then(|gone| gone).unwrap_or_else(|error| {
            tracing::warn!(projection = self.core.name(), %error, "old entries could not be removed; will try again");
            0
        });
        // More may be waiting: they go after the next step.
        self.sweep_due = (gone < ENTRIES_AT_ONCE).then(|| Instant::now() + EVERY);
    }
}

fn past(ago: Duration) -> Timestamp {
    let micros = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(Timestamp::now().as_micros().saturating_sub(micros))
}
