//! Compares two read models of a projection at the same checkpoint.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::Checkpoint;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::rows::{Rows, no_live};
use crate::database::{Compared, Database, MovingComparison, Transaction};
use crate::error::BoxError;
use crate::projection_state::{Pause, ProjectionState};
use crate::standby::Comparison;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::lease_state::LOOK_EVERY;
use crate::worker::outcome::Stepped;
use crate::worker::runner::Runner;

/// The longest wait for the other read model to reach this checkpoint.
const MEET_WITHIN: Duration = Duration::from_secs(30);

impl<D: Database> Core<D> {
    /// Locks the live read model's rows until the transaction ends.
    async fn hold_live(self: &Arc<Self>) -> Result<(D::Tx, Rows), StepError> {
        let core = self.clone();
        let held = self.run(async move {
            let live = core.live();
            let mut tx = core.database.begin_in(&live).await?;
            let found = Rows::read(&mut tx, &live, true).await?.ok_or_else(no_live)?;
            Ok((tx, found))
        });
        held.await
    }

    /// Returns a snapshot of this read model and the live one, and the checkpoint of both, if each partition has the
    /// same.
    async fn snapshot_with_live(self: &Arc<Self>) -> Result<(D::Tx, Option<Checkpoint>), StepError> {
        let core = self.clone();
        let seen = self.run(async move {
            let mut tx = core.begin().await?;
            tx.snapshot().await?;
            let live = Rows::read(&mut tx, &core.live(), false).await?;
            let own = Rows::read(&mut tx, core.id(), false).await?;
            let is_same = |own: &Rows, live: &Rows| own.positions() == live.positions();
            let at = own.zip(live).filter(|(own, live)| is_same(own, live)).map(|(own, _)| own.lowest());
            Ok((tx, at))
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
    /// Compares this read model with the live one at the same checkpoint. Where there are snapshots, the live one is
    /// locked only while this one catches up to its checkpoint. The rows are compared while both go on.
    pub(super) fn compare_with_live(&mut self) -> BoxFuture<'_, Result<Comparison, StepError>> {
        async move {
            match self.core.database.comparison(&self.core.live(), self.core.id()) {
                Some(comparison) => self.compare_while_live_moves(comparison).await,
                None => {
                    let (snapshot, checkpoint) = self.meet_live().await?;
                    let compared = self.with_lease_kept(self.core.clone().compared(snapshot)).await?;
                    Ok(Comparison { checkpoint: checkpoint.get(), ..compared })
                }
            }
        }
        .boxed()
    }

    /// Returns a snapshot in which this read model and the live one are at the same checkpoint. The live one is locked
    /// only while this one catches up to its checkpoint. The rows are compared in the snapshot while both go on.
    pub(crate) fn meet_live(&mut self) -> BoxFuture<'_, Result<(D::Tx, Checkpoint), StepError>> {
        async move {
            let deadline = Instant::now() + MEET_WITHIN;
            loop {
                let (mut held, mut found, mut pause) = (None, None, None);
                if self.is_split_like_live().await? {
                    let live = self.core.live_rows().await?;
                    pause = live.pause().cloned();
                    // Otherwise its partitions are being changed: it is left alone until that has ended.
                    if live.is_split_like(&self.own_rows().await?) {
                        self.core.stand_still().await?;
                        // As far as possible before the live one is held.
                        self.step_rows_to(&live.positions()).await?;
                        let (tx, rows) = self.core.hold_live().await?;
                        pause = rows.pause().cloned();
                        (held, found) = (Some(tx), Some(rows));
                    }
                }
                let own = self.own_rows().await?;
                let here = own.lowest();
                let found = found.filter(|found| found.is_split_like(&own));
                let is_behind = |found: &Rows| {
                    found.positions().iter().zip(own.positions()).any(|(live, own)| *live < own)
                };
                if let Some(found) = found.as_ref().filter(|found| !is_behind(found)) {
                    self.step_rows_to(&found.positions()).await?;
                    let (snapshot, at) = self.core.snapshot_with_live().await?;
                    drop(held);
                    self.core.go_on().await?;
                    self.state.forget();
                    if let Some(checkpoint) = at {
                        return Ok((snapshot, checkpoint));
                    }
                } else {
                    drop(held);
                    self.wait_for_live(here, pause).await?;
                }
                if Instant::now() > deadline {
                    return Err(never_reached(here));
                }
            }
        }
        .boxed()
    }

    /// Brings this read model to each checkpoint where the comparison needs it.
    async fn compare_while_live_moves(
        &mut self,
        mut comparison: Box<dyn MovingComparison>,
    ) -> Result<Comparison, StepError> {
        // As far as possible before rows are compared: what the live one has changed since looks different at first.
        let live = self.core.live_rows().await?.whole;
        self.step_to(live.position.next).await?;
        let mut deadline = Instant::now() + MEET_WITHIN;
        loop {
            match self.with_lease_kept(comparison.go_on()).await? {
                Compared::Done(comparison) => return Ok(comparison),
                Compared::Replaced => {
                    return Err(StepError::Setup(
                        "the live read model was rebuilt or swapped while it was compared: verify again"
                            .to_owned(),
                    ));
                }
                Compared::Meet(at) => {
                    let here = self.reload().await?.position.next;
                    if here <= at {
                        self.step_to(at).await?;
                        deadline = Instant::now() + MEET_WITHIN;
                        continue;
                    }
                    let live = self.core.live_rows().await?.whole;
                    if live.position.next < here {
                        self.wait_for_live(here, live.pause).await?;
                    }
                    if Instant::now() > deadline {
                        return Err(never_reached(here));
                    }
                }
            }
        }
    }

    /// Waits a moment for the live read model, which is behind this one.
    async fn wait_for_live(&mut self, here: Checkpoint, pause: Option<Pause>) -> Result<(), StepError> {
        if let Some(pause) = pause {
            return Err(StepError::Setup(format!(
                "the live read model is paused before checkpoint {here} ({}), so the two can't be compared at the \
                 same checkpoint: resume it first",
                pause.reason
            )));
        }
        self.wait_a_moment().await
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
            let portion = self.core.batch();
            let batch = match &state.segment {
                Some(_) => self.core.fetch_next(&state, portion, Duration::ZERO).await?,
                None => self.core.fetch_known_until(state.position.next, end, portion.changesets).await?,
            };
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

fn never_reached(here: Checkpoint) -> StepError {
    StepError::Setup(format!(
        "the live read model does not reach checkpoint {here}, or the number of its partitions is being changed, so the \
         two can't be compared at the same checkpoint: is its worker running? Without verification they can still be \
         swapped"
    ))
}
