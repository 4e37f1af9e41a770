//! Swaps the standby and the live read model.

use std::error::Error;

use ees_store::{Checkpoint, Timestamp};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::rows::{Rows, no_live};
use crate::database::{AuditRows, Database, TooLarge, Transaction};
use crate::error::{BoxError, chain};
use crate::partition::Split;
use crate::projection_state::{AuditEntry, Position, ProjectionState};
use crate::read_model_id::ReadModelId;
use crate::standby::{SideBySide, Standby, StandbyRole};
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::runner::Runner;

/// By how much a swap raises the epochs. A new lease raises them by one, and so does a transaction that would lock the
/// row where the database has no locks.
const EPOCHS_OF_A_SWAP: u64 = 1 << 20;

impl<D: Database> Runner<D> {
    /// Swaps this standby with the live read model, in one transaction, once it has applied of each stream what the live one
    /// has. It must be split as the live one is, or will be. `epoch` is that of the standby's row when this was decided: a
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
            let own = self.own_rows().await?;
            let end = self.core.log.head().await?.checkpoint;
            self.step_rows_to(&vec![end; own.positions().len()]).await?;
            let core = self.core.clone();
            let locked = self.core.run(async move {
                let mut tx = core.database.begin_swap().await?;
                let theirs = Rows::read(&mut tx, &core.live(), true).await?.ok_or_else(no_live)?;
                Ok((tx, theirs))
            });
            let (tx, theirs) = locked.await?;
            // After a log went back, the live one may lie past its end. It must still be replaceable.
            let ends = own.ends(&theirs, self.core.log.head().await?.checkpoint);
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

/// The rows of the two read models after a swap.
pub(crate) struct Exchanged {
    /// Those of the standby, which is live from then on.
    pub(crate) to_live: RowsAfter,
    /// Those of the live one.
    pub(crate) to_standby: RowsAfter,
}

/// The rows of one read model after a swap.
pub(crate) struct RowsAfter {
    pub(crate) whole: ProjectionState,
    /// In order.
    pub(crate) partitions: Vec<ProjectionState>,
}

impl Rows {
    /// Returns `true` if this standby may replace the live read model now. `epoch` is that of its row when this was
    /// decided, and `ends` are the checkpoints that it must have reached.
    pub(crate) fn may_replace(&self, live: &Self, epoch: u64, ends: &[Checkpoint]) -> bool {
        let raised = self.whole.position.epoch.checked_sub(epoch);
        let is_same = raised.is_some_and(|raised| raised < EPOCHS_OF_A_SWAP);
        let positions = self.positions();
        let is_there =
            positions.len() == ends.len() && positions.iter().zip(ends).all(|(next, end)| next >= end);
        is_same && self.is_split_as_wanted_of(live) && is_there
    }

    /// Returns the rows after this standby and the live read model have changed places. The live one follows from then
    /// on. If the number of its partitions is being changed, that goes on there. Workers with the old rows lose at the
    /// fence.
    pub(crate) fn exchanged(&self, live: &Self, left_behind: Vec<String>) -> Exchanged {
        let raised = |epochs: &mut dyn Iterator<Item = u64>| epochs.max().unwrap_or(0) + EPOCHS_OF_A_SWAP;
        let of_wholes = raised(&mut [self, live].into_iter().map(|rows| rows.whole.position.epoch));
        let of_partitions = [self, live].into_iter().flat_map(|rows| &rows.partitions);
        let of_partitions = raised(&mut of_partitions.map(|row| row.state.position.epoch));
        let moved = |rows: &Self| RowsAfter {
            whole: rows.whole.swapped(of_wholes),
            partitions: rows.partitions.iter().map(|row| row.state.swapped(of_partitions)).collect(),
        };
        let (mut to_live, mut to_standby) = (moved(self), moved(live));
        if self.whole.standby.as_ref().is_some_and(|plan| plan.keeps_skips) {
            // Also those that were made since the standby was begun.
            let of_partitions = live.partitions.iter().flat_map(|row| &row.state.skips);
            to_live.whole.add_skips(live.whole.skips.iter().chain(of_partitions).copied());
        }
        to_standby.whole.standby = Some(Standby {
            role: StandbyRole::Following,
            keeps_skips: live.whole.version == self.whole.version,
            left_behind,
            ..SideBySide { no_swap: true, ..SideBySide::default() }.into()
        });
        Exchanged { to_live, to_standby }
    }
}

impl ProjectionState {
    /// Returns the row in the other slot.
    fn swapped(&self, epoch: u64) -> Self {
        Self {
            standby: None,
            split: self.split.map(Split::going_on),
            position: Position { epoch, ..self.position },
            ..self.clone()
        }
    }
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
        let Exchanged { to_live, to_standby } = ours.exchanged(theirs, left_behind.clone());
        for (model, from, to) in [(&own, &ours, to_standby), (&live, theirs, to_live)] {
            let replaced = replace_rows(&mut tx, model, from, &to).await.map_err(no_room_or_failed)?;
            if !replaced {
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
        tx.audit(&live, &audit).await.map_err(no_room_or_failed)?;
        tx.commit().await?;
        Ok((at, theirs.whole.version, ours.whole.version))
    }
}

/// Replaces the rows of a read model by others, of which there may be more or fewer. Returns `false` if one of them is not
/// where it was.
async fn replace_rows<Tx: Transaction>(
    tx: &mut Tx,
    model: &ReadModelId,
    from: &Rows,
    to: &RowsAfter,
) -> Result<bool, BoxError> {
    if !tx.replace(model, from.whole.position, &to.whole).await? {
        return Ok(false);
    }
    for (row, to) in from.partitions.iter().zip(&to.partitions) {
        if !tx.replace(&row.id, row.state.position, to).await? {
            return Ok(false);
        }
    }
    for row in from.partitions.iter().skip(to.partitions.len()) {
        tx.remove_partition(&row.id).await?;
    }
    for (index, row) in (0..).zip(&to.partitions).skip(from.partitions.len()) {
        tx.add_partition(&model.with_partition(index), row).await?;
    }
    Ok(true)
}

fn not_swapped<D: Database>(error: BoxError) -> StepError {
    if D::is_transient(&*error) { error.into() } else { never_swapped(&*error) }
}

/// The error where rows are written: with as many of them, the next attempt has no room either.
fn no_room_or_failed(error: BoxError) -> StepError {
    if error.is::<TooLarge>() { never_swapped(&*error) } else { error.into() }
}

fn never_swapped(error: &(dyn Error + 'static)) -> StepError {
    StepError::NotSwapped(format!("the standby can't be swapped: {}", chain(error)))
}
