//! Parks streams with a failing changeset, and retries them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use ees_store::{Checkpoint, LogQuery, StreamId, Timestamp};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

use crate::database::{Database, LedgerRows, ParkedRows};
use crate::error::{BoxError, chain};
use crate::policy::{OnFailure, Parking, in_future};
use crate::projection_state::{ChangesetRef, ParkedStream, ProjectionState};
use crate::reactor::{EffectState, Unfinished};
use crate::status::Kind;
use crate::worker::batch::{Batch, reference_to};
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::held_state::HeldState;
use crate::worker::log_identity::{is_late, late};
use crate::worker::parked_streams::ParkedStreams;
use crate::worker::processor::{RetryPolicy, RetryScope};
use crate::worker::runner::Runner;

/// The most changesets of one stream that are retried before other streams get their turn.
const RETRIED_AT_ONCE: usize = 100;

/// The result of a retry, with the stream as it is then.
enum Retried {
    Succeeded(ParkedStream),
    Failed(ParkedStream),
}

impl<D: Database> Runner<D> {
    /// Parks the changeset and all later ones of its stream, and goes on after it. Pauses the projection
    /// instead if there are too many.
    pub(crate) async fn park(
        &mut self,
        state: ProjectionState,
        parking: Parking,
        changeset: &ChangesetRef,
        attempts: u32,
        message: &str,
    ) -> Result<(), StepError> {
        let parked = self.core.parked().await?;
        let waiting: u64 = parked.iter().map(|stream| stream.changesets).sum();
        if parked.len() >= parking.streams_max || waiting >= parking.changesets_max {
            let reason = format!(
                "too much is parked already ({} streams, {waiting} changesets); the next failure: {message}",
                parked.len()
            );
            return self.pause_at(state, changeset, attempts, reason).await;
        }
        let retry_at = in_future(parking.retry_after(0));
        let log_id = match state.log_id {
            Some(log_id) => log_id,
            None => self.core.log.head().await?.log_id,
        };
        let to = state.past(changeset, log_id);
        let (core, failed, error) = (self.core.clone(), changeset.clone(), message.to_owned());
        let park = self.commit(state, to, move |tx| {
            async move { Ok(tx.park(core.id(), &failed, &error, Some(retry_at)).await?) }.boxed()
        });
        park.await?;
        tracing::error!(
            projection = self.core.name(), checkpoint = changeset.checkpoint.get(),
            stream = %changeset.stream_id, error = message, "stream parked; the other streams go on"
        );
        Arc::make_mut(&mut self.parked.streams).insert(changeset.stream_id.clone());
        self.parked.due = Some(self.parked.due.map_or(retry_at, |due| due.min(retry_at)));
        self.show_parked();
        Ok(())
    }

    /// Returns the first changeset of a parked stream that exceeds the maximum, as an index in the batch.
    pub(crate) async fn one_too_many(&self, batch: &Batch) -> Result<Option<usize>, StepError> {
        let OnFailure::Park(parking) = self.core.settings.on_failure else { return Ok(None) };
        if self.parked.streams.is_empty() {
            return Ok(None);
        }
        let of_parked =
            |changeset: &usize| self.parked.streams.contains(&batch.changesets[*changeset].stream_id);
        let mut more = (0..batch.changesets.len()).filter(of_parked).peekable();
        if more.peek().is_none() {
            return Ok(None);
        }
        let waiting: u64 = self.core.parked().await?.iter().map(|stream| stream.changesets).sum();
        let room = parking.changesets_max.saturating_sub(waiting);
        Ok(more.nth(usize::try_from(room).unwrap_or(usize::MAX)))
    }

    /// Retries the parked streams that are due. Returns `true` if there were any.
    pub(crate) fn retry_due_streams(&mut self) -> BoxFuture<'_, bool> {
        async move {
            let now = Timestamp::now();
            if self.parked.due.is_none_or(|due| due > now) {
                return false;
            }
            let retried = match self.may_retry().await {
                Ok(false) => return false,
                Ok(true) => {
                    let RetryPolicy { scope, .. } = self.core.processor.retry_policy();
                    let is_due = |stream: &ParkedStream| stream.retry_at.is_some_and(|due| due <= now);
                    self.retry_streams(is_due, scope).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = &retried {
                tracing::warn!(
                    projection = self.core.name(),
                    ?error,
                    "the parked streams could not be retried; retrying later"
                );
                self.state.forget();
                self.parked.due = Some(in_future(self.core.settings.retry.delay_max));
            }
            retried.is_ok()
        }
        .boxed()
    }

    /// Like [`retry_due_streams`](Self::retry_due_streams), for hosts that do not stay: a reactor, which
    /// retries a few streams at a time, goes on until no more are due.
    pub(crate) async fn retry_due_streams_until(&mut self, deadline: Instant) {
        let is_done_in_one = self.core.processor.retry_policy().streams_max == usize::MAX;
        while self.retry_due_streams().await && !is_done_in_one && Instant::now() < deadline {}
    }

    /// Returns `true` if the projection runs and this worker still has the lease: it may have been asleep.
    pub(super) async fn may_retry(&mut self) -> Result<bool, StepError> {
        self.load().await?;
        if !self.has_lease().await? {
            return Ok(false);
        }
        let state = self.load().await?;
        Ok(state.may_retry(self.core.partition()))
    }

    /// Retries some of the parked streams, each in its own order.
    pub(crate) async fn retry_streams(
        &mut self,
        wanted: impl Fn(&ParkedStream) -> bool,
        scope: RetryScope,
    ) -> Result<(), StepError> {
        let RetryPolicy { streams_at_once, streams_max, .. } = self.core.processor.retry_policy();
        // Those of a stream that is parked no longer may be due.
        self.timers.unread();
        // The retries move the row: read it again afterwards.
        let state = self.take_state().await?;
        let mut streams = self.core.parked().await?;
        streams.retain(wanted);
        streams.truncate(streams_max);
        let held = self.hold(state, self.core.processor.effect_timeout());
        let mut streams = streams.into_iter().peekable();
        while streams.peek().is_some() {
            let together = streams.by_ref().take(streams_at_once);
            let retrying = join_all(together.map(|stream| retry_stream(&held, stream, scope)));
            // Wait for all of them: a failing stream must not cut off the others' work.
            let retried = held.keeping_lease(retrying).await?;
            retried.into_iter().collect::<Result<(), _>>()?;
        }
        self.load().await?;
        Ok(())
    }

    /// Records which streams are parked.
    pub(crate) fn know_parked(&mut self, parked: Vec<ParkedStream>) {
        let given_up = parked.iter().filter(|stream| stream.is_given_up()).count();
        self.status.update(|status| status.given_up_streams = given_up);
        self.parked = ParkedStreams {
            due: parked.iter().filter_map(|stream| stream.retry_at).min(),
            streams: Arc::new(parked.into_iter().map(|stream| stream.stream_id).collect()),
        };
    }

    pub(crate) fn show_parked(&self) {
        let parked = self.parked.streams.len();
        self.status.update(|status| status.parked_streams = parked);
    }
}

/// Retries a stream's changesets in order, each in one transaction that also unparks it.
fn retry_stream<D: Database>(
    held: &HeldState<D>,
    mut stream: ParkedStream,
    scope: RetryScope,
) -> BoxFuture<'_, Result<(), StepError>> {
    async move {
        let core = held.core();
        loop {
            let checkpoints = core.parked_checkpoints(&stream.stream_id).await?;
            if checkpoints.is_empty() {
                tracing::info!(
                    projection = core.name(), stream = %stream.stream_id,
                    "the parked stream succeeded and is no longer parked"
                );
                return Ok(());
            }
            for checkpoint in checkpoints {
                let (batch, changeset) = core.parked_changeset(&stream.stream_id, checkpoint).await?;
                match retry_changeset(held, &stream, batch, changeset.clone()).await? {
                    Retried::Succeeded(next) => stream = next,
                    Retried::Failed(failed) => return note_failed(held, failed, changeset).await,
                }
            }
            if scope == RetryScope::OnePortion {
                return Ok(());
            }
        }
    }
    .boxed()
}

/// Retries the first changeset of a parked stream, and unparks it in the same transaction.
async fn retry_changeset<D: Database>(
    held: &HeldState<D>,
    stream: &ParkedStream,
    batch: Batch,
    changeset: ChangesetRef,
) -> Result<Retried, StepError> {
    let core = held.core().clone();
    let failed = |error: &BoxError| {
        let (attempts, parking) = (stream.attempts.saturating_add(1), core.settings.parking());
        let retry_at = core.processor.retry_at(parking, error, attempts, stream.since);
        Retried::Failed(ParkedStream { attempts, error: chain(&**error), retry_at, ..stream.clone() })
    };
    let executed = core.processor.act(&batch, &HashSet::new(), held).await;
    held.interruption()?;
    if let Some(at) = executed.failed.into_values().next() {
        return Ok(failed(&at.error));
    }
    if let Some(error) = executed.error {
        return Err(error);
    }
    if executed.end == 0 {
        return Err(StepError::Outside(Unfinished.into()));
    }
    let next = core.processor.parked_after(&changeset);
    let (worker, at, parked, after) = (core.clone(), held.position().await, changeset.clone(), next.clone());
    // What a reactor has done is done, also if the database refuses to say so.
    let blamed = (core.processor.kind() == Kind::Projection).then_some(changeset);
    let applied = held.change(blamed, move |tx| {
        async move {
            // After an operator has moved it back, others of the stream may wait before this one.
            let first = tx.parked_checkpoints(worker.id(), &parked.stream_id, 1).await?;
            let is_first = first == [parked.checkpoint];
            if !is_first || !tx.unpark(worker.id(), &parked.stream_id, parked.checkpoint).await? {
                return Err(StepError::Fenced);
            }
            let events: Vec<_> = batch.events_of(0..1).collect();
            let changed = worker.apply_events(&batch, &events, at, parked, tx).await?;
            if let Some(after) = after {
                tx.update_parked(worker.id(), &after).await?;
            }
            Ok(changed)
        }
        .boxed()
    });
    match applied.await {
        Ok(()) => Ok(Retried::Succeeded(next.unwrap_or_else(|| stream.clone()))),
        Err(StepError::Failed { error, .. } | StepError::TooLarge { error, .. }) => Ok(failed(&error.into())),
        Err(other) => Err(other),
    }
}

async fn note_failed<D: Database>(
    held: &HeldState<D>,
    stream: ParkedStream,
    changeset: ChangesetRef,
) -> Result<(), StepError> {
    let core = held.core().clone();
    if stream.is_given_up() {
        tracing::error!(
            projection = core.name(), stream = %stream.stream_id, changeset = changeset.changeset_id.get(),
            error = stream.error,
            "the stream is given up: fix the cause and retry it, or discard the changeset's effects"
        );
    }
    held.note(move |tx| {
        async move {
            tx.update_parked(core.id(), &stream).await?;
            if stream.is_given_up() {
                let ChangesetRef { stream_id, changeset_id, .. } = &changeset;
                tx.settle_effects(core.id(), stream_id, *changeset_id, EffectState::GivenUp).await?;
            }
            Ok(())
        }
        .boxed()
    })
    .await
}

impl<D: Database> Core<D> {
    /// Returns the parked streams, sorted by the time of their next retry.
    pub(crate) async fn parked(self: &Arc<Self>) -> Result<Vec<ParkedStream>, StepError> {
        let core = self.clone();
        let parked = self.read(move |tx| async move { Ok(tx.parked(core.id()).await?) }.boxed());
        Ok(self.own(parked.await?))
    }

    /// Returns those of the parked streams that belong to this partition.
    pub(crate) fn own(&self, mut parked: Vec<ParkedStream>) -> Vec<ParkedStream> {
        if let Some(partition) = self.partition() {
            parked.retain(|stream| partition.owns(&stream.stream_id));
        }
        parked
    }

    /// Reads a parked changeset from the log again.
    async fn parked_changeset(
        &self,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
    ) -> Result<(Batch, ChangesetRef), StepError> {
        let page = self.log.read(LogQuery::from(checkpoint, 1)).await?;
        if is_late(&page, checkpoint) {
            return Err(late(checkpoint));
        }
        let found = page.changesets.first().map(reference_to);
        let found = found.filter(|found| found.checkpoint == checkpoint && found.stream_id == *stream_id);
        let changeset = found.ok_or_else(|| {
            StepError::Replaced(format!("the parked changeset at checkpoint {checkpoint} is not in the log"))
        })?;
        Ok((self.processor.decode(checkpoint, page), changeset))
    }

    async fn parked_checkpoints(
        self: &Arc<Self>,
        stream_id: &StreamId,
    ) -> Result<Vec<Checkpoint>, StepError> {
        let (core, stream_id) = (self.clone(), stream_id.clone());
        let parked = self.read(move |tx| {
            async move { Ok(tx.parked_checkpoints(core.id(), &stream_id, RETRIED_AT_ONCE).await?) }.boxed()
        });
        parked.await
    }
}
