//! What operators do with a projection: carried out by its own worker, between two steps.

use ees_store::{Checkpoint, StreamId, Timestamp};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::control::{Applied, AuditEntry, Control, Pause, PausedBy};
use crate::database::{AuditRows, Database, Transaction};
use crate::operation::{Action, OperateError, Operation};
use crate::projection::{BoxError, Projection};
use crate::slot::Slot;
use crate::standby::{SideBySide, StandbyRole};
use crate::worker::change::Also;
use crate::worker::error::{StepError, chain, uncommitted};
use crate::worker::parking::Patience;
use crate::worker::runner::Runner;

/// How often an operation is tried that another worker came before.
const OVERTAKEN_MAX: usize = 50;
/// So many streams are made due in one transaction: DynamoDB takes no more of them.
const DUE_AT_ONCE: usize = 80;

impl<P, D> Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    pub(crate) fn operate(&mut self, operation: Operation) -> BoxFuture<'_, ()> {
        async move {
            let Operation { action, reason, reply } = operation;
            let mut result = self.carry_out(&action, reason.clone()).await;
            for _ in 0..OVERTAKEN_MAX {
                if result != Err(OperateError::Overtaken) {
                    break;
                }
                result = self.carry_out(&action, reason.clone()).await;
            }
            if let Err(error) = &result {
                // What is in memory may rest on something that did not happen.
                self.control = None;
                tracing::warn!(projection = self.core.name(), action = action.name(), %error, "refused");
            }
            let _ = reply.send(result);
        }
        .boxed()
    }

    pub(crate) async fn carry_out(&mut self, action: &Action, reason: String) -> Result<(), OperateError> {
        self.may_operate(action)?;
        // A new look: another worker may have moved it since.
        self.control = None;
        let control = match self.load().await {
            Ok(control) => control,
            // Whatever keeps it from starting, a rebuild may be the way out.
            Err(StepError::Setup(_)) if matches!(action, Action::Rebuild) => self.stored().await?,
            // It may be another version's, and in the way.
            Err(StepError::Absent) if matches!(action, Action::Discard) => self.stored().await?,
            Err(error) => return Err(error.into()),
        };
        if !matches!(action, Action::Pause | Action::Rebuild | Action::BuildBeside(_) | Action::Discard) {
            // Not onto a log that went back: that would make what was noticed look right.
            let head = self.core.log.head().await.map_err(StepError::Log)?;
            self.verify(&control, &head).await?;
        }
        if let Some(split) = control.split.filter(|_| self.core.partition().is_none())
            && action.concerns_one_place()
        {
            return self.operate_partitions(split, action, &reason).await;
        }
        let note = |detail: String| AuditEntry {
            at: Timestamp::now(),
            action: action.name().to_owned(),
            reason: reason.clone(),
            checkpoint: control.position.next,
            detail,
        };
        match action {
            Action::Pause => {
                let since = Timestamp::now();
                let pause = Pause { by: PausedBy::Operator, reason: reason.clone(), since, failure: None };
                let also = Also::Partitions(Some(pause.clone()));
                let paused = move |there: &Control| there.moved(|control| control.pause = Some(pause));
                self.change_wherever(&control, paused, also, note(String::new())).await
            }
            Action::Resume => {
                let resumed = |there: &Control| there.moved(|control| control.pause = None);
                self.change_wherever(&control, resumed, Also::Partitions(None), note(String::new())).await
            }
            Action::Skip(checkpoint) | Action::DiscardEffects(checkpoint) => {
                let detail = |place: &Applied| {
                    format!("changeset {} of stream \"{}\"", place.changeset_id, place.stream_id)
                };
                if let Some(place) = self.stands_before(&control, *checkpoint).await? {
                    let moved = control.moved(|control| {
                        control.position.next = checkpoint.next();
                        control.last = Some(place.clone());
                        control.pause = None;
                    });
                    let also = Also::DiscardEffects(place.clone());
                    return self.change(&control, moved, also, note(detail(&place))).await;
                }
                let place = self.first_parked(*checkpoint).await?;
                let moved = |there: &Control| there.moved(|_| {});
                self.change_wherever(&control, moved, Also::Unpark(place.clone()), note(detail(&place))).await
            }
            Action::SetCheckpoint { believed, wanted } => {
                if control.position.next != *believed {
                    return Err(OperateError::Moved { checkpoint: control.position.next });
                }
                let head = self.core.log.head().await.map_err(StepError::Log)?;
                if *wanted > head.checkpoint {
                    return Err(OperateError::Invalid(format!(
                        "the log ends before checkpoint {}",
                        head.checkpoint
                    )));
                }
                let moved = control.moved(|control| {
                    control.position.next = *wanted;
                    control.last = None;
                });
                self.change(&control, moved, Also::Nothing, note(format!("to {wanted}"))).await
            }
            Action::Rebuild => {
                let head = self.core.log.head().await.map_err(StepError::Log)?;
                let (version, until) = (self.core.projection.version(), head.checkpoint);
                let wiped = move |there: &Control| there.wiped(version, until);
                self.change_wherever(&control, wiped, Also::Wipe, note(format!("up to {until}"))).await
            }
            Action::SetPartitions(count) => self.set_partitions(*count, note(format!("{count}"))).await,
            Action::BuildBeside(wanted) => {
                let head = self.core.log.head().await.map_err(StepError::Log)?;
                self.build_beside(*wanted, head.checkpoint, note(format!("up to {}", head.checkpoint))).await
            }
            Action::Swap { back, force } => {
                self.may_be_swapped(&control, *back, *force)?;
                if !force && !back {
                    self.wait_for_older_readers().await?;
                }
                Ok(self.swap(note(String::new())).await?)
            }
            Action::Discard => {
                let core = self.core.clone();
                let mut tx = core.begin().await?;
                tx.discard(core.name()).await.map_err(refused::<D>)?;
                let live = Slot::Live.name_of(core.projection.name());
                tx.audit(&live, &note(String::new())).await.map_err(StepError::Database)?;
                tx.commit().await.map_err(uncommitted)?;
                Ok(())
            }
            Action::Retry(stream) => {
                let wanted = |name: &StreamId| stream.as_ref().is_none_or(|stream| stream == name);
                if !self.parked.iter().any(wanted) {
                    return Err(OperateError::Invalid("no such stream is parked".to_owned()));
                }
                let detail =
                    stream.as_ref().map_or_else(|| "all".to_owned(), |name| format!("stream \"{name}\""));
                let moved = |there: &Control| there.moved(|_| {});
                if self.core.is_reactor() {
                    // What it does may take long: it is due, and whoever is at work in it does it.
                    let streams = self.parked.iter().filter(|name| wanted(name)).cloned().collect::<Vec<_>>();
                    for streams in streams.chunks(DUE_AT_ONCE) {
                        let (control, due) = (self.load().await?, Also::Due(streams.to_vec()));
                        self.change_wherever(&control, moved, due, note(detail.clone())).await?;
                    }
                    return Ok(());
                }
                self.change_wherever(&control, moved, Also::Nothing, note(detail)).await?;
                self.retry_streams(|parked| wanted(&parked.stream_id), Patience::UntilTheEnd).await?;
                Ok(())
            }
        }
    }

    fn may_be_swapped(&self, control: &Control, back: bool, force: bool) -> Result<(), OperateError> {
        let refuse = |why: &str| Err(OperateError::Invalid(why.to_owned()));
        let was_live = control.standby.as_ref().is_some_and(|standby| standby.role == StandbyRole::Following);
        match (back, was_live) {
            (true, false) => {
                refuse("the one beside it was never live: `swap` lets it take the live one's place")
            }
            (false, true) => refuse("the one beside it was live before: `rollback` brings it back"),
            _ if force => Ok(()),
            _ if !self.parked.is_empty() => {
                refuse("streams are parked in it: retry or skip them, or force it")
            }
            _ if control.rebuild_until.is_some() => refuse("it is still being built"),
            _ => Ok(()),
        }
    }

    async fn build_beside(
        &mut self,
        wanted: SideBySide,
        until: Checkpoint,
        audit: AuditEntry,
    ) -> Result<(), OperateError> {
        if !D::SIDE_BY_SIDE {
            return Err(OperateError::Invalid(
                "this read-model database can't build side by side; rebuild in place".to_owned(),
            ));
        }
        let standby = self.core.onto(Slot::Standby);
        let mut tx = self.core.begin().await?;
        tx.lock(self.core.name()).await.map_err(StepError::Database)?;
        let there =
            tx.load(standby.name()).await.map_err(StepError::Database)?.and_then(|there| there.standby);
        if there.is_some_and(|there| there.role == StandbyRole::Building) {
            return Err(OperateError::Invalid(
                "one is being built beside it already: let it finish, swap it, or discard it".to_owned(),
            ));
        }
        standby.make_beside(&mut tx, wanted.into(), until).await?;
        tx.audit(self.core.name(), &audit).await.map_err(StepError::Database)?;
        Ok(tx.commit().await.map_err(uncommitted)?)
    }
}

/// What the database will not do passes, or is the operator's to know.
fn refused<D: Database>(error: BoxError) -> OperateError {
    if D::is_transient(&*error) {
        return StepError::Database(error).into();
    }
    OperateError::Invalid(chain(&*error))
}
