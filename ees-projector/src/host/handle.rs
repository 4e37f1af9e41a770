//! The face of running projections: look at them, steer them, wait for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ees_store::{ChangesetId, ChangesetLog, Checkpoint, LogQuery, StreamId};
use tokio::sync::{mpsc, oneshot};

use super::running_projection::RunningProjection;
use super::verification::Verification;
use crate::projection_state::{AuditEntry, ParkedStream};
use crate::reactor::{Effect, EffectQuery};
use crate::read_model_id::{ReadModelId, Slot};
use crate::standby::{Comparison, SideBySide};
use crate::status::Status;
use crate::worker::operations::operation::{Action, OperateError, Operation};
use crate::worker::side_by_side::estimate::Estimate;
use crate::worker::worker_status::WorkerStatus;

/// The running projections of one process. Cloning is cheap.
///
/// A read model beside a live one is paused, resumed, and its streams retried or skipped, under the projection's name with
/// `__standby` after it.
#[derive(Clone)]
pub struct Handle {
    pub(crate) projections: Arc<BTreeMap<String, RunningProjection>>,
    pub(crate) log: Arc<dyn ChangesetLog>,
    pub(crate) stalled_after: Duration,
}

impl Handle {
    /// The names of all projections, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.projections.keys().map(String::as_str)
    }

    /// The status of all projections, by name.
    pub async fn list(&self) -> Vec<Status> {
        let mut list = Vec::with_capacity(self.projections.len());
        for (name, projection) in self.projections.iter() {
            list.push(self.look(name, projection).await);
        }
        list
    }

    /// The status of one projection.
    ///
    /// # Errors
    /// [`OperateError::Unknown`].
    pub async fn status(&self, name: &str) -> Result<Status, OperateError> {
        Ok(self.look(name, self.running(name)?).await)
    }

    /// Lets all projections look for news now, which they also do by themselves: for whoever is told of them in another
    /// way.
    pub fn wake(&self) {
        for projection in self.projections.values() {
            projection.status.wake();
        }
    }

    /// Stops a projection between two steps, until it is resumed, over restarts too.
    ///
    /// # Errors
    /// Each [`OperateError`] says what to do.
    pub async fn pause(&self, name: &str, reason: &str) -> Result<(), OperateError> {
        self.operate(name, Action::Pause, reason).await
    }

    /// Lets a paused projection go on, and try again what it failed at.
    ///
    /// # Errors
    /// Each [`OperateError`] says what to do.
    pub async fn resume(&self, name: &str, reason: &str) -> Result<(), OperateError> {
        self.operate(name, Action::Resume, reason).await
    }

    /// Leaves out one changeset, for ever (until the next rebuild): the one the projection stands before, or the
    /// first of a parked stream. It goes on then.
    ///
    /// # Errors
    /// [`OperateError::NotSkippable`] for any other changeset.
    pub async fn skip(&self, name: &str, checkpoint: Checkpoint, reason: &str) -> Result<(), OperateError> {
        self.operate(name, Action::Skip(checkpoint), reason).await
    }

    /// Moves a projection that stands at `believed` to `wanted`, without touching its tables: what lies between is
    /// left out, or applied once more. For repairs by somebody who knows.
    ///
    /// # Errors
    /// [`OperateError::Moved`] when it stands elsewhere.
    pub async fn set_checkpoint(
        &self,
        name: &str,
        believed: Checkpoint,
        wanted: Checkpoint,
        reason: &str,
    ) -> Result<(), OperateError> {
        self.operate(name, Action::SetCheckpoint { believed, wanted }, reason).await
    }

    /// Wipes the read model and replays the log from zero. Readers see it grow again. A crash on the way is made up
    /// for: the wipe is one transaction, and the replay goes on where it was. A paused projection goes on.
    ///
    /// # Errors
    /// Each [`OperateError`] says what to do.
    pub async fn rebuild(&self, name: &str, reason: &str) -> Result<(), OperateError> {
        self.operate(name, Action::Rebuild, reason).await
    }

    /// Builds the read model anew beside the live one, which goes on serving and following meanwhile. When it has caught
    /// up it takes the live one's place, in one transaction; the old one follows from then on, for a rollback. What is
    /// planned stands in the database: a crash on the way is made up for.
    ///
    /// Readers that name their columns, and the schema of the projection's name, see the one or the other, whole.
    ///
    /// # Errors
    /// [`OperateError`] when one is being built already, or the database has no room beside a read model.
    pub async fn rebuild_side_by_side(
        &self,
        name: &str,
        wanted: SideBySide,
        reason: &str,
    ) -> Result<(), OperateError> {
        self.operate(name, Action::BuildStandby(wanted), reason).await
    }

    /// Lets the read model that was built beside the live one take its place, when it did not by itself.
    ///
    /// # Errors
    /// [`OperateError`] when there is none, or when it has parked streams or is still being built and it is not
    /// forced.
    pub async fn swap(&self, name: &str, force: bool, reason: &str) -> Result<(), OperateError> {
        self.operate_standby(name, Action::Swap { back: false, force }, reason).await
    }

    /// Brings back the read model that was live before. Nothing is lost: it has followed, as long as a program with its
    /// version runs. Another rollback takes this one back.
    ///
    /// # Errors
    /// As for [`swap`](Self::swap).
    pub async fn rollback(&self, name: &str, force: bool, reason: &str) -> Result<(), OperateError> {
        self.operate_standby(name, Action::Swap { back: true, force }, reason).await
    }

    /// Deals a projection's streams out to so many partitions, so that as many workers can be at work in it. Nothing is
    /// rebuilt: those there are stop at one common checkpoint, and go on from there as the new ones.
    ///
    /// # Errors
    /// [`OperateError`] for a projection that needs the global order, or more than 256.
    pub async fn set_partitions(&self, name: &str, count: u32, reason: &str) -> Result<(), OperateError> {
        self.operate(name, Action::SetPartitions(count), reason).await
    }

    /// Throws away the read model beside the live one.
    ///
    /// # Errors
    /// [`OperateError`] when there is none.
    pub async fn discard_standby(&self, name: &str, reason: &str) -> Result<(), OperateError> {
        self.operate_standby(name, Action::Discard, reason).await
    }

    /// Builds the read model once more, aside, and compares it with the live one at one and the same checkpoint. Takes
    /// as long as a rebuild; the live one goes on meanwhile.
    ///
    /// # Errors
    /// [`OperateError`] where the database can't, or the projection fails.
    pub async fn verify(&self, name: &str) -> Result<Comparison, OperateError> {
        self.running(name)?.inspect.verify(Arc::new(WorkerStatus::new())).await
    }

    /// Begins what [`verify`](Self::verify) does, unless it is under way already.
    ///
    /// # Errors
    /// [`OperateError::Unknown`].
    pub fn begin_verification(&self, name: &str) -> Result<(), OperateError> {
        let projection = self.running(name)?;
        projection.verifier.begin(|status| projection.inspect.verify(status));
        Ok(())
    }

    /// How far the verification is that was begun last in this process, or what it found.
    ///
    /// # Errors
    /// [`OperateError::Unknown`].
    pub fn verification(&self, name: &str) -> Result<Option<Verification>, OperateError> {
        Ok(self.running(name)?.verifier.status())
    }

    /// What a rebuild would take. Changes nothing.
    ///
    /// # Errors
    /// Each [`OperateError`] says what to do.
    pub async fn estimate(&self, name: &str) -> Result<Estimate, OperateError> {
        self.running(name)?.inspect.estimate().await
    }

    /// Tries parked streams again now: one, or all. [`parked`](Self::parked) tells what became of them; of a reactor's
    /// streams it does so in a while, since what they do may take long.
    ///
    /// # Errors
    /// [`OperateError`] when no such stream is parked.
    pub async fn retry_parked(
        &self,
        name: &str,
        stream_id: Option<StreamId>,
        reason: &str,
    ) -> Result<(), OperateError> {
        self.operate(name, Action::Retry(stream_id), reason).await
    }

    /// The streams that wait because one of their changesets failed.
    ///
    /// # Errors
    /// [`OperateError::Unknown`], [`OperateError::Unavailable`].
    pub async fn parked(&self, name: &str) -> Result<Vec<ParkedStream>, OperateError> {
        self.running(name)?.inspect.parked(ReadModelId::parse(name).slot()).await
    }

    /// Leaves out what a changeset calls for that was not done yet, for ever: the first of a stream that waits, or the one
    /// that the reactor stands before. What comes after it in the stream goes on.
    ///
    /// # Errors
    /// [`OperateError::NotSkippable`] for any other changeset.
    pub async fn discard(
        &self,
        name: &str,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
        reason: &str,
    ) -> Result<(), OperateError> {
        let none = || OperateError::NoChangeset { stream_id: stream_id.clone(), changeset_id };
        let checkpoint = self.place_of(stream_id, changeset_id).await?.ok_or_else(none)?;
        self.operate(name, Action::DiscardEffects(checkpoint), reason).await
    }

    /// What a reactor's ledger has, those begun last at the front.
    ///
    /// # Errors
    /// [`OperateError::Unknown`], [`OperateError::Unavailable`].
    pub async fn effects(&self, name: &str, wanted: EffectQuery) -> Result<Vec<Effect>, OperateError> {
        self.running(name)?.inspect.effects(wanted).await
    }

    /// What operators did with a projection and why, the newest first.
    ///
    /// # Errors
    /// [`OperateError::Unknown`], [`OperateError::Unavailable`].
    pub async fn audit(&self, name: &str, limit: usize) -> Result<Vec<AuditEntry>, OperateError> {
        self.running(name)?.inspect.audit(limit).await
    }

    pub(crate) fn running(&self, name: &str) -> Result<&RunningProjection, OperateError> {
        self.projections.get(ReadModelId::parse(name).projection()).ok_or_else(|| OperateError::Unknown {
            name: name.to_owned(),
            known: self.projections.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    /// The read model beside a live one has its name, and `__standby` after it.
    async fn operate(&self, name: &str, action: Action, reason: &str) -> Result<(), OperateError> {
        match ReadModelId::parse(name).slot() {
            Slot::Standby => self.operate_standby(name, action, reason).await,
            _ => ask(&self.running(name)?.operations, action, reason).await,
        }
    }

    async fn operate_standby(&self, name: &str, action: Action, reason: &str) -> Result<(), OperateError> {
        match &self.running(name)?.standby {
            Some(standby) => ask(&standby.operations, action, reason).await,
            None => Err(OperateError::NoStandby),
        }
    }

    async fn look(&self, name: &str, projection: &RunningProjection) -> Status {
        let seen = projection.status.snapshot();
        let checkpoint = seen.checkpoint();
        let head = self.log.head().await.map_or(seen.head, |head| head.checkpoint);
        let behind = seen.row.is_some() && head > checkpoint;
        let lag = if behind { self.age_of(checkpoint).await } else { Some(Duration::ZERO) };
        projection.status.update(|status| {
            status.head = head;
            status.lag = lag.unwrap_or(status.lag);
        });
        projection.describe(name, self.stalled_after)
    }

    /// How long ago the changeset at this checkpoint was committed.
    async fn age_of(&self, checkpoint: Checkpoint) -> Option<Duration> {
        let page = self.log.read(LogQuery::from(checkpoint, 1)).await.ok()?;
        page.changesets.first().map(|oldest| oldest.timestamp.elapsed())
    }

    /// The status of all as of the last look, without asking anybody: at most seconds old.
    #[cfg(feature = "http")]
    pub(crate) fn glance(&self) -> Vec<Status> {
        self.projections.iter().map(|(name, it)| it.describe(name, self.stalled_after)).collect()
    }
}

async fn ask(operations: &mpsc::Sender<Operation>, action: Action, reason: &str) -> Result<(), OperateError> {
    let gone = || OperateError::Unavailable("the projector is shutting down".to_owned());
    let (reply, answer) = oneshot::channel();
    let operation = Operation { action, reason: reason.to_owned(), reply };
    operations.send(operation).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}
