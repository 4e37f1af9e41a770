//! The handle of running projections: look at them, operate them, wait for them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ees_store::{ChangesetId, ChangesetLog as _, Checkpoint, LogQuery, SharedLog, StreamId, Timestamp};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::job::Seen;
use super::poll_backoff;
use super::running_projection::{RunningProjection, STALLED_AFTER, StandbyWorker};
use super::verification::Verification;
use crate::as_of::{AsOf, AsOfProgress, AsOfStatus, Built};
use crate::explanation::{Explain, ExplainProgress, Explanation};
use crate::fingerprint::FingerprintCheck;
use crate::projection_state::{AuditEntry, ParkedStream};
use crate::reactor::{Effect, EffectQuery, Timer, TimerQuery};
use crate::read_model_id::{ReadModelId, Slot};
use crate::rebuilt_streams::{RebuildStreams, RebuiltStreams};
use crate::standby::{Comparison, InPlace, SideBySide};
use crate::status::{Kind, Status};
use crate::worker::attending::in_time;
use crate::worker::operations::operation::{Action, OperateError, Operation};
use crate::worker::side_by_side::estimate::Estimate;
use crate::worker::worker_status::WorkerStatus;
use crate::worker::workers::Workers;

/// The first delay between looks whether the partitions are those that an operation asked for.
const LOOK_AFTER: Duration = Duration::from_millis(50);
/// How long an operation waits until a worker shows what the operation did.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
/// The turn to explain a row, in this process: it may take a replay of the log, and hundreds of megabytes.
static EXPLAINING: Mutex<()> = Mutex::const_new(());
/// The turn to rebuild the rows of streams, in this process: that may take hundreds of megabytes.
static REBUILDING_STREAMS: Mutex<()> = Mutex::const_new(());

/// The running projections and reactors of one process: look at them, operate them, wait for them. Cloning is
/// cheap.
///
/// Methods take the name of a projection. With `__standby` appended, a name stands for the standby of the
/// projection: to look at it, wait for it, read its parked streams and its audit, and to pause, resume,
/// retry, skip or set the checkpoint there.
#[derive(Clone)]
pub struct Handle {
    pub(crate) projections: Arc<BTreeMap<String, RunningProjection>>,
    pub(crate) log: SharedLog,
    pub(crate) stalled_after: Duration,
    /// Whether the workers only carry out what operators ask for: other hosts run the projections.
    pub(crate) is_attending: bool,
}

impl Handle {
    /// A handle for a projection that other hosts run.
    pub(super) fn attending(
        name: &str,
        kind: Kind,
        version: u32,
        workers: Arc<dyn Workers>,
        log: SharedLog,
    ) -> Self {
        let projection = RunningProjection::start(kind, version, workers, |workers, slot, status, queue| {
            // Ends with the last clone of the handle, which has the other end of the queue.
            tokio::spawn(workers.attend(slot, status, queue));
        });
        let projections = Arc::new(BTreeMap::from([(name.to_owned(), projection)]));
        Self { projections, log, stalled_after: STALLED_AFTER, is_attending: true }
    }

    /// Sets after which time a projection counts as stalled that is behind and does not move; for the handle of an
    /// [`OnDemand`](crate::OnDemand), how old what it has not applied may be. Default: what the
    /// [`Projector`](crate::Projector) has, or 2 minutes.
    #[must_use]
    pub fn with_stalled_after(self, stalled_after: Duration) -> Self {
        Self { stalled_after, ..self }
    }

    /// Returns the names of all projections and reactors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.projections.keys().map(String::as_str)
    }

    /// Returns the status of all projections and reactors, sorted by name.
    pub async fn list(&self) -> Vec<Status> {
        let mut list = Vec::with_capacity(self.projections.len());
        for (name, projection) in self.projections.iter() {
            self.look_on(projection).await;
            self.refresh(&projection.status).await;
            list.push(projection.describe(name, self.stalled_after, self.is_attending));
        }
        list
    }

    /// Returns the status of one projection, or of its standby.
    ///
    /// # Errors
    /// [`OperateError::Unknown`] if there is no projection of this name, [`OperateError::NoStandby`] if it
    /// has no standby.
    pub async fn status(&self, name: &str) -> Result<Status, OperateError> {
        let named = self.named(name)?;
        self.look_on(named.projection).await;
        self.refresh(named.status).await;
        match named.slot {
            Slot::Live | Slot::Scratch | Slot::Preview => {
                Ok(named.projection.describe(name, self.stalled_after, self.is_attending))
            }
            Slot::Standby => {
                let described =
                    named.projection.describe_standby(name, self.stalled_after, self.is_attending);
                described.ok_or(OperateError::NoStandby)
            }
        }
    }

    /// Polls the log now, for all projections. They also poll by themselves: call this when something else
    /// announces new changesets.
    pub fn wake(&self) {
        self.log.look_again();
        for projection in self.projections.values() {
            projection.status.wake();
        }
    }

    /// Pauses a projection after the current step. It stays paused, over restarts, until
    /// [`resume`](Self::resume).
    ///
    /// # Errors
    /// See [`OperateError`]: each variant says what to do.
    pub async fn pause(&self, name: &str, reason: &str) -> Result<(), OperateError> {
        self.operate_named(name, Action::Pause, reason).await
    }

    /// Resumes a paused projection. It retries the changeset that failed.
    ///
    /// # Errors
    /// See [`OperateError`]: each variant says what to do.
    pub async fn resume(&self, name: &str, reason: &str) -> Result<(), OperateError> {
        self.operate_named(name, Action::Resume, reason).await
    }

    /// Skips one changeset, and goes on: the next changeset of the projection, or the
    /// first one of a parked stream.
    ///
    /// # Errors
    /// [`OperateError::NotSkippable`] for any other changeset.
    pub async fn skip(&self, name: &str, checkpoint: Checkpoint, reason: &str) -> Result<(), OperateError> {
        self.operate_named(name, Action::Skip(checkpoint), reason).await
    }

    /// Sets the checkpoint of a projection from `believed` to `wanted` without changing its tables. The
    /// changesets in between are left out, or applied once more. For repairs, if you know what the tables
    /// contain.
    ///
    /// # Errors
    /// [`OperateError::Moved`] if the projection is not at `believed`.
    pub async fn set_checkpoint(
        &self,
        name: &str,
        believed: Checkpoint,
        wanted: Checkpoint,
        reason: &str,
    ) -> Result<(), OperateError> {
        self.operate_named(name, Action::SetCheckpoint { believed, wanted }, reason).await
    }

    /// Wipes the read model and replays the log from the start. Readers see it grow. After a crash it goes
    /// on: the wipe is one transaction, and the replay keeps its checkpoint. Resumes a paused projection.
    ///
    /// # Errors
    /// [`OperateError::WouldDrop`] if others added to the tables what can't be made again. See
    /// [`OperateError`]: each variant says what to do.
    pub async fn rebuild(&self, name: &str, reason: &str) -> Result<(), OperateError> {
        self.rebuild_in_place(name, InPlace::default(), reason).await
    }

    /// Like [`rebuild`](Self::rebuild), with other settings than the default.
    ///
    /// # Errors
    /// As for [`rebuild`](Self::rebuild).
    pub async fn rebuild_in_place(
        &self,
        name: &str,
        wanted: InPlace,
        reason: &str,
    ) -> Result<(), OperateError> {
        self.operate(name, Action::Rebuild(wanted), reason).await
    }

    /// Rebuilds the rows of some streams: replays the streams up to where the projection is, and replaces the rows that
    /// differ in one transaction. The projection goes on meanwhile, and readers see the rows before or after. For a
    /// projection made of folds, with [`Order::Stream`](crate::Order::Stream). Returns how the rows differed.
    ///
    /// The rows are those with the keys that the replayed events name. A row that no event of its stream names is not
    /// found. What is skipped is left out, and what is parked stays parked: it is applied to the new rows when it is
    /// retried. A [fingerprint](crate::Settings::fingerprint) ends, until the whole is rebuilt.
    ///
    /// # Errors
    /// [`OperateError::NotSupported`] for a projection with statements of its own, or that needs the global order.
    /// [`OperateError::IsReactor`] for a reactor. [`OperateError::NoChangeset`] if the log does not have a stream.
    /// [`OperateError::Failed`] while the projection is rebuilt, if a changeset can't be applied any more, or if the
    /// rows don't fit one transaction. Nothing was changed then.
    pub async fn rebuild_streams(
        &self,
        name: &str,
        wanted: RebuildStreams,
        reason: &str,
    ) -> Result<RebuiltStreams, OperateError> {
        let asked = Instant::now();
        let Named { projection, slot, operations, .. } = self.named(name)?;
        let prepare = async {
            let turn = REBUILDING_STREAMS.lock().await;
            Ok((turn, projection.workers.prepare_stream_rebuild(slot, wanted).await?))
        };
        let (_turn, rebuild) =
            if self.is_attending { in_time(asked, prepare).await? } else { prepare.await? };
        ask_since(asked, operations, Action::RebuildStreams(rebuild.clone()), reason).await?;
        rebuild.outcome().await
    }

    /// Builds the read model in the standby while the live one serves readers and follows. When the standby
    /// has caught up, it is swapped with the live read model in one transaction. The former live read model
    /// then follows as the standby, for a [`rollback`](Self::rollback). The plan is stored, so a crash does
    /// not lose it.
    ///
    /// Readers that name the columns, and the schema by the projection's name, always see one complete read
    /// model.
    ///
    /// # Errors
    /// [`OperateError::AlreadyBuilding`] if a standby is being built already. [`OperateError::NotSupported`]
    /// if the database can't build side by side.
    pub async fn rebuild_side_by_side(
        &self,
        name: &str,
        wanted: SideBySide,
        reason: &str,
    ) -> Result<(), OperateError> {
        self.operate(name, Action::BuildStandby(wanted), reason).await
    }

    /// Swaps the standby with the live read model, if that did not happen by itself. `force` swaps even if
    /// streams are parked or readers have old transactions open.
    ///
    /// # Errors
    /// [`OperateError::NoStandby`] if there is none. Other variants say why it can't be swapped now.
    pub async fn swap(&self, name: &str, force: bool, reason: &str) -> Result<(), OperateError> {
        self.operate_standby(name, Action::Swap { back: false, force }, reason).await
    }

    /// Swaps back to the read model that was live before. It loses nothing: that read model has followed
    /// while a program with its version was running. A second rollback undoes the first.
    ///
    /// # Errors
    /// As for [`swap`](Self::swap).
    pub async fn rollback(&self, name: &str, force: bool, reason: &str) -> Result<(), OperateError> {
        self.operate_standby(name, Action::Swap { back: true, force }, reason).await
    }

    /// Sets the number of partitions: this many workers can share the projection's streams. Nothing is
    /// rebuilt. The partitions stop at a common checkpoint, the barrier, and the new ones go on from there.
    /// Returns when they do, or after 10 s, if a partition is paused or far behind.
    ///
    /// # Errors
    /// [`OperateError`] if the projection needs the global order, if `count` is not 1 to 256, or if the
    /// database does not support partitions.
    pub async fn set_partitions(&self, name: &str, count: u32, reason: &str) -> Result<(), OperateError> {
        self.operate(name, Action::SetPartitions(count), reason).await?;
        let projection = self.running(name)?;
        let wanted = if count > 1 { count as usize } else { 0 };
        let shown = async {
            let mut pauses = poll_backoff::pauses(LOOK_AFTER);
            while projection.status.snapshot().partitions.len() != wanted {
                ask(&projection.operations, Action::Look, "").await?;
                tokio::time::sleep(pauses.next().unwrap_or(poll_backoff::AFTER_MAX)).await;
            }
            Ok(())
        };
        tokio::time::timeout(SHOWN_WITHIN, shown).await.unwrap_or(Ok(()))
    }

    /// Discards the standby.
    ///
    /// # Errors
    /// [`OperateError::NoStandby`] if there is none.
    pub async fn discard_standby(&self, name: &str, reason: &str) -> Result<(), OperateError> {
        self.operate_standby(name, Action::Discard, reason).await
    }

    /// Builds the read model once more in the scratch slot and compares it with the live one at the same
    /// checkpoint. This takes as long as a rebuild. The live read model goes on meanwhile. On DynamoDB each row is
    /// compared at a checkpoint of its own.
    ///
    /// # Errors
    /// [`OperateError`] if the database can't do this, if the live read model has another version than the program's, or
    /// if the projection fails.
    pub async fn verify(&self, name: &str) -> Result<Comparison, OperateError> {
        self.running(name)?.workers.verify(Arc::new(WorkerStatus::new())).await
    }

    /// Starts [`verify`](Self::verify) in the background, unless a verification is in progress.
    ///
    /// # Errors
    /// [`OperateError::Unknown`] if there is no projection of this name, [`OperateError::IsReactor`] if it is
    /// a reactor, [`OperateError::NotSupported`] if its database can't build a second read model.
    pub fn begin_verification(&self, name: &str) -> Result<(), OperateError> {
        let projection = self.running(name)?;
        self.require_process()?;
        standby_of(name, projection)?;
        // One that is in progress will do.
        let _ = projection.verifier.begin((), |status, _| projection.workers.verify(status));
        Ok(())
    }

    /// Returns the progress or the result of the last verification that was started in this process.
    ///
    /// # Errors
    /// [`OperateError::Unknown`] if there is no projection of this name.
    pub fn verification(&self, name: &str) -> Result<Option<Verification>, OperateError> {
        Ok(self.running(name)?.verifier.look().map(Verification::of))
    }

    /// Builds the read model as it was at a checkpoint, beside the live one, or goes on with what an earlier call has
    /// built. What operators skipped and what is parked is left out of it, as it is of the live one. It does not follow
    /// the log, and stays until it is [dropped](Self::drop_as_of).
    ///
    /// On PostgreSQL it gets a new schema, and the live read model's rights do not apply to it. On SQLite it gets a new
    /// file.
    ///
    /// # Cancellation
    /// Safe. What was built is kept: another call goes on with it.
    ///
    /// # Errors
    /// [`OperateError::NotSupported`] if the database can't keep one, [`OperateError::PastHead`] for a checkpoint past
    /// the end of the log, [`OperateError::IsReactor`] for a reactor. [`OperateError::Failed`] if the place has
    /// something else, or if a changeset can't be applied.
    pub async fn as_of(&self, name: &str, wanted: AsOf) -> Result<(), OperateError> {
        let projection = self.place_for_copy(name, &wanted)?;
        let (status, stop) = (Arc::new(WorkerStatus::new()), CancellationToken::new());
        projection.workers.as_of(wanted, status, stop).await.map(drop)
    }

    /// Begins [`as_of`](Self::as_of) in the background, unless the same is in progress.
    ///
    /// # Errors
    /// As for [`as_of`](Self::as_of), as far as it is known at once. [`OperateError::Failed`] while another copy of
    /// the projection is built.
    pub fn begin_as_of(&self, name: &str, wanted: &AsOf) -> Result<(), OperateError> {
        let projection = self.place_for_copy(name, wanted)?;
        self.require_process()?;
        let begun = projection
            .copier
            .begin(wanted.clone(), |status, stop| projection.workers.as_of(wanted.clone(), status, stop));
        match begun {
            Err(AsOf { checkpoint, into }) if (checkpoint, &into) != (wanted.checkpoint, &wanted.into) => {
                Err(OperateError::Failed(format!(
                    "the copy \"{into}\" at checkpoint {checkpoint} is being built: wait for it"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Returns the progress or the result of the last copy that was begun in the background in this process.
    ///
    /// # Errors
    /// [`OperateError::Unknown`] if there is no projection of this name.
    pub fn as_of_status(&self, name: &str) -> Result<Option<AsOfStatus>, OperateError> {
        let seen = self.running(name)?.copier.look();
        Ok(seen.map(|Seen { what, status, result }| AsOfStatus {
            as_of: what,
            progress: match result {
                None => AsOfProgress::Building { next: status.snapshot().checkpoint().get() },
                Some(Ok(Built::Complete)) => AsOfProgress::Done,
                Some(Ok(Built::Cancelled)) => {
                    AsOfProgress::Cancelled { next: status.snapshot().checkpoint().get() }
                }
                Some(Err(error)) => {
                    AsOfProgress::Failed { error: error.to_string(), code: error.code().to_owned() }
                }
            },
        }))
    }

    /// Cancels the building of a copy that [`begin_as_of`](Self::begin_as_of) has begun, after the batch that is being
    /// applied, and waits for that. What was built is kept: the same request goes on with it, and
    /// [`drop_as_of`](Self::drop_as_of) drops it.
    ///
    /// # Errors
    /// [`OperateError::Failed`] if this copy is not being built in this process.
    pub async fn cancel_as_of(&self, name: &str, into: &str) -> Result<(), OperateError> {
        if self.running(name)?.copier.cancel(|copy| copy.into == into).await {
            return Ok(());
        }
        Err(OperateError::Failed(format!("the copy \"{into}\" is not being built")))
    }

    /// Drops a copy that [`as_of`](Self::as_of) has built.
    ///
    /// # Errors
    /// [`OperateError::Failed`] if there is no such copy of this projection, or while it is built.
    pub async fn drop_as_of(&self, name: &str, into: &str) -> Result<(), OperateError> {
        let projection = self.running(name)?;
        if projection.copier.look().is_some_and(|seen| seen.what.into == into && seen.result.is_none()) {
            let why = format!("the copy \"{into}\" is being built: wait for it, or cancel it");
            return Err(OperateError::Failed(why));
        }
        projection.workers.drop_as_of(into.to_owned()).await
    }

    fn place_for_copy(&self, name: &str, wanted: &AsOf) -> Result<&RunningProjection, OperateError> {
        if self.projections.contains_key(&wanted.into) {
            let why =
                format!("\"{}\" is the name of a projection: choose another one for the copy", wanted.into);
            return Err(OperateError::Failed(why));
        }
        self.running(name)
    }

    /// Compares the fingerprint that the projection keeps with its rows, which are read once. If they differ, somebody
    /// else has changed the tables, or they were not restored as they were. To compare two copies of a read model,
    /// compare what they keep at the same checkpoint.
    ///
    /// # Errors
    /// [`OperateError::NotSupported`] for a projection that keeps no fingerprint
    /// ([`Settings::fingerprint`](crate::Settings::fingerprint)), [`OperateError::Failed`] if its rows were written before
    /// it did. [`OperateError::IsReactor`], [`OperateError::NeverStarted`], [`OperateError::Absent`] while another version is
    /// live. [`OperateError::Unavailable`] if the projection moves faster than its rows are read, on a database without
    /// snapshots (DynamoDB): pause it.
    pub async fn verify_quickly(&self, name: &str) -> Result<FingerprintCheck, OperateError> {
        let Named { projection, slot, .. } = self.named(name)?;
        projection.workers.check_fingerprint(slot).await
    }

    /// Estimates the time and the space of a rebuild. Changes nothing.
    ///
    /// # Errors
    /// See [`OperateError`]: each variant says what to do.
    pub async fn estimate(&self, name: &str) -> Result<Estimate, OperateError> {
        self.running(name)?.workers.estimate().await
    }

    /// Explains a row of a fold: the events that made it, the row before and after each, and the last writer of each
    /// column. The projection's own code is run again on the events up to its position, in memory; nothing is written.
    ///
    /// It replays one stream where the projection needs [`Order::Stream`](crate::Order::Stream) only and the key is
    /// the id of the row's stream, and otherwise the log as far as the projection subscribes to it.
    ///
    /// # Errors
    /// [`OperateError::NotSupported`] for a projection with statements of its own, [`OperateError::IsReactor`] for a
    /// reactor, [`OperateError::NeverStarted`], [`OperateError::Absent`] while another version is live. Other variants
    /// say what is wrong.
    pub async fn explain(&self, name: &str, wanted: Explain) -> Result<Explanation, OperateError> {
        let Named { projection, slot, .. } = self.named(name)?;
        let _turn = EXPLAINING.lock().await;
        projection.workers.explain(slot, wanted, projection.explaining.clone()).await
    }

    /// Returns how far the replay is for the [`explain`](Self::explain) that is in progress; `None` if there is none, and
    /// while it waits for its turn or replays one stream only.
    ///
    /// # Errors
    /// [`OperateError::Unknown`] if there is no projection of this name.
    pub fn explain_progress(&self, name: &str) -> Result<Option<ExplainProgress>, OperateError> {
        Ok(self.named(name)?.projection.explaining.look())
    }

    /// Retries parked streams now: one, or all with `None`. Returns after the retry of a projection's
    /// streams. Returns at once for a reactor, whose effects may take long. [`parked`](Self::parked) shows
    /// the result.
    ///
    /// # Errors
    /// [`OperateError::NotParked`] if the stream is not parked.
    pub async fn retry_parked(
        &self,
        name: &str,
        stream_id: Option<StreamId>,
        reason: &str,
    ) -> Result<(), OperateError> {
        self.operate_named(name, Action::Retry(stream_id), reason).await
    }

    /// Returns the parked streams.
    ///
    /// # Errors
    /// [`OperateError::Unknown`], or [`OperateError::Unavailable`] if the database can't be read.
    pub async fn parked(&self, name: &str) -> Result<Vec<ParkedStream>, OperateError> {
        let Named { projection, slot, .. } = self.named(name)?;
        projection.workers.parked(slot).await
    }

    /// Discards the effects of one changeset that are not done, for good: of the first changeset of a parked
    /// stream, or of the next changeset of the reactor. The later changesets of the stream go
    /// on.
    ///
    /// # Errors
    /// [`OperateError::NotSkippable`] for any other changeset.
    pub async fn discard_effects(
        &self,
        name: &str,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
        reason: &str,
    ) -> Result<(), OperateError> {
        self.running(name)?;
        let none = || OperateError::NoChangeset { stream_id: stream_id.clone(), changeset_id };
        let checkpoint = self.checkpoint_of(stream_id, changeset_id).await?.ok_or_else(none)?;
        self.operate(name, Action::DiscardEffects(checkpoint), reason).await
    }

    /// Returns effects from a reactor's ledger, those begun last first.
    ///
    /// # Errors
    /// [`OperateError::Unknown`], or [`OperateError::Unavailable`] if the database can't be read.
    pub async fn effects(&self, name: &str, wanted: EffectQuery) -> Result<Vec<Effect>, OperateError> {
        self.running(name)?.workers.effects(wanted).await
    }

    /// Returns timers of a reactor, those first that fire first. Also those that wait because their stream is
    /// parked.
    ///
    /// # Errors
    /// [`OperateError::Unknown`], or [`OperateError::Unavailable`] if the database can't be read.
    pub async fn timers(&self, name: &str, wanted: TimerQuery) -> Result<Vec<Timer>, OperateError> {
        self.running(name)?.workers.timers(wanted).await
    }

    /// Cancels a timer of a reactor, for good. If it is firing, its effects that have begun are finished.
    ///
    /// # Errors
    /// [`OperateError::NoTimer`] if the stream has no timer with this key: it has fired, was cancelled, or was
    /// never set.
    pub async fn cancel_timer(
        &self,
        name: &str,
        stream_id: &StreamId,
        key: &str,
        reason: &str,
    ) -> Result<(), OperateError> {
        let cancel = Action::CancelTimer { stream_id: stream_id.clone(), key: key.to_owned() };
        self.operate(name, cancel, reason).await
    }

    /// Returns the last `limit` operators' actions and their reasons, the newest first.
    ///
    /// # Errors
    /// [`OperateError::Unknown`], or [`OperateError::Unavailable`] if the database can't be read.
    pub async fn audit(&self, name: &str, limit: usize) -> Result<Vec<AuditEntry>, OperateError> {
        let Named { projection, slot, .. } = self.named(name)?;
        projection.workers.audit(slot, limit).await
    }

    /// Returns the last `limit` operators' actions on any of the projections and reactors, and on their standbys,
    /// the newest first, each with the name of what it was done to.
    ///
    /// # Errors
    /// [`OperateError::Unavailable`] if a database can't be read.
    pub async fn audit_of_all(&self, limit: usize) -> Result<Vec<(String, AuditEntry)>, OperateError> {
        let standbys = self.projections.iter().filter(|(_, projection)| projection.standby.is_some());
        let standbys = standbys.map(|(name, _)| format!("{name}{}", Slot::Standby.suffix()));
        let names = self.names().map(str::to_owned).chain(standbys);
        let mut all = Vec::new();
        for name in names {
            let audit = self.audit(&name, limit).await?;
            all.extend(audit.into_iter().map(|entry| (name.clone(), entry)));
        }
        all.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.at));
        all.truncate(limit);
        Ok(all)
    }

    pub(crate) fn running(&self, name: &str) -> Result<&RunningProjection, OperateError> {
        self.projections.get(name).ok_or_else(|| OperateError::Unknown {
            name: name.to_owned(),
            known: self.projections.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    /// Returns the read model that a name stands for: a projection's live one, or its standby.
    pub(crate) fn named(&self, name: &str) -> Result<Named<'_>, OperateError> {
        let id = ReadModelId::parse(name);
        let (projection, slot) = (self.running(id.projection())?, id.slot());
        let (status, operations) = match slot {
            Slot::Live | Slot::Scratch | Slot::Preview => (&projection.status, &projection.operations),
            Slot::Standby => {
                let standby = standby_of(id.projection(), projection)?;
                (&standby.status, &standby.operations)
            }
        };
        Ok(Named { projection, slot, status, operations })
    }

    /// Sends the action to the worker of the projection.
    async fn operate(&self, name: &str, action: Action, reason: &str) -> Result<(), OperateError> {
        let projection = self.running(name)?;
        carry_out(projection, &projection.operations, action, reason).await
    }

    /// Sends the action to the worker of the read model that the name stands for.
    async fn operate_named(&self, name: &str, action: Action, reason: &str) -> Result<(), OperateError> {
        let Named { projection, operations, .. } = self.named(name)?;
        carry_out(projection, operations, action, reason).await
    }

    async fn operate_standby(&self, name: &str, action: Action, reason: &str) -> Result<(), OperateError> {
        let projection = self.running(name)?;
        let standby = standby_of(name, projection)?;
        carry_out(projection, &standby.operations, action, reason).await
    }

    /// Lets the workers look at a projection that other hosts run.
    async fn look_on(&self, projection: &RunningProjection) {
        if self.is_attending {
            let standby = projection.standby.iter().map(|standby| &standby.operations);
            let workers = [&projection.operations].into_iter().chain(standby);
            // What could not be read is in the status.
            futures::future::join_all(workers.map(|worker| ask(worker, Action::Look, ""))).await;
        }
    }

    /// Looks again and again at a projection that other hosts run, and does not end.
    pub(super) async fn keep_looking(&self, named: &Named<'_>) -> Infallible {
        let mut pauses = poll_backoff::pauses(LOOK_AFTER);
        while self.is_attending && ask(named.operations, Action::Look, "").await.is_ok() {
            tokio::time::sleep(pauses.next().unwrap_or(poll_backoff::AFTER_MAX)).await;
        }
        std::future::pending().await
    }

    /// Refuses work that goes on after its answer, where the process may be frozen then.
    fn require_process(&self) -> Result<(), OperateError> {
        if self.is_attending {
            return Err(OperateError::NotSupported(
                "a function is frozen after its answer, so this can't go on in the background: ask a process that stays \
                 (`Projector`), which has the same projection on the same database",
            ));
        }
        Ok(())
    }

    /// Notes where the log ends now, and how far the read model is behind.
    async fn refresh(&self, worker: &WorkerStatus) {
        let seen = worker.snapshot();
        let checkpoint = seen.checkpoint();
        let head = self.log.head().await.map_or(seen.head, |head| head.checkpoint);
        let behind = seen.row.is_some() && head > checkpoint;
        let lag = if behind { self.age_of(checkpoint).await } else { Some(Duration::ZERO) };
        worker.update(|status| {
            status.head = head;
            status.lag = lag.unwrap_or_default();
        });
    }

    /// Returns the time since the changeset at this checkpoint was committed, if the log can say.
    async fn age_of(&self, checkpoint: Checkpoint) -> Option<Duration> {
        let page = self.log.read(LogQuery::from(checkpoint, 1)).await.ok()?;
        // A quarantined changeset may have no time.
        let oldest = page.changesets.first().filter(|oldest| oldest.timestamp != Timestamp::default());
        oldest.map(|oldest| oldest.timestamp.elapsed())
    }

    /// Returns every projection by its name.
    #[cfg(feature = "http")]
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &RunningProjection)> {
        self.projections.iter().map(|(name, projection)| (name.as_str(), projection))
    }

    /// Returns the last known status of all projections without a query. It is a few seconds old at most.
    #[cfg(feature = "http")]
    pub(crate) fn glance(&self) -> Vec<Status> {
        self.projections
            .iter()
            .map(|(name, it)| it.describe(name, self.stalled_after, self.is_attending))
            .collect()
    }
}

/// A read model, by its name.
pub(crate) struct Named<'a> {
    projection: &'a RunningProjection,
    slot: Slot,
    pub(crate) status: &'a WorkerStatus,
    operations: &'a mpsc::Sender<Operation>,
}

/// Returns the worker of the projection's standby. A projection has one if its database can keep one.
fn standby_of<'a>(name: &str, projection: &'a RunningProjection) -> Result<&'a StandbyWorker, OperateError> {
    match &projection.standby {
        Some(standby) => Ok(standby),
        None if projection.kind == Kind::Reactor => Err(OperateError::IsReactor { name: name.to_owned() }),
        None => Err(OperateError::NotSupported("this read-model database can't keep a standby")),
    }
}

/// Lets a worker carry out an action, and waits until the status of the projection shows it.
async fn carry_out(
    projection: &RunningProjection,
    operations: &mpsc::Sender<Operation>,
    action: Action,
    reason: &str,
) -> Result<(), OperateError> {
    let changes_both = action.changes_both();
    ask(operations, action, reason).await?;
    if changes_both && let Some(standby) = &projection.standby {
        // A worker in the middle of a long step shows it after that.
        let both = [&projection.operations, &standby.operations].map(|it| ask(it, Action::Look, ""));
        let _ = tokio::time::timeout(SHOWN_WITHIN, futures::future::join_all(both)).await;
    }
    Ok(())
}

async fn ask(operations: &mpsc::Sender<Operation>, action: Action, reason: &str) -> Result<(), OperateError> {
    ask_since(Instant::now(), operations, action, reason).await
}

async fn ask_since(
    asked: Instant,
    operations: &mpsc::Sender<Operation>,
    action: Action,
    reason: &str,
) -> Result<(), OperateError> {
    let gone = || OperateError::Unavailable("the projector is shutting down".to_owned());
    let (reply, answer) = oneshot::channel();
    let operation = Operation { action, reason: reason.to_owned(), asked, reply };
    operations.send(operation).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}
