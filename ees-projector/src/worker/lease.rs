//! Whether this worker may go on, where several share a read model.

use std::time::{Duration, Instant};

use crate::database::{Database, Lease, Transaction};
use crate::projection::Projection;
use crate::worker::error::StepError;
use crate::worker::runner::Runner;

/// How often a worker looks whose turn it is, and keeps its lease.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it looks while somebody waits for the projection to get somewhere, which only another worker knows.
const LOOK_SOON: Duration = Duration::from_millis(50);
/// How long a worker that ends waits for a database that does not answer: no longer than the lease would take.
const LET_GO_WITHIN: Duration = Duration::from_secs(3);

/// What a worker knows of the lease.
pub(crate) struct Tenure {
    lease: Lease,
    looked: Option<Instant>,
    /// Whether it goes on, or is a host that does not stay.
    pub(crate) stays: bool,
}

impl Default for Tenure {
    fn default() -> Self {
        Self { lease: Lease::Elsewhere { worker: None }, looked: None, stays: true }
    }
}

impl Tenure {
    fn is_ours(&self) -> bool {
        matches!(self.lease, Lease::NotNeeded | Lease::Ours { .. })
    }

    /// Whether to wait for news for a short time only, so that the lease is kept.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self.lease, Lease::Ours { .. })
    }
}

impl<P, D> Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Whether it is this worker's turn. The projection's row must have been loaded.
    pub(crate) async fn has_lease(&mut self) -> Result<bool, StepError> {
        if self.tenure.lease == Lease::NotNeeded
            || (self.tenure.is_ours() && self.tenure.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY))
        {
            return Ok(true);
        }
        let core = self.core.clone();
        let stays = self.tenure.stays;
        let look = async move {
            let mut tx = core.database.begin().await?;
            let lease = tx.lease(core.key(), core.projection.version(), stays).await?;
            tx.commit().await?;
            Ok(lease)
        };
        let lease = self.core.database.run(look).await.and_then(|look| look).map_err(StepError::Database)?;
        let was_ours = self.tenure.is_ours();
        if lease != Lease::Busy {
            self.tenure.lease = lease;
        }
        self.tenure.looked = Some(Instant::now());
        let owner = match &self.tenure.lease {
            Lease::Ours { worker } => Some(worker.clone()),
            Lease::Elsewhere { worker } => worker.clone(),
            Lease::NotNeeded | Lease::Busy => None,
        };
        self.live.update(|live| live.owner = owner);
        if was_ours != self.tenure.is_ours() {
            let projection = self.core.key();
            match was_ours {
                true => tracing::info!(projection, "another worker's turn"),
                false => tracing::info!(projection, "this worker's turn"),
            }
            // Taking it moved the epoch; and what another did meanwhile is in the row.
            self.control = None;
        }
        Ok(self.tenure.is_ours())
    }

    /// How long to wait before the next look.
    pub(crate) fn until_next_look(&self) -> Duration {
        if self.live.is_awaited() { LOOK_SOON } else { LOOK_EVERY }
    }

    /// Lets another worker take over at once.
    pub(crate) async fn let_go(&mut self) {
        if !matches!(self.tenure.lease, Lease::Ours { .. } | Lease::Elsewhere { .. }) {
            return;
        }
        self.tenure.lease = Lease::Elsewhere { worker: None };
        let core = self.core.clone();
        let give_back = async move {
            let mut tx = core.database.begin().await?;
            tx.let_go(core.key()).await?;
            tx.commit().await
        };
        let given = tokio::time::timeout(LET_GO_WITHIN, self.core.database.run(give_back)).await;
        if !matches!(given, Ok(Ok(Ok(())))) {
            tracing::debug!(projection = self.core.name(), ?given, "the lease ends by itself");
        }
    }
}
