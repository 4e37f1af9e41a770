//! Compares two read models of a projection at the same checkpoint.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::Checkpoint;

use super::require_unpartitioned;
use crate::database::{Database, Transaction};
use crate::error::BoxError;
use crate::projection_state::ProjectionState;
use crate::standby::Comparison;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::lease_state::LOOK_EVERY;
use crate::worker::outcome::Stepped;
use crate::worker::runner::Runner;

/// The longest wait for the other read model to reach this checkpoint.
const MEET_WITHIN: Duration = Duration::from_secs(30);

impl<D: Database> Core<D> {
    /// Locks the live read model's row until the transaction ends.
    async fn hold_live(self: &Arc<Self>) -> Result<(D::Tx, ProjectionState), StepError> {
        let core = self.clone();
        let held = self.run(async move {
            let live = core.live();
            let mut tx = core.database.begin_in(&live).await?;
            let found = require_unpartitioned(tx.lock(&live).await?)?;
            Ok((tx, found))
        });
        held.await
    }

    /// Returns a snapshot of this read model and the live one, and the checkpoint of both, if it is the same.
    async fn snapshot_with_live(self: &Arc<Self>) -> Result<(D::Tx, Option<Checkpoint>), StepError> {
        let core = self.clone();
        let seen = self.run(async move {
            let mut tx = core.begin().await?;
            tx.snapshot().await?;
            let at = |state: Option<ProjectionState>| state.map(|state| state.position.next);
            let live = at(tx.load(&core.live()).await?);
            let own = at(tx.load(core.id()).await?);
            Ok((tx, live.filter(|_| live == own)))
        });
        seen.await
    }

    /// Compares this read model with the live one in a snapshot.
    async fn compared(self: Arc<Self>, mut snapshot: D::Tx) -> Result<Comparison, BoxError> {
        let core = self.clone();
        // However long it takes.
        self.database.run(async move { snapshot.compare(&core.live(), core.id()).await }).await?
    }
}

impl<D: Database> Runner<D> {
    /// Compares this read model with the live one at the same checkpoint.
    pub(super) async fn compare_with_live(&mut self) -> Result<Comparison, StepError> {
        let (snapshot, checkpoint) = self.meet_live().await?;
        let compared = self.with_lease_kept(self.core.clone().compared(snapshot)).await?;
        Ok(Comparison { checkpoint: checkpoint.get(), ..compared })
    }

    /// Returns a snapshot in which this read model and the live one are at the same checkpoint. The live one is locked
    /// only while this one catches up to its checkpoint. The rows are compared in the snapshot while both go on.
    pub(crate) async fn meet_live(&mut self) -> Result<(D::Tx, Checkpoint), StepError> {
        let deadline = Instant::now() + MEET_WITHIN;
        loop {
            // As far as possible before the live one is held.
            let live = require_unpartitioned(self.core.load_live().await?)?;
            if live.position.next > self.load().await?.position.next {
                self.step_to(live.position.next).await?;
            }
            let here = self.load().await?.position.next;
            let (held, found) = self.core.hold_live().await?;
            if found.position.next >= here {
                self.step_to(found.position.next).await?;
                let (snapshot, at) = self.core.snapshot_with_live().await?;
                drop(held);
                if let Some(checkpoint) = at {
                    return Ok((snapshot, checkpoint));
                }
            } else if let Some(pause) = found.pause {
                return Err(StepError::Setup(format!(
                    "the live read model is paused before checkpoint {here} ({}), so the two can't be \
                     compared at the same checkpoint: resume it first",
                    pause.reason
                )));
            } else {
                drop(held);
                self.wait_a_moment().await?;
            }
            if Instant::now() > deadline {
                return Err(StepError::Setup(format!(
                    "the live read model does not reach checkpoint {here}, so the two can't be compared at \
                     the same checkpoint: is its worker running? Without verification they can still be \
                     swapped"
                )));
            }
        }
    }

    /// Applies changesets up to exactly this checkpoint, unless it has passed it already.
    pub(crate) async fn step_to(&mut self, end: Checkpoint) -> Result<ProjectionState, StepError> {
        loop {
            let state = self.load().await?;
            if state.pause.is_some() {
                return Err(StepError::Setup(format!("{} is paused", self.core.name())));
            }
            if state.position.next >= end {
                return Ok(state);
            }
            let changesets = self.core.settings.batch_changesets_max.max(1);
            let batch = self.core.fetch_until(state.position.next, end, changesets).await?;
            if self.process(batch).await? != Stepped::Moved {
                return Err(StepError::Setup(format!(
                    "the log ends before checkpoint {end}, which the live read model has reached: the log \
                     was restored to an older state, or is another log"
                )));
            }
            if self.stop.is_cancelled() {
                return Err(StepError::Fenced);
            }
        }
    }

    /// Fails if the worker must stop or another worker has the lease.
    async fn wait_a_moment(&mut self) -> Result<(), StepError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(StepError::Fenced),
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
        if self.has_lease().await? { Ok(()) } else { Err(StepError::Fenced) }
    }

    /// Renews the lease during long work. Otherwise another worker would take over and start the same work.
    pub(crate) async fn with_lease_kept<T>(
        &mut self,
        what: impl Future<Output = Result<T, BoxError>> + Send,
    ) -> Result<T, StepError> {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                biased;
                done = &mut what => return Ok(done?),
                () = self.stop.cancelled() => return Err(StepError::Fenced),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if !self.has_lease().await? {
                return Err(StepError::Fenced);
            }
        }
    }
}
