//! Builds a read model side by side with the live one, to swap the two or only to compare them.

use std::sync::Arc;

use ees_store::Checkpoint;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::rows::no_live;
use crate::database::{AuditRows, Database, Transaction};
use crate::partition::Split;
use crate::projection_state::{AuditEntry, ProjectionState, Skipped};
use crate::read_model_id::Slot;
use crate::standby::{Comparison, SideBySide, Standby, StandbyRole};
use crate::status::State;
use crate::worker::core::{Core, no_work};
use crate::worker::error::StepError;
use crate::worker::initialize::setup;
use crate::worker::operations::operation::OperateError;
use crate::worker::operations::{OVERTAKEN_MAX, reads_segments};
use crate::worker::outcome::Stepped;
use crate::worker::runner::Runner;
use crate::worker::worker_status::WorkerStatus;

impl<D: Database> Core<D> {
    /// Creates an empty read model in this slot, in place of what the slot contains. The caller has locked
    /// the live one's row, so that nobody swaps meanwhile.
    pub(crate) async fn make_standby(
        &self,
        tx: &mut D::Tx,
        standby: Standby,
        until: Checkpoint,
        skips: Vec<Skipped>,
        split: Option<Split>,
        by_segments: bool,
    ) -> Result<(), StepError> {
        let version = self.processor.version();
        let mut state = ProjectionState::standby(version, until, standby, skips, split);
        if by_segments {
            state = state.by_segments();
        }
        state.fingerprint = self.fingerprint_of_nothing();
        tx.discard(self.id()).await.map_err(setup::<D>)?;
        if !tx.insert(self.id(), &state).await.map_err(setup::<D>)? {
            return Err(StepError::Fenced);
        }
        self.create_tables(tx).await?;
        self.create_partitions(tx, &state).await?;
        if self.slot() != Slot::Standby {
            return Ok(());
        }
        let left_behind = tx.left_behind(&self.live(), self.id()).await?;
        if left_behind.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            projection = self.name(),
            left_behind = left_behind.join(", "),
            "a swap will leave this behind"
        );
        if let Some(plan) = &mut state.standby {
            plan.left_behind = left_behind;
        }
        if tx.replace(self.id(), state.position, &state).await? { Ok(()) } else { Err(StepError::Fenced) }
    }

    /// Starts to build a standby. Returns `false` if one is being built already.
    pub(crate) async fn build_standby(
        self: &Arc<Self>,
        wanted: SideBySide,
        until: Checkpoint,
        audit: AuditEntry,
    ) -> Result<bool, StepError> {
        let core = self.clone();
        let built = self.write(move |tx| {
            async move {
                let standby = core.onto(Slot::Standby);
                let mut live = tx.lock(core.id()).await?.ok_or(StepError::Fenced)?;
                if tx.load(standby.id()).await?.is_some_and(|found| found.is_being_built()) {
                    return Ok(false);
                }
                core.know_skips(tx, &mut live).await?;
                let partitions = live.partitions();
                let split = Split::for_rebuild(wanted.workers.unwrap_or(partitions), partitions);
                let skips = if wanted.keep_skips == Some(true) { live.skips } else { Vec::new() };
                standby.make_standby(tx, wanted.into(), until, skips, split, wanted.by_segments).await?;
                tx.audit(core.id(), &audit).await?;
                Ok(true)
            }
            .boxed()
        });
        built.await
    }

    /// Builds the read model once more in the scratch slot, compares it with the live one and deletes it.
    /// `status` shows the progress.
    pub(crate) async fn verify_live(
        self: Arc<Self>,
        status: Arc<WorkerStatus>,
    ) -> Result<Comparison, OperateError> {
        if !D::SIDE_BY_SIDE {
            return Err(OperateError::NotSupported(
                "this database can't build a second read model, so it can't verify",
            ));
        }
        if self.live_of_this_version().await?.segment.is_some() {
            return Err(reads_segments());
        }
        let until = self.head().await?.checkpoint;
        let scratch = Arc::new(self.onto(Slot::Scratch));
        let mut made = self.make_scratch(scratch.clone(), until).await;
        for _ in 0..OVERTAKEN_MAX {
            if !matches!(made, Err(StepError::Fenced)) {
                break;
            }
            made = self.make_scratch(scratch.clone(), until).await;
        }
        made?;
        let mut runner = Runner::new(scratch.clone(), status);
        let compared = runner.build_and_compare(until).await;
        if matches!(compared, Err(StepError::Absent | StepError::Fenced)) {
            // Another verification's scratch read model is here now.
            return Err(OperateError::AlreadyVerifying);
        }
        scratch.throw_away().await?;
        // Another version may have been swapped in.
        self.live_of_this_version().await?;
        let parked_streams = u64::try_from(self.parked().await?.len()).unwrap_or(u64::MAX);
        match compared {
            Err(StepError::Failed { error, .. }) if parked_streams > 0 => Err(OperateError::Failed(format!(
                "streams are parked ({parked_streams}), and the read model that is built for comparison fails where they \
                 did: correct the code and retry them first. {error}"
            ))),
            compared => Ok(Comparison { parked_streams, ..compared? }),
        }
    }

    /// Returns the row of the live read model. Another version's rows would differ in what is meant to differ.
    async fn live_of_this_version(self: &Arc<Self>) -> Result<ProjectionState, OperateError> {
        let core = self.clone();
        let live = self.read(move |tx| async move { Ok(tx.load(core.id()).await?) }.boxed()).await?;
        let live = live.ok_or(OperateError::NeverStarted)?;
        if live.version == self.processor.version() { Ok(live) } else { Err(OperateError::Absent) }
    }

    async fn make_scratch(self: &Arc<Self>, scratch: Arc<Self>, until: Checkpoint) -> Result<(), StepError> {
        let plan = SideBySide { verify: true, no_swap: true, ..SideBySide::default() }.into();
        let core = self.clone();
        let made = self.write(move |tx| {
            async move {
                let mut live = tx.lock(core.id()).await?.ok_or_else(no_live)?;
                core.know_skips(tx, &mut live).await?;
                // Split when it is complete: only this process works on it, and so the log is read once.
                scratch.make_standby(tx, plan, until, live.skips, None, false).await
            }
            .boxed()
        });
        made.await
    }

    async fn throw_away(self: &Arc<Self>) -> Result<(), StepError> {
        let (core, live) = (self.clone(), Arc::new(self.onto(Slot::Live)));
        live.write(move |tx| async move { Ok(tx.discard(core.id()).await?) }.boxed()).await
    }
}

impl<D: Database> Runner<D> {
    async fn build_and_compare(&mut self, until: Checkpoint) -> Result<Comparison, StepError> {
        self.lease.stays = false;
        loop {
            match self.step().await {
                // It is split when it is complete, to be compared.
                Ok(Stepped::Moved | Stepped::Idle | Stepped::Split(_)) => {}
                Ok(Stepped::Paused | Stepped::Elsewhere) => {
                    return Err(StepError::Absent);
                }
                // Transient. Acquiring the lease moves the epoch as well.
                Err(error @ (StepError::Log(_) | StepError::Database(_) | StepError::Fenced)) => {
                    let pause = self.fail(error).await;
                    tokio::time::sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
            // After a failure, the row is read again.
            match self.load().await {
                Ok(state) if state.position.next >= until => match self.compare_with_live().await {
                    // The rows of the live read model were changed meanwhile.
                    Err(StepError::Fenced) if self.is_still_complete(until).await => {}
                    compared => return compared,
                },
                Ok(_) | Err(StepError::Database(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the read model is still there, and complete. Another one in its place begins anew.
    async fn is_still_complete(&mut self, until: Checkpoint) -> bool {
        self.reload().await.is_ok_and(|state| state.position.next >= until)
    }

    /// If the standby has caught up, does what was planned for it.
    pub(crate) fn complete_if_due(&mut self) -> BoxFuture<'_, Result<(), StepError>> {
        async move {
            if self.core.slot() != Slot::Standby || self.core.partition().is_some() {
                return Ok(());
            }
            // Not cached after an idle step. And the standby may have been complete when this worker started.
            let state = self.load().await?;
            let due = match state.split {
                Some(_) => self.are_partitions_due(),
                None => self.is_due(&state),
            };
            let Some(plan) = due else {
                // Not complete: the transactions to wait for are collected again when it is.
                self.older_readers = None;
                return Ok(());
            };
            // Another standby may take the place of this one, with the same plan.
            let decided_at = state.position.epoch;
            // Of a read model in partitions, nobody has the lease until then.
            if !self.has_lease().await? || !self.is_split_like_live().await? {
                return Ok(());
            }
            let live = self.core.live_rows().await?;
            if plan.verify && live.is_on_the_way() {
                return Ok(());
            }
            if !plan.force && !self.parked.streams.is_empty() {
                let note = format!(
                    "{} streams are parked: retry or skip those of {}, or swap with force",
                    self.parked.streams.len(),
                    self.core.name()
                );
                return self.remain_standby(note).await;
            }
            if live.whole.version > self.core.processor.version() {
                return self
                    .remain_standby("the live read model has a newer version by now".to_owned())
                    .await;
            }
            if plan.verify {
                let comparison = self.compare_with_live().await?;
                if let Some(first) = comparison.differences.first() {
                    let count = comparison.differences.len();
                    let found =
                        if count == 1 { "1 difference".to_owned() } else { format!("{count} differences") };
                    let note = format!("{found} at checkpoint {}, the first: {first}", comparison.checkpoint);
                    return self.remain_standby(note).await;
                }
                tracing::info!(
                    projection = self.core.name(),
                    checkpoint = comparison.checkpoint,
                    rows = comparison.rows,
                    "the standby equals the live read model"
                );
            }
            if !plan.force && self.is_seen_half_built().await? {
                return Ok(());
            }
            for _ in 0..OVERTAKEN_MAX {
                let state = self.reload().await?;
                if state.standby.as_ref() != Some(&plan) {
                    break;
                }
                match self.swap(decided_at, "swap", "the standby has caught up").await {
                    // The next attempt would cost as much, and fail as well.
                    Err(StepError::NotSwapped(why)) => return self.remain_standby(why).await,
                    // The live read model moved on, where it can't be locked. Nothing has to be compared again.
                    Err(StepError::Fenced) => {}
                    swapped => return swapped,
                }
            }
            Err(StepError::Fenced)
        }
        .boxed()
    }

    /// Returns the plan for the standby, if it has caught up.
    pub(crate) fn is_due(&self, state: &ProjectionState) -> Option<Standby> {
        state.swap_due(self.status.snapshot().state == State::Following)
    }

    /// Like [`is_due`](Self::is_due), for a standby whose partitions have workers of their own: as the status shows
    /// them.
    fn are_partitions_due(&self) -> Option<Standby> {
        let seen = self.status.snapshot();
        let is_near = seen.lag_changesets() <= self.core.settings.batch_changesets_max as u64;
        let is_moving = matches!(seen.state, State::Following | State::CatchingUp);
        let row = seen.row.filter(|row| is_near && is_moving && row.rebuild_until.is_none())?;
        row.standby.filter(|plan| plan.role == StandbyRole::Building && plan.swap)
    }

    /// Keeps the standby without swapping it by itself. Its row says why.
    async fn remain_standby(&mut self, note: String) -> Result<(), StepError> {
        tracing::error!(projection = self.core.name(), note, "not swapped");
        let state = self.take_state().await?;
        let moved = state.remaining_standby(note);
        self.commit(state, moved, no_work).await
    }
}

impl ProjectionState {
    /// Returns the plan for a standby that is to be swapped now, if it follows the log.
    pub(crate) fn swap_due(&self, follows: bool) -> Option<Standby> {
        let plan = self.standby.clone().filter(|plan| plan.role == StandbyRole::Building && plan.swap)?;
        (follows && self.rebuild_until.is_none()).then_some(plan)
    }

    /// Returns the row of a standby that is not swapped by itself any more.
    pub(crate) fn remaining_standby(&self, note: String) -> Self {
        self.moved(|state| {
            if let Some(standby) = &mut state.standby {
                standby.swap = false;
                standby.note = Some(note);
            }
        })
    }

    /// Returns `true` if a standby is being built, or is complete and was never live: no other one takes its place.
    pub(crate) fn is_being_built(&self) -> bool {
        self.standby.as_ref().is_some_and(|plan| plan.role == StandbyRole::Building)
    }
}
