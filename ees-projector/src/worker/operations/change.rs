//! Changes the row as an operator's action says, together with other rows and the audit, in one transaction.

use ees_store::StreamId;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::database::{AuditRows, Database, ParkedRows, TimerRows, Transaction};
use crate::partition::Partition;
use crate::projection_state::{AuditEntry, ChangesetRef, ParkedStream, Pause, ProjectionState};
use crate::read_model_id::{ReadModelId, Slot};
use crate::status::State;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::operations::operation::OperateError;
use crate::worker::operations::transition::{Transition, transition};
use crate::worker::runner::Runner;

/// What changes together with the row.
#[derive(Clone)]
pub(super) enum StateChange {
    Nothing,
    /// Sets the same pause, or none, for every partition.
    Partitions(Option<Pause>),
    /// `force`: also if what others added to the tables can't be made again.
    Wipe {
        force: bool,
    },
    /// Discards the effects of the changeset.
    Skip(ChangesetRef),
    /// Like `Skip`, and unparks the changeset.
    Unpark(ChangesetRef),
    /// Cancels a timer.
    CancelTimer {
        stream_id: StreamId,
        key: String,
    },
    /// Makes these streams due now, as if they had just failed.
    Due(Vec<StreamId>),
}

impl<D: Database> Runner<D> {
    /// Changes the row as the action says, together with what belongs to it and the audit. The position may
    /// have moved since the row was `seen`.
    pub(super) fn change<'a>(
        &'a mut self,
        seen: &'a ProjectionState,
        action: Transition,
        also: StateChange,
        audit: AuditEntry,
    ) -> BoxFuture<'a, Result<(), OperateError>> {
        async move {
            tracing::info!(
                projection = self.core.name(),
                action = audit.action,
                reason = audit.reason,
                detail = audit.detail,
                "operator's action"
            );
            let core = self.core.clone();
            let changed: Result<_, OperateError> = self
                .core
                .transact_wherever(
                    seen,
                    move |found| transition(found, &action),
                    None,
                    move |tx| {
                        async move {
                            let also = core.change_also(tx, also).await?;
                            let detail = format!("{}{also}", audit.detail);
                            Ok(tx.audit(core.id(), &AuditEntry { detail, ..audit }).await?)
                        }
                        .boxed()
                    },
                )
                .await;
            changed?;
            self.changed().await
        }
        .boxed()
    }

    pub(super) async fn changed(&mut self) -> Result<(), OperateError> {
        let state = self.reload().await?;
        if let Some(split) = state.split.filter(|_| self.core.is_left_to_partitions(&state)) {
            return match self.tend_partitions(state, split).await {
                Ok(()) | Err(StepError::Fenced) => Ok(()),
                Err(error) => Err(error.into()),
            };
        }
        // A failure that still exists will show itself again.
        self.record_success(if state.pause.is_some() { State::Paused } else { State::CatchingUp });
        Ok(())
    }
}

impl<D: Database> Core<D> {
    /// Returns what the audit should say about it besides.
    async fn change_also(&self, tx: &mut D::Tx, also: StateChange) -> Result<String, StepError> {
        match also {
            StateChange::Nothing => {}
            StateChange::Wipe { force } => {
                let wiped = self.wipe(tx).await?;
                if !force && !wiped.dropped.is_empty() {
                    return Err(StepError::WouldDrop(wiped.dropped.join(", ")));
                }
                return Ok(self.report_wiped(&wiped));
            }
            StateChange::Partitions(pause) => tx.pause_partitions(self.id(), pause.as_ref()).await?,
            StateChange::Skip(changeset) => {
                self.processor.skipped(tx, self.id(), &changeset).await?;
                self.skip_in_standby(tx, &changeset).await?;
            }
            StateChange::Unpark(changeset) => {
                if !tx.unpark(self.id(), &changeset.stream_id, changeset.checkpoint).await? {
                    return Err(StepError::Fenced);
                }
                self.processor.skipped(tx, self.id(), &changeset).await?;
                self.skip_in_standby(tx, &changeset).await?;
            }
            StateChange::CancelTimer { stream_id, key } => {
                if tx.timer(self.id(), &stream_id, &key).await?.is_none() {
                    return Err(StepError::Fenced);
                }
                tx.remove_timer(self.id(), &stream_id, &key).await?;
            }
            StateChange::Due(streams) => self.make_due(tx, &streams).await?,
        }
        Ok(String::new())
    }

    /// Lets the standby leave out what is skipped in the live read model, if it keeps skips.
    async fn skip_in_standby(&self, tx: &mut D::Tx, changeset: &ChangesetRef) -> Result<(), StepError> {
        if !D::SIDE_BY_SIDE || self.slot() != Slot::Live {
            return Ok(());
        }
        let id = self.id().with_slot(Slot::Standby);
        let found = tx.lock(&id).await?;
        let keeps = |row: &ProjectionState| row.standby.as_ref().is_some_and(|plan| plan.keeps_skips);
        let Some(state) = found.filter(keeps) else { return Ok(()) };
        match state.split {
            None => note_skip(tx, &id, &state, changeset).await?,
            Some(split) => {
                let rows = tx.partitions(&id, true).await?;
                for (partition, row) in Partition::all(split.count).zip(rows) {
                    if state.may_come_to(partition, &changeset.stream_id) {
                        note_skip(tx, &row.id, &row.state, changeset).await?;
                    }
                }
            }
        }
        // It may be parked there: a retry knows nothing of skips.
        tx.unpark(&id, &changeset.stream_id, changeset.checkpoint).await?;
        Ok(())
    }

    /// Makes streams due now, and restarts the time after which they are given up.
    async fn make_due(&self, tx: &mut D::Tx, streams: &[StreamId]) -> Result<(), StepError> {
        let now = ees_store::Timestamp::now();
        for stream in tx.parked(self.id()).await? {
            if streams.contains(&stream.stream_id) {
                let due = ParkedStream { since: now, retry_at: Some(now), ..stream };
                tx.update_parked(self.id(), &due).await?;
            }
        }
        Ok(())
    }
}

async fn note_skip<Tx: Transaction>(
    tx: &mut Tx,
    id: &ReadModelId,
    state: &ProjectionState,
    changeset: &ChangesetRef,
) -> Result<(), StepError> {
    let moved = state.moved(|state| state.skip(changeset));
    if tx.replace(id, state.position, &moved).await? { Ok(()) } else { Err(StepError::Fenced) }
}
