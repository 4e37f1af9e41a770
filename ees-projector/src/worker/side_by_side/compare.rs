//! Two read models of a projection are compared at one and the same checkpoint.

use std::time::{Duration, Instant};

use ees_store::Checkpoint;

use super::require_unpartitioned;
use crate::database::{Database, Transaction};
use crate::error::BoxError;
use crate::projection_state::ProjectionState;
use crate::standby::Comparison;
use crate::worker::error::StepError;
use crate::worker::lease_state::LOOK_EVERY;
use crate::worker::outcome::Stepped;
use crate::worker::runner::Runner;

/// How long the other read model may take to come to where this one stands.
const MEET_WITHIN: Duration = Duration::from_secs(30);

impl<D: Database> Runner<D> {
    /// Compares this read model with the live one, both at one and the same checkpoint. The live one stands still for
    /// the moment in which this one comes to where it is; the rows are compared in a snapshot, while both go on.
    pub(super) async fn compare_with_live(&mut self) -> Result<Comparison, StepError> {
        let (live, own) = (self.core.live(), self.core.id().clone());
        let deadline = Instant::now() + MEET_WITHIN;
        loop {
            let here = self.load().await?.position.next;
            let mut held = self.core.begin().await?;
            let found = require_unpartitioned(held.lock(&live).await?)?;
            if found.position.next >= here {
                self.step_to(found.position.next).await?;
                let mut snapshot = self.core.begin().await?;
                snapshot.snapshot().await?;
                let at = |state: Option<ProjectionState>| state.map(|state| state.position.next);
                let live_at = at(snapshot.load(&live).await?);
                let own_at = at(snapshot.load(&own).await?);
                drop(held);
                if let Some(checkpoint) = live_at.filter(|at| Some(*at) == own_at) {
                    let compared = self.with_lease_kept(snapshot.compare(&live, &own)).await?;
                    return Ok(Comparison { checkpoint: checkpoint.get(), ..compared });
                }
            } else if let Some(pause) = found.pause {
                return Err(StepError::Setup(format!(
                    "the live read model is paused before checkpoint {here} ({}), so that the two can't be compared at one \
                     place: resume it first",
                    pause.reason
                )));
            } else {
                drop(held);
                self.wait_a_moment().await?;
            }
            if Instant::now() > deadline {
                return Err(StepError::Setup(format!(
                    "the live read model does not come to checkpoint {here}, so that the two can't be compared at one \
                     place: is its worker running? Without verification, they can be swapped all the same"
                )));
            }
        }
    }

    /// Goes on to exactly this checkpoint, unless it is past it already.
    pub(super) async fn step_to(&mut self, end: Checkpoint) -> Result<ProjectionState, StepError> {
        loop {
            let state = self.load().await?;
            if state.pause.is_some() {
                return Err(StepError::Setup("it is paused".to_owned()));
            }
            if state.position.next >= end {
                return Ok(state);
            }
            let changesets = self.core.settings.batch_changesets_max.max(1);
            let batch = self.core.fetch_until(state.position.next, end, changesets).await?;
            if self.process(batch).await? != Stepped::Moved {
                return Err(StepError::Setup(format!(
                    "the log ends before checkpoint {end}, which the live read model has reached: it was restored to an \
                     older state, or is another one"
                )));
            }
            if self.stop.is_cancelled() {
                return Err(StepError::Fenced);
            }
        }
    }

    /// Unless the worker is told to stop, or another one has the lease.
    async fn wait_a_moment(&mut self) -> Result<(), StepError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(StepError::Fenced),
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
        if self.has_lease().await? { Ok(()) } else { Err(StepError::Fenced) }
    }

    /// Waits for what takes long, so that no other worker takes over meanwhile and begins it as well.
    async fn with_lease_kept<T>(
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
