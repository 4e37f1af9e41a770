//! Swaps the standby and the live read model.

use ees_store::{Checkpoint, Timestamp};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::rows::{Rows, no_live};
use crate::database::{AuditRows, Database, Transaction};
use crate::error::{BoxError, chain};
use crate::partition::Split;
use crate::projection_state::{AuditEntry, Position, ProjectionState};
use crate::standby::{SideBySide, Standby, StandbyRole};
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::runner::Runner;

/// By how much a swap raises the epochs. A new lease raises them by one, and so does a transaction that would lock the
/// row where the database has no locks.
const EPOCHS_OF_A_SWAP: u64 = 1 << 20;

impl<D: Database> Runner<D> {
    /// Swaps this standby with the live read model, in one transaction, once each partition of both is at the same
    /// checkpoint. The two must be split in the same way. `epoch` is that of the standby's row when this was decided: a
    /// swap that came in between is not undone. The audit has `action` and `reason`.
    pub(crate) fn swap<'a>(
        &'a mut self,
        epoch: u64,
        action: &'static str,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<(), StepError>> {
        async move {
            let live = self.core.live();
            self.core.stand_still().await?;
            // Catch up as far as possible before the live one's rows are locked.
            let count = self.core.live_rows().await?.positions().len();
            let end = self.core.log.head().await?.checkpoint;
            self.step_rows_to(&vec![end; count]).await?;
            let core = self.core.clone();
            let locked = self.core.run(async move {
                let mut tx = core.database.begin_swap().await?;
                let theirs = Rows::read(&mut tx, &core.live(), true).await?.ok_or_else(no_live)?;
                Ok((tx, theirs))
            });
            let (tx, theirs) = locked.await?;
            // After a log went back, the live one may lie past its end. It must still be replaceable.
            let ends = until(&theirs, self.core.log.head().await?.checkpoint);
            self.step_rows_to(&ends).await?;
            // From here on the cache is outdated: the transaction changes the row.
            self.state.forget();
            let (core, reason) = (self.core.clone(), reason.to_owned());
            let exchange = async move { core.exchange(tx, epoch, &theirs, &ends, action, reason).await };
            let (at, from, to) = self.core.run(exchange).await?;
            self.core.swaps.send_replace(());
            tracing::info!(
                projection = live.name(),
                checkpoint = at.get(),
                from,
                to,
                "the standby was swapped with the live read model"
            );
            Ok(())
        }
        .boxed()
    }
}

/// The rows of two read models, or of a partition of each, after a swap.
pub(crate) struct Exchanged {
    /// That of the standby, which is live from then on.
    pub(crate) to_live: ProjectionState,
    /// That of the live one.
    pub(crate) to_standby: ProjectionState,
}

impl Rows {
    /// Returns `true` if this standby may replace the live read model now. `epoch` is that of its row when this was
    /// decided, and `ends` are the checkpoints that it must have reached.
    pub(crate) fn may_replace(&self, live: &Self, epoch: u64, ends: &[Checkpoint]) -> bool {
        let raised = self.whole.position.epoch.checked_sub(epoch);
        let is_same = raised.is_some_and(|raised| raised < EPOCHS_OF_A_SWAP);
        let is_there = self.positions().iter().zip(ends).all(|(next, end)| next >= end);
        is_same && self.is_split_like(live) && is_there
    }
}

impl ProjectionState {
    /// Returns the rows after this standby and the live read model have changed places. The live one follows from then
    /// on.
    pub(crate) fn exchanged(&self, live: &Self, left_behind: Vec<String>) -> Exchanged {
        let following = Standby {
            role: StandbyRole::Following,
            keeps_skips: live.version == self.version,
            left_behind,
            ..SideBySide { no_swap: true, ..SideBySide::default() }.into()
        };
        let keeps_skips = self.standby.as_ref().is_some_and(|plan| plan.keeps_skips);
        let Exchanged { to_live, to_standby } = self.exchanged_partition(live, keeps_skips);
        Exchanged { to_live, to_standby: Self { standby: Some(following), ..to_standby } }
    }

    /// Like [`exchanged`](Self::exchanged), for the rows of a partition. Workers with the old rows lose at the fence.
    fn exchanged_partition(&self, live: &Self, keeps_skips: bool) -> Exchanged {
        let epoch = live.position.epoch.max(self.position.epoch) + EPOCHS_OF_A_SWAP;
        let moved = |state: &Self| Self {
            standby: None,
            split: state.split.map(|split| Split::into(split.count)),
            position: Position { epoch, ..state.position },
            ..state.clone()
        };
        let mut to_live = moved(self);
        if keeps_skips {
            // Also those that were made since the standby was begun.
            to_live.add_skips(live.skips.iter().copied());
        }
        Exchanged { to_live, to_standby: moved(live) }
    }
}

/// The checkpoints of a read model, but none past the end of the log.
pub(crate) fn until(rows: &Rows, end: Checkpoint) -> Vec<Checkpoint> {
    rows.positions().into_iter().map(|next| next.min(end)).collect()
}

impl<D: Database> Core<D> {
    /// Swaps the rows and the tables of this standby and the live read model, whose rows are locked. Returns the
    /// checkpoint, and the versions before and after. `ends` are the checkpoints that this one must have reached, and
    /// `epoch` is what its own must be.
    async fn exchange(
        &self,
        mut tx: D::Tx,
        epoch: u64,
        theirs: &Rows,
        ends: &[Checkpoint],
        action: &'static str,
        reason: String,
    ) -> Result<(Checkpoint, u32, u32), StepError> {
        let (live, own) = (self.live(), self.id().clone());
        let ours = Rows::read(&mut tx, &own, true).await?.ok_or(StepError::Absent)?;
        if !ours.may_replace(theirs, epoch, ends) {
            return Err(StepError::Fenced);
        }
        let left_behind = tx.left_behind(&live, &own).await?;
        let plan = ours.whole.standby.as_ref();
        let back = plan.is_some_and(|plan| plan.role == StandbyRole::Following);
        let Exchanged { to_live, to_standby } = ours.whole.exchanged(&theirs.whole, left_behind.clone());
        let whole = (&own, &ours.whole, &live, &theirs.whole, to_live, to_standby);
        let of_partitions = ours.partitions.iter().zip(&theirs.partitions).map(|(our, their)| {
            let keeps_skips = plan.is_some_and(|plan| plan.keeps_skips);
            let Exchanged { to_live, to_standby } = our.state.exchanged_partition(&their.state, keeps_skips);
            (&our.id, &our.state, &their.id, &their.state, to_live, to_standby)
        });
        for (own, ours, live, theirs, to_live, to_standby) in std::iter::once(whole).chain(of_partitions) {
            let is_replaced = tx.replace(own, ours.position, &to_standby).await?
                && tx.replace(live, theirs.position, &to_live).await?;
            if !is_replaced {
                return Err(StepError::Fenced);
            }
        }
        tx.exchange(&live, &own, back).await.map_err(not_swapped::<D>)?;
        let (at, mut detail) = (ours.lowest(), String::new());
        if !left_behind.is_empty() {
            let left_behind = left_behind.join(", ");
            tracing::warn!(projection = live.name(), left_behind, "the former live read model keeps this");
            detail = format!("left behind: {left_behind}");
        }
        let action = action.to_owned();
        let audit = AuditEntry { at: Timestamp::now(), action, reason, checkpoint: at, detail };
        tx.audit(&live, &audit).await?;
        tx.commit().await?;
        Ok((at, theirs.whole.version, ours.whole.version))
    }
}

fn not_swapped<D: Database>(error: BoxError) -> StepError {
    if D::is_transient(&*error) {
        return error.into();
    }
    StepError::NotSwapped(format!("the standby can't be swapped: {}", chain(&*error)))
}
