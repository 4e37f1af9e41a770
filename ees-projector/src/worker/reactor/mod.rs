//! What a worker does for a reactor: let it act with no transaction open, then move the position past what is
//! done and park the streams that failed.
//!
//! A crash between the two repeats the batch, except the effects that the ledger has as done: at least once.
//! The opposite order would be at most once.

pub(crate) mod due_timers;
pub(crate) mod effects;
pub(crate) mod execution;
pub(crate) mod firing;
pub(crate) mod ledger;
mod preview;
pub(crate) mod timers;

use std::sync::Arc;

use ees_store::Timestamp;
use futures::FutureExt;

use self::execution::Executed;
use crate::database::{Database, LedgerRows, ParkedRows};
use crate::error::chain;
use crate::policy::OnFailure;
use crate::projection_state::{ChangesetRef, ParkedStream, ProjectionState};
use crate::reactor::EffectState;
use crate::worker::batch::Batch;
use crate::worker::error::StepError;
use crate::worker::runner::Runner;

/// The most changesets that are parked in one transaction. Each takes three items (stream, changeset, failed
/// effect), and a DynamoDB transaction takes a hundred.
const PARKED_AT_ONCE: usize = 24;

impl<D: Database> Runner<D> {
    /// Lets the reactor act on a batch, and moves the position past what is done.
    pub(crate) async fn react(&mut self, state: ProjectionState, batch: Batch) -> Result<(), StepError> {
        // If the reactor is split, only its partitions may act.
        if self.core.is_left_to_partitions(&state) {
            return Err(StepError::Fenced);
        }
        let state = self.make_room(state).await?;
        // Retries may have taken long. An operator may have moved the position meanwhile, or dealt the streams out.
        let has_moved = state.position.next != batch.from;
        let may_move = state.may_be_moved_by(self.core.partition(), batch.next);
        if has_moved || state.pause.is_some() || !may_move {
            return Err(StepError::Fenced);
        }
        let processor = self.core.processor.clone();
        let held = self.hold(state.clone(), processor.effect_timeout());
        let executed = held.keeping_lease(processor.act(&batch, &self.parked.streams, &held)).await;
        self.timers.note(held.first_timer());
        let executed = executed?;
        held.interruption()?;
        self.pass(state, &batch, executed).await
    }

    /// Makes room for another parked stream. While too many are parked, the reactor waits: the rest stays in
    /// the log until some of them succeed.
    async fn make_room(&mut self, state: ProjectionState) -> Result<ProjectionState, StepError> {
        let OnFailure::Park(parking) = self.core.settings.on_failure else { return Ok(state) };
        if self.parked.streams.is_empty() {
            return Ok(state);
        }
        let full = |parked: &[ParkedStream]| {
            let waiting: u64 = parked.iter().map(|stream| stream.changesets).sum();
            parked.len() >= parking.streams_max || waiting >= parking.changesets_max
        };
        if !full(&self.core.parked().await?) {
            return Ok(state);
        }
        self.retry_due_streams().await;
        let parked = self.core.parked().await?;
        let Some(first) = parked.first().filter(|_| full(&parked)) else { return self.take_state().await };
        let why = format!(
            "{} streams are parked, and no more may be parked; retry or discard some. One of them is stream \
             \"{}\": {}",
            parked.len(),
            first.stream_id,
            first.error
        );
        Err(StepError::Outside(why.into()))
    }

    /// Moves the position past what is done. Parks what failed, and what follows it, in the order of the log.
    async fn pass(
        &mut self,
        state: ProjectionState,
        batch: &Batch,
        executed: Executed,
    ) -> Result<(), StepError> {
        let Executed { end, failed, error } = executed;
        let (mut at, parking) = (state, self.core.settings.parking());
        let mut parked = Arc::unwrap_or_clone(std::mem::take(&mut self.parked.streams));
        let mut to_park = Vec::new();
        for changeset in 0..end {
            let Some(reference) = batch.reference(changeset) else { continue };
            let first = failed.get(&reference.stream_id).filter(|failed| failed.changeset == changeset);
            if let Some(failed) = first {
                let retry_at = self.core.processor.retry_at(parking, &failed.error, 1, Timestamp::now());
                let error = chain(&*failed.error);
                tracing::warn!(
                    reactor = self.core.name(), checkpoint = reference.checkpoint.get(),
                    stream = %reference.stream_id, error, "stream parked; the other streams go on"
                );
                parked.insert(reference.stream_id.clone());
                to_park.push(ToPark { changeset: reference, error, retry_at });
            } else if parked.contains(&reference.stream_id) {
                let retry_at = Some(Timestamp::now());
                to_park.push(ToPark { changeset: reference, error: String::new(), retry_at });
            }
            if to_park.len() == PARKED_AT_ONCE {
                at = self.park_and_pass(at, batch, changeset + 1, std::mem::take(&mut to_park)).await?;
            }
        }
        if batch.position_before(end) > at.position.next || !to_park.is_empty() {
            at = self.park_and_pass(at, batch, end, to_park).await?;
        }
        self.parked.streams = Arc::new(parked);
        self.set_state(at);
        error.map_or(Ok(()), Err)
    }

    async fn park_and_pass(
        &mut self,
        from: ProjectionState,
        batch: &Batch,
        end: usize,
        to_park: Vec<ToPark>,
    ) -> Result<ProjectionState, StepError> {
        let to = from.advanced(batch.position_before(end), batch.head.log_id, batch.passed_before(end));
        let given_up = to_park.iter().filter(|parked| parked.retry_at.is_none()).count();
        let due = to_park.iter().filter_map(|parked| parked.retry_at).min();
        let core = self.core.clone();
        let park = self.core.transact(&from, to, None, move |tx| {
            async move {
                for ToPark { changeset, error, retry_at } in &to_park {
                    tx.park(core.id(), changeset, error, *retry_at).await?;
                    if retry_at.is_none() {
                        let ChangesetRef { stream_id, changeset_id, .. } = changeset;
                        tx.settle_effects(core.id(), stream_id, *changeset_id, EffectState::GivenUp).await?;
                    }
                }
                Ok(())
            }
            .boxed()
        });
        let moved = park.await?;
        self.status.update(|status| status.given_up_streams += given_up);
        self.parked.due = self.parked.due.into_iter().chain(due).min();
        Ok(moved)
    }
}

/// A changeset that is not done, with the error and the next retry of its stream.
struct ToPark {
    changeset: ChangesetRef,
    error: String,
    /// `None` if the stream is given up.
    retry_at: Option<Timestamp>,
}
