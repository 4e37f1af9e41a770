//! The claim: whether this process may run the projection, on a database that only one process may use for
//! it.

use std::time::{Duration, Instant};

use crate::database::{Claim, ClaimedElsewhere, Database};
use crate::read_model_id::Slot;
use crate::worker::error::StepError;
use crate::worker::runner::Runner;

/// How long a worker that starts waits for another process to end, as in a restart.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a worker knows about its claim.
#[derive(Default)]
pub(super) struct ClaimState {
    held: Option<Claim>,
    /// Until when it waits for another process to end.
    waits_until: Option<Instant>,
}

impl ClaimState {
    pub(super) fn release(&mut self) {
        self.held = None;
    }
}

impl<D: Database> Runner<D> {
    /// Claims the projection, unless this worker has done so. Waits a moment for a process that ends.
    pub(super) async fn claim(&mut self) -> Result<(), StepError> {
        // A preview writes nothing that the process with the claim writes.
        while self.claim.held.is_none() && self.core.slot() != Slot::Preview {
            let core = self.core.clone();
            let claim = self.core.run(async move { Ok(core.database.claim(core.id().projection())) });
            let ClaimedElsewhere(why) = match claim.await? {
                Ok(claim) => {
                    self.claim.held = Some(claim);
                    break;
                }
                Err(elsewhere) => elsewhere,
            };
            let is_first = self.claim.waits_until.is_none();
            let waits_until = *self.claim.waits_until.get_or_insert_with(|| Instant::now() + ENDS_WITHIN);
            if !self.lease.stays || Instant::now() >= waits_until {
                return Err(StepError::ClaimedElsewhere(why));
            }
            if is_first {
                let (projection, seconds) = (self.core.name(), ENDS_WITHIN.as_secs());
                tracing::warn!(projection, seconds, "waiting for another process to end: {why}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}
