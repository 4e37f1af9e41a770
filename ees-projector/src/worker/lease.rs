//! The lease: whether this worker may run, where several share a read model.

use std::time::Duration;

use futures::FutureExt;

use crate::database::{Database, Transaction};
use crate::worker::error::StepError;
use crate::worker::lease_state::LOOK_EVERY;
use crate::worker::runner::Runner;

/// How often a worker without the lease reads the row while somebody waits for the projection.
const LOOK_SOON: Duration = Duration::from_millis(50);
/// How long a worker that ends waits for a database that does not answer. No longer than the lease lasts.
const RELEASE_WITHIN: Duration = Duration::from_secs(3);

impl<D: Database> Runner<D> {
    /// Acquires or renews the lease. Returns `true` if this worker has it. The projection's row must have
    /// been loaded.
    pub(crate) async fn has_lease(&mut self) -> Result<bool, StepError> {
        if self.lease.is_certain(LOOK_EVERY) {
            return Ok(true);
        }
        let (core, stays) = (self.core.clone(), self.lease.stays);
        let look = self.core.write(move |tx| {
            async move { Ok(tx.lease(core.id(), core.processor.version(), stays).await?) }.boxed()
        });
        let found = look.await?;
        let changed = self.lease.note(found);
        let owner = self.lease.owner();
        self.status.update(|status| status.owner = owner);
        if changed {
            let projection = self.core.id().key();
            if self.lease.is_kept() {
                tracing::info!(projection, "lease acquired");
            } else if !self.lease.is_ours() {
                tracing::info!(projection, "lease lost to another worker");
            }
            // Acquiring the lease moved the epoch, and the other worker may have moved the row.
            self.state.forget();
        }
        Ok(self.lease.is_ours())
    }

    /// Returns the delay before the next look at the lease.
    pub(crate) fn until_next_look(&self) -> Duration {
        if self.status.is_awaited() { LOOK_SOON } else { LOOK_EVERY }
    }

    /// Releases the lease, so that another worker can take over at once.
    pub(crate) async fn release_lease(&mut self) {
        if !self.lease.release() {
            return;
        }
        let core = self.core.clone();
        let release =
            self.core.write(move |tx| async move { Ok(tx.release_lease(core.id()).await?) }.boxed());
        let released = tokio::time::timeout(RELEASE_WITHIN, release).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::debug!(
                projection = self.core.name(),
                ?released,
                "the lease was not released; it expires by itself"
            );
        }
    }
}
