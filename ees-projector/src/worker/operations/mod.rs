//! Operators' actions. The projection's own worker carries them out between two steps.

mod change;
pub(crate) mod operation;
mod target;
pub(crate) mod transition;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::{Checkpoint, StreamId, Timestamp};
use futures::FutureExt;
use futures::future::BoxFuture;

use self::change::StateChange;
use self::operation::{Action, OperateError, Operation};
pub(crate) use self::transition::reads_segments;
use self::transition::{Transition, check_partitions, check_swap};
use crate::database::{AuditRows, Database, PartitionRow, TimerRows, Transaction};
use crate::error::{BoxError, chain};
use crate::partition::{BUCKETS, Partition, Split};
use crate::projection_state::{AuditEntry, Pause, PausedBy, ProjectionState};
use crate::read_model_id::Slot;
use crate::standby::{InPlace, SideBySide};
use crate::status::State;
use crate::worker::error::StepError;
use crate::worker::processor::RetryScope;
use crate::worker::runner::Runner;
use crate::worker::worker_status::WorkerStatus;

/// How often an operation is tried when other workers move the projection meanwhile.
pub(crate) const OVERTAKEN_MAX: usize = 50;
/// The longest time that an operator's swap waits until the standby is split as the live read model is.
const SPLIT_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AFTER: Duration = Duration::from_millis(50);
/// The most streams that become due in one transaction: DynamoDB's limit.
const DUE_AT_ONCE: usize = 80;

impl<D: Database> Runner<D> {
    pub(crate) fn operate(&mut self, operation: Operation) -> BoxFuture<'_, ()> {
        async move {
            let Operation { action, reason, reply, .. } = operation;
            if matches!(action, Action::Look) {
                self.look_again().await;
                let _ = reply.send(Ok(()));
                return;
            }
            let result = self.carry_out_however_often(&action, &reason).await;
            let _ = reply.send(result);
        }
        .boxed()
    }

    /// Carries an action out, again when other workers move the projection meanwhile.
    pub(super) async fn carry_out_however_often(
        &mut self,
        action: &Action,
        reason: &str,
    ) -> Result<(), OperateError> {
        let mut result = self.carry_out(action, reason).await;
        for _ in 0..OVERTAKEN_MAX {
            if result != Err(OperateError::Overtaken) {
                break;
            }
            result = self.carry_out(action, reason).await;
        }
        if let Err(error) = &result {
            // The cache may contain what was never committed.
            self.state.forget();
            tracing::warn!(projection = self.core.name(), action = action.name(), %error, "refused");
        }
        result
    }

    /// Shows the row as it is stored now, so that the status of the projection is the one after an operation.
    async fn look_again(&mut self) {
        let state = match self.reload().await {
            Ok(state) => state,
            // Shown at the next step, unless it passes.
            Err(error) => {
                self.fail(error).await;
                return;
            }
        };
        let is_paused = state.pause.is_some();
        self.status.update(|status| match status.state {
            _ if is_paused => status.state = State::Paused,
            State::Paused | State::Absent | State::Starting => status.state = State::CatchingUp,
            _ => {}
        });
        let shown = match state.split {
            Some(split) => self.tend_partitions(state, split).await,
            None => {
                self.forget_partitions().await;
                Ok(())
            }
        };
        if let Err(error) = shown {
            self.fail(error).await;
        }
    }

    /// Returns the row as it is stored, and the end of the log, or the position where the log may be away.
    fn row_and_end<'a>(
        &'a mut self,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<(ProjectionState, Checkpoint), OperateError>> {
        async move {
            // Read again: another worker may have moved it.
            let state = match self.reload().await {
                Ok(state) => state,
                // A rebuild may be the way out of whatever prevents the start.
                Err(StepError::Setup(_)) if matches!(action, Action::Rebuild(_)) => self.stored().await?,
                // The row may belong to another version, and is in the way.
                Err(StepError::Absent) if matches!(action, Action::Discard) => self.stored().await?,
                // Another version's standby can't be swapped by this program, and none by any.
                Err(StepError::Absent) if matches!(action, Action::Swap { .. }) => {
                    return Err(self.stored().await.err().unwrap_or(OperateError::Absent));
                }
                Err(error) => return Err(error.into()),
            };
            let end = match action {
                // These work even while the log is not reachable.
                Action::Pause | Action::Discard | Action::CancelTimer { .. } => state.position.next,
                Action::Rebuild(_) | Action::BuildStandby(_) => self.core.head().await?.checkpoint,
                // Not on a log that went back: a new checkpoint would hide that.
                _ => self.verified_head(&state).await?.checkpoint,
            };
            Ok((state, end))
        }
        .boxed()
    }

    async fn carry_out(&mut self, action: &Action, reason: &str) -> Result<(), OperateError> {
        if matches!(action, Action::Rebuild(_) | Action::BuildStandby(_)) {
            self.core.processor.require_read_model()?;
        }
        if matches!(action, Action::BuildStandby(_)) && !D::SIDE_BY_SIDE {
            return Err(OperateError::NotSupported(
                "this database can't build side by side; rebuild in place",
            ));
        }
        let (mut state, end) = self.row_and_end(action).await?;
        if let Some(split) = state.split.filter(|_| self.core.partition().is_none())
            && action.concerns_one_position()
        {
            return self.operate_partitions(&state, split, action, reason).await;
        }
        if matches!(action, Action::Rebuild(_) | Action::BuildStandby(_)) && state.split.is_some() {
            let mut tx = self.core.begin().await?;
            self.core.know_skips(&mut tx, &mut state).await?;
        }
        let checkpoint = self.lowest_checkpoint(&state).await?;
        let audit = |detail: String| AuditEntry {
            at: Timestamp::now(),
            action: action.name().to_owned(),
            reason: reason.to_owned(),
            checkpoint,
            detail,
        };
        match action {
            Action::Pause => {
                let (by, since) = (PausedBy::Operator, Timestamp::now());
                let pause = Pause { by, reason: reason.to_owned(), since, failure: None };
                let also = StateChange::Partitions(Some(pause.clone()));
                self.change(&state, Transition::Pause(pause), also, audit(String::new())).await
            }
            Action::Resume => {
                let also = StateChange::Partitions(None);
                self.change(&state, Transition::Resume, also, audit(String::new())).await
            }
            Action::Skip(checkpoint) | Action::DiscardEffects(checkpoint) => {
                let (step, changeset) = self.to_skip(&state, *checkpoint).await?;
                let audit = audit(changeset.in_words());
                let also = match step {
                    Transition::SkipNext { .. } => StateChange::Skip(changeset),
                    _ => StateChange::Unpark(changeset),
                };
                self.change(&state, step, also, audit).await
            }
            Action::SetCheckpoint { believed, wanted } => {
                let (believed, wanted) = (*believed, *wanted);
                let set = Transition::SetCheckpoint { believed, wanted, head: end };
                self.change(&state, set, StateChange::Nothing, audit(format!("to {wanted}"))).await
            }
            Action::Rebuild(InPlace { force, keep_skips, workers, by_segments }) => {
                self.check_workers(*workers, *by_segments).await?;
                let version = self.core.processor.version();
                let keeps_skips = keep_skips.unwrap_or(state.version == version);
                let (workers, fingerprint) = (*workers, self.core.fingerprint_of_nothing());
                let by_segments = *by_segments;
                let by = dealt_out(workers, by_segments);
                let until = end;
                let rebuild =
                    Transition::Rebuild { version, until, keeps_skips, by_segments, workers, fingerprint };
                let detail = format!("up to {end}{by}{}", state.skips_in_words(keeps_skips));
                self.change(&state, rebuild, StateChange::Wipe { force: *force }, audit(detail)).await
            }
            Action::RebuildStreams(rebuild) => {
                self.core.rebuild_streams(rebuild, reason).await?;
                self.changed().await
            }
            Action::SetPartitions(count) => self.set_partitions(*count, audit(format!("{count}"))).await,
            Action::BuildStandby(wanted) => {
                self.check_workers(wanted.workers, wanted.by_segments).await?;
                let keeps_skips = wanted.keep_skips.unwrap_or(state.version == self.core.processor.version());
                let by = dealt_out(wanted.workers, wanted.by_segments);
                let detail = format!("up to {end}{by}{}", state.skips_in_words(keeps_skips));
                let wanted = SideBySide { keep_skips: Some(keeps_skips), ..*wanted };
                self.build_standby(wanted, end, audit(detail)).await
            }
            Action::Swap { back, force } => {
                if state.split.is_some() {
                    let rows = self.partition_rows().await?;
                    state = state.with_rebuild_of(&rows.iter().map(|row| &row.state).collect::<Vec<_>>());
                }
                check_swap(&state, *back, *force, !self.parked.streams.is_empty())?;
                self.wait_until_split_like_live().await?;
                if !force && !back {
                    self.wait_for_older_readers().await?;
                }
                Ok(self.swap(state.position.epoch, action.name(), reason).await?)
            }
            Action::Discard => self.discard(audit(String::new())).await,
            Action::CancelTimer { stream_id, key } => {
                let (stream_id, key) = (stream_id.clone(), key.clone());
                let (core, stream, name) = (self.core.clone(), stream_id.clone(), key.clone());
                let set = self
                    .core
                    .read(move |tx| async move { Ok(tx.timer(core.id(), &stream, &name).await?) }.boxed());
                let detail = match set.await? {
                    Some(timer) => format!("timer \"{key}\" of stream \"{stream_id}\", due {}", timer.due),
                    None => return Err(OperateError::NoTimer { stream_id, key }),
                };
                let cancel = StateChange::CancelTimer { stream_id, key };
                self.change(&state, Transition::Touch, cancel, audit(detail)).await
            }
            Action::Look => Ok(()),
            Action::Retry(stream) => self.retry(&state, stream.as_ref(), audit).await,
        }
    }

    /// Checks whether a rebuild may be dealt out to this many workers, and read the log by segments.
    async fn check_workers(&self, workers: Option<u32>, by_segments: bool) -> Result<(), OperateError> {
        if by_segments {
            self.core.try_segments().await?;
        }
        let Some(count) = workers.filter(|count| *count != 1) else { return Ok(()) };
        let order = self.core.processor.order();
        if D::PARTITIONS {
            return check_partitions(order, count, BUCKETS);
        }
        if D::SEGMENT_WORKERS_MAX > 1 && by_segments {
            return check_partitions(order, count, D::SEGMENT_WORKERS_MAX);
        }
        Err(OperateError::NotSupported(match D::SEGMENT_WORKERS_MAX {
            ..=1 => {
                "this database can't deal out a rebuild to several workers: PostgreSQL can. Rebuild with one"
            }
            _ => {
                "this database can deal out a rebuild to several workers only by segments of the log: rebuild by \
                 segments, or with one worker"
            }
        }))
    }

    fn check_partitions(&self, count: u32) -> Result<(), OperateError> {
        if !D::PARTITIONS {
            return Err(OperateError::NotSupported(
                "this database can't split a projection into partitions; PostgreSQL can",
            ));
        }
        check_partitions(self.core.processor.order(), count, BUCKETS)
    }

    async fn partition_rows(&self) -> Result<Vec<PartitionRow>, StepError> {
        let core = self.core.clone();
        self.core.read(move |tx| async move { Ok(tx.partitions(core.id(), false).await?) }.boxed()).await
    }

    /// Returns the checkpoint before which all of the read model is applied: that of the slowest partition, if there are
    /// any.
    async fn lowest_checkpoint(&self, state: &ProjectionState) -> Result<Checkpoint, StepError> {
        let mut lowest = state.position.next;
        if state.split.is_some() || self.core.partition().is_some() {
            let partitions = self.partition_rows().await?;
            lowest = partitions.iter().map(|row| row.state.position.next).min().unwrap_or(lowest);
        }
        Ok(lowest)
    }

    /// Waits until the standby is split as the live read model is.
    fn wait_until_split_like_live(&mut self) -> BoxFuture<'_, Result<(), OperateError>> {
        async move {
            let deadline = Instant::now() + SPLIT_WITHIN;
            while !self.is_split_like_live().await? {
                if Instant::now() > deadline {
                    return Err(OperateError::PartitionsDiffer);
                }
                tokio::time::sleep(LOOK_AFTER).await;
            }
            Ok(())
        }
        .boxed()
    }

    fn set_partitions<'a>(
        &'a mut self,
        count: u32,
        audit: AuditEntry,
    ) -> BoxFuture<'a, Result<(), OperateError>> {
        async move {
            self.check_partitions(count)?;
            let seen = self.load().await?;
            if seen.segment.is_some() {
                return Err(reads_segments());
            }
            self.core.split(seen.split, count, Some(audit)).await?;
            self.state.forget();
            Ok(())
        }
        .boxed()
    }

    fn build_standby<'a>(
        &'a mut self,
        wanted: SideBySide,
        until: Checkpoint,
        audit: AuditEntry,
    ) -> BoxFuture<'a, Result<(), OperateError>> {
        async move {
            if self.core.build_standby(wanted, until, audit).await? {
                Ok(())
            } else {
                Err(OperateError::AlreadyBuilding)
            }
        }
        .boxed()
    }

    fn discard<'a>(&'a mut self, audit: AuditEntry) -> BoxFuture<'a, Result<(), OperateError>> {
        async move {
            // As every transaction on two read models, it begins with the live one.
            let (core, live) = (self.core.clone(), Arc::new(self.core.onto(Slot::Live)));
            let discard = live.write(move |tx| {
                async move {
                    if let Err(error) = tx.discard(core.id()).await {
                        return refused::<D>(error);
                    }
                    tx.audit(&core.live(), &audit).await?;
                    Ok(())
                }
                .boxed()
            });
            discard.await?;
            self.state.forget();
            Ok(())
        }
        .boxed()
    }

    fn retry<'a>(
        &'a mut self,
        state: &'a ProjectionState,
        stream: Option<&'a StreamId>,
        audit: impl Fn(String) -> AuditEntry + Send + 'a,
    ) -> BoxFuture<'a, Result<(), OperateError>> {
        async move {
            let is_wanted = |parked: &StreamId| stream.is_none_or(|stream| stream == parked);
            let streams: Vec<_> = self.parked.streams.iter().filter(|id| is_wanted(id)).cloned().collect();
            if streams.is_empty() {
                return Err(OperateError::NotParked);
            }
            if state.segment.is_some() {
                return Err(reads_segments());
            }
            let detail = stream.map_or_else(|| "all".to_owned(), |name| format!("stream \"{name}\""));
            if !self.core.processor.retry_policy().operator_waits {
                // The worker that has the lease retries them soon.
                for streams in streams.chunks(DUE_AT_ONCE) {
                    let (state, due) = (self.load().await?, StateChange::Due(streams.to_vec()));
                    self.change(&state, Transition::Touch, due, audit(detail.clone())).await?;
                }
                return Ok(());
            }
            self.change(state, Transition::Touch, StateChange::Nothing, audit(detail)).await?;
            Ok(self.retry_streams(|parked| is_wanted(&parked.stream_id), RetryScope::UntilTheEnd).await?)
        }
        .boxed()
    }

    /// Sends the operation to the partition that it concerns.
    fn operate_partitions<'a>(
        &'a mut self,
        state: &'a ProjectionState,
        split: Split,
        action: &'a Action,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<(), OperateError>> {
        async move {
            let stream = match action {
                Action::Retry(stream) => stream.clone(),
                Action::CancelTimer { stream_id, .. } => Some(stream_id.clone()),
                Action::Skip(checkpoint) | Action::DiscardEffects(checkpoint) => {
                    let found = self.core.changeset_at(*checkpoint).await?;
                    let none = OperateError::NoChangesetAt { checkpoint: *checkpoint };
                    Some(found.ok_or(none)?.stream_id)
                }
                _ => return Err(OperateError::Partitioned),
            };
            let concerned = |partition: &Partition| {
                stream.as_ref().is_none_or(|stream| state.may_come_to(*partition, stream))
            };
            let (mut done, mut refused) = (false, None);
            for partition in Partition::all(split.count).filter(concerned) {
                let core = self.core.onto_partition(partition);
                let mut runner = Runner::new(core.into(), WorkerStatus::new().into());
                match Box::pin(runner.carry_out(action, reason)).await {
                    Ok(()) => done = true,
                    Err(error) => refused = Some(error),
                }
            }
            match refused {
                Some(error) if !done => Err(error),
                _ => Ok(()),
            }
        }
        .boxed()
    }
}

/// Says in the audit who rebuilds, and how the log is read.
fn dealt_out(workers: Option<u32>, by_segments: bool) -> String {
    let by = workers.map_or_else(String::new, |count| format!(", by {count} workers"));
    if by_segments { format!("{by}, by segments") } else { by }
}

/// Tells transient faults from refusals, which the operator must see.
fn refused<D: Database>(error: BoxError) -> Result<(), StepError> {
    if D::is_transient(&*error) { Err(error.into()) } else { Err(StepError::Setup(chain(&*error))) }
}
