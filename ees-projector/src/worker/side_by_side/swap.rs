//! Swaps the standby and the live read model.

use super::require_unpartitioned;
use crate::database::{AuditRows, Database, Transaction};
use crate::error::{BoxError, chain};
use crate::projection_state::{AuditEntry, ProjectionState};
use crate::standby::{SideBySide, Standby, StandbyRole};
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::runner::Runner;

impl<D: Database> Runner<D> {
    /// Swaps this standby with the live read model, in one transaction, once both are at the same checkpoint.
    pub(crate) async fn swap(&mut self, audit: AuditEntry) -> Result<(), StepError> {
        let live = self.core.live();
        require_unpartitioned(self.core.load_live().await?)?;
        // Catch up as far as possible before the live one's row is locked.
        let end = self.core.log.head().await?.checkpoint;
        self.step_to(end).await?;
        let core = self.core.clone();
        let locked = self.core.run(async move {
            let mut tx = core.database.begin_swap().await?;
            let theirs = require_unpartitioned(tx.lock(&core.live()).await?)?;
            Ok((tx, theirs))
        });
        let (tx, theirs) = locked.await?;
        // After a log went back, the live one may lie past its end. It must still be replaceable.
        let end = self.core.log.head().await?.checkpoint;
        let ours = self.step_to(theirs.position.next.min(end)).await?;
        // From here on the cache is outdated: the transaction changes the row.
        self.state.forget();
        let (core, from, to) = (self.core.clone(), theirs.version, ours.version);
        let at = ours.position.next.get();
        self.core.run(async move { core.exchange(tx, &ours, &theirs, audit).await }).await?;
        tracing::info!(
            projection = live.name(),
            checkpoint = at,
            from,
            to,
            "the standby was swapped with the live read model"
        );
        Ok(())
    }
}

impl<D: Database> Core<D> {
    /// Swaps the rows and the tables of this standby and the live read model, whose row is locked.
    async fn exchange(
        &self,
        mut tx: D::Tx,
        ours: &ProjectionState,
        theirs: &ProjectionState,
        mut audit: AuditEntry,
    ) -> Result<(), StepError> {
        let (live, own) = (self.live(), self.id().clone());
        let epoch = theirs.position.epoch.max(ours.position.epoch) + 1;
        let with_epoch = |state: &ProjectionState, standby: Option<Standby>| {
            let mut state = ProjectionState { standby, ..state.clone() };
            state.position.epoch = epoch;
            state
        };
        let left_behind = tx.left_behind(&live, &own).await?;
        let following = Standby {
            role: StandbyRole::Following,
            keeps_skips: theirs.version == ours.version,
            left_behind: left_behind.clone(),
            ..SideBySide { no_swap: true, ..SideBySide::default() }.into()
        };
        let mut swapped = with_epoch(ours, None);
        if ours.standby.as_ref().is_some_and(|standby| standby.keeps_skips) {
            // Also those that were made since the standby was begun.
            swapped.add_skips(theirs.skips.iter().copied());
        }
        let is_replaced = tx.replace(&own, ours.position, &with_epoch(theirs, Some(following))).await?
            && tx.replace(&live, theirs.position, &swapped).await?;
        if !is_replaced {
            return Err(StepError::Fenced);
        }
        let back = ours.standby.as_ref().is_some_and(|standby| standby.role == StandbyRole::Following);
        tx.exchange(&live, &own, back).await.map_err(not_swapped::<D>)?;
        if !left_behind.is_empty() {
            let left_behind = left_behind.join(", ");
            tracing::warn!(projection = live.name(), left_behind, "the former live read model keeps this");
            audit.detail = format!("left behind: {left_behind}");
        }
        tx.audit(&live, &audit).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn not_swapped<D: Database>(error: BoxError) -> StepError {
    if D::is_transient(&*error) {
        return error.into();
    }
    StepError::NotSwapped(format!("the standby can't be swapped: {}", chain(&*error)))
}
