//! What an operator changes: the row, whatever goes with it, and the audit, all in one transaction.

use std::sync::Arc;

use ees_store::StreamId;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::control::{Applied, AuditEntry, Control, Pause};
use crate::database::{AuditRows, Database, ParkedRows, Transaction};
use crate::operation::OperateError;
use crate::projection::Projection;
use crate::status::State;
use crate::worker::error::StepError;
use crate::worker::runner::Runner;
use crate::worker::step::Core;
use crate::worker::transact::AsyncWork;

/// What goes with a change of the row.
pub(super) enum Also {
    Nothing,
    /// The same pause, or none, for every partition.
    Partitions(Option<Pause>),
    Wipe,
    Unpark(Applied),
    /// What the changeset called for is not done any more.
    DiscardEffects(Applied),
    /// These streams are tried again now, as if they had not failed for long.
    Due(Vec<StreamId>),
}

struct Change<P, D> {
    core: Arc<Core<P, D>>,
    also: Also,
    audit: AuditEntry,
}

impl<P: Projection<D::Tx>, D: Database> AsyncWork<D::Tx> for Change<P, D> {
    async fn run(self, tx: &mut D::Tx) -> Result<(), StepError> {
        let name = self.core.name();
        match self.also {
            Also::Nothing => {}
            Also::Wipe => self.core.wipe(tx).await?,
            Also::Partitions(pause) => {
                tx.pause_partitions(name, pause.as_ref()).await.map_err(StepError::Database)?;
            }
            Also::Unpark(place) => {
                if !tx.unpark(name, &place.stream_id, place.checkpoint).await.map_err(StepError::Database)? {
                    return Err(StepError::Fenced);
                }
                self.core.discard_effects(tx, &place).await?;
            }
            Also::DiscardEffects(place) => self.core.discard_effects(tx, &place).await?,
            Also::Due(streams) => self.core.make_due(tx, &streams).await?,
        }
        tx.audit(name, &self.audit).await.map_err(StepError::Database)
    }
}

impl<P, D> Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Changes the row, whatever goes with it, and the audit, all in one transaction, if the projection still stands
    /// there.
    pub(super) fn change<'a>(
        &'a mut self,
        from: &'a Control,
        to: Control,
        also: Also,
        audit: AuditEntry,
    ) -> BoxFuture<'a, Result<(), OperateError>> {
        async move {
            let work = self.work_of(also, audit);
            self.core.transact(from, to, None, work).await?;
            self.changed().await
        }
        .boxed()
    }

    /// As [`change`](Self::change), however far the worker that is at work has got.
    pub(super) fn change_wherever<'a>(
        &'a mut self,
        seen: &'a Control,
        to: impl FnOnce(&Control) -> Control + Send + 'static,
        also: Also,
        audit: AuditEntry,
    ) -> BoxFuture<'a, Result<(), OperateError>> {
        async move {
            let work = self.work_of(also, audit);
            self.core.transact_wherever(seen, to, None, work).await?;
            self.changed().await
        }
        .boxed()
    }

    fn work_of(&self, also: Also, audit: AuditEntry) -> Change<P, D> {
        tracing::info!(
            projection = self.core.name(),
            action = audit.action,
            reason = audit.reason,
            detail = audit.detail,
            "an operator's change"
        );
        Change { core: self.core.clone(), also, audit }
    }

    pub(super) async fn changed(&mut self) -> Result<(), OperateError> {
        self.control = None;
        let control = self.load().await?;
        // Whatever stood in the way before has to show itself again.
        self.went_well(if control.pause.is_some() { State::Paused } else { State::CatchingUp });
        Ok(())
    }
}
