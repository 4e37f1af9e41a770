//! Applies a batch, as a whole if possible, while the next one is read.

use std::collections::HashSet;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::spans::Span;
use ees_store::{LogEntry, StreamId, Timestamp};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::database::{Database, ParkedRows, TooLarge};
use crate::error::{chain, is_caused_by, panicked};
use crate::fingerprint::Fingerprint;
use crate::projection_state::{ChangesetRef, Position, ProjectionState};
use crate::spans;
use crate::status::{Kind, State};
use crate::worker::batch::Batch;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::event_tally::EventTally;
use crate::worker::outcome::Stepped;
use crate::worker::runner::Runner;

impl<D: Database> Runner<D> {
    /// Processes a batch and reads the next one at the same time.
    pub(crate) async fn process(&mut self, batch: Batch) -> Result<Stepped, StepError> {
        let state = self.take_state().await?;
        if !batch.follows(&state) {
            return Err(StepError::Fenced);
        }
        if batch.is_idle() {
            self.record_success(State::Following);
            // An operator may have paused or rebuilt the projection through another worker: read the row
            // again next time.
            return Ok(Stepped::Idle);
        }
        let caught_up = batch.next >= batch.head.checkpoint;
        let full = batch.changesets.len() >= self.core.settings.batch_changesets_max;
        let (core, stop) = (self.core.clone(), self.stop.clone());
        let after = batch.state_before(batch.changesets.len(), &state);
        let portion = core.portion(&state, batch.head.checkpoint, &mut self.pace);
        let read_ahead = async {
            if caught_up && !full {
                return None;
            }
            tokio::select! {
                ahead = core.fetch_next(&after, portion, Duration::ZERO) => ahead.ok(),
                () = stop.cancelled() => None,
            }
        };
        let tally = batch.tally.clone();
        let is_first = batch.is_first();
        let wants_types = is_first || self.status.snapshot().events.wants_types();
        let passed_over: Vec<_> = match wants_types && !tally.has_recognized() {
            true => batch.passed_over().map(str::to_owned).collect(),
            false => Vec::new(),
        };
        let with_history = core.settings.trace_history;
        let span = match with_history || !self.status.snapshot().is_rebuilding() {
            true => spans::step(core.name(), core.processor.kind(), &batch.changesets, with_history),
            false => Span::default(),
        };
        let read = batch.read;
        let process = async {
            let (changesets, began) = (batch.changesets.len(), Instant::now());
            let processed = match self.core.processor.kind() {
                Kind::Projection => self.apply_batch(state, batch).boxed().await,
                Kind::Reactor => self.react(state, batch).boxed().await,
            };
            self.pace.took(read, began.elapsed());
            if processed.is_ok() {
                self.status.figures().stepped(changesets, began.elapsed());
            }
            processed
        };
        let (processed, ahead) = tokio::join!(span.run(process), read_ahead);
        spans::stepped(&span, &processed);
        if let Err(error) = processed {
            // The batch is read again, and counted when it is applied; the first unreadable event is why it is not.
            let stops_here = tally.counts.unreadable > 0 && self.trouble.is_none();
            self.count(&EventTally::of_unreadable(u64::from(stops_here)), &[]);
            // A commit whose answer was lost may have succeeded: only the database knows the position.
            self.state.forget();
            return Err(error);
        }
        if is_first {
            self.status.update(|status| status.events.begin());
        }
        self.count(&tally, &passed_over);
        self.ahead = ahead.filter(|ahead| !ahead.is_idle());
        if caught_up && self.core.processor.kind() == Kind::Projection {
            self.gathering.count(read, Instant::now());
        } else {
            self.gathering.reset();
        }
        self.record_success(if caught_up { State::Following } else { State::CatchingUp });
        Ok(Stepped::Moved)
    }

    /// Counts the events of a batch. Warns once if there were many since the start of the log, and none was the
    /// projection's.
    fn count(&self, batch: &EventTally, passed_over: &[String]) {
        let mut warning = None;
        self.status.update(|status| {
            status.events.add(batch);
            passed_over.iter().for_each(|event| status.events.note_type(event));
            // A partition may have no stream with events of the projection.
            if self.core.partition().is_none() && status.events.should_warn() {
                warning = Some(status.events.explain(self.core.processor.event_types()));
            }
        });
        if let Some(warning) = warning {
            tracing::warn!(projection = self.core.name(), "no event was recognized: {warning}");
        }
    }

    /// Applies a batch in one transaction if possible; otherwise one changeset at a time, up to the one that
    /// fails.
    async fn apply_batch(&mut self, state: ProjectionState, batch: Batch) -> Result<(), StepError> {
        let batch = Arc::new(batch);
        let parked = self.parked.streams.clone();
        let full_at = self.one_too_many(&batch).await?;
        let unreadable = batch.unreadable.iter().find(|(changeset, _)| {
            batch.changesets.get(**changeset).is_some_and(|changeset| {
                !parked.contains(&changeset.stream_id) && !state.leaves_out(changeset)
            })
        });
        let end = unreadable.map_or(batch.changesets.len(), |(changeset, _)| *changeset);
        let end = full_at.map_or(end, |changeset| end.min(changeset));
        let all = end == batch.changesets.len();
        let mut state = state;
        if end > 0 || all {
            match self.core.apply(&state, &batch, 0..end, &parked).await {
                Ok(moved) => {
                    self.pace.was_fitting(end);
                    state = moved;
                    self.set_state(state.clone());
                }
                // Blame a changeset at its own position: pass everything before it first, also what the filter
                // leaves out or another partition applies.
                Err(StepError::Failed { .. }) if end > 1 || batch.begins_before_its_first() => {
                    let ordinary = self.core.settings.batch_changesets_max.max(1);
                    let portion = if end > ordinary { ordinary } else { 1 };
                    state = self.apply_in_portions(state, &batch, end, portion).await?;
                }
                Err(StepError::TooLarge { .. }) if end > 1 => {
                    self.pace.was_too_much(end);
                    let portion = self.pace.likely_to_fit(end);
                    state = self.apply_in_portions(state, &batch, end, portion).await?;
                }
                Err(error) => return Err(error),
            }
        }
        let Some(changeset) = batch.reference(end).filter(|_| !all) else { return Ok(()) };
        if full_at == Some(end) {
            let reason = "too many changesets are parked; retry or skip them, then resume";
            return self.pause_at(state, &changeset, 1, reason.to_owned()).await;
        }
        let error = unreadable.map_or_else(String::new, |(_, error)| error.to_string());
        Err(StepError::Failed { at: state.position, changeset, error })
    }

    /// Applies a batch in portions that shrink until they fit a transaction. A portion that fails is applied
    /// one changeset at a time, up to the one that fails.
    fn apply_in_portions<'a>(
        &'a mut self,
        mut state: ProjectionState,
        batch: &'a Arc<Batch>,
        end: usize,
        mut portion: usize,
    ) -> BoxFuture<'a, Result<ProjectionState, StepError>> {
        async move {
            let parked = self.parked.streams.clone();
            if batch.begins_before_its_first() {
                state = self.core.apply(&state, batch, 0..0, &parked).await?;
                self.set_state(state.clone());
            }
            let mut begin = 0;
            while begin < end {
                let until = end.min(begin + portion);
                match self.core.apply(&state, batch, begin..until, &parked).await {
                    Ok(moved) => state = moved,
                    Err(StepError::Failed { .. }) if portion > 1 => {
                        portion = 1;
                        continue;
                    }
                    Err(StepError::TooLarge { .. }) if portion > 1 => {
                        self.pace.was_too_much(portion);
                        portion = self.pace.likely_to_fit(portion);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                self.set_state(state.clone());
                begin = until;
            }
            Ok(state)
        }
        .boxed()
    }
}

/// What becomes of a changeset that a projection passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Becomes {
    Applied,
    /// It waits behind others of its stream.
    Parked,
    /// It was skipped.
    LeftOut,
}

impl ProjectionState {
    /// Returns what becomes of a changeset, while these streams are parked.
    pub(crate) fn what_becomes_of(&self, changeset: &LogEntry, parked: &HashSet<StreamId>) -> Becomes {
        match (self.leaves_out(changeset), parked.contains(&changeset.stream_id)) {
            (true, _) => Becomes::LeftOut,
            (false, true) => Becomes::Parked,
            (false, false) => Becomes::Applied,
        }
    }
}

impl<D: Database> Core<D> {
    /// Applies some changesets of a batch and moves the position past them.
    async fn apply(
        self: &Arc<Self>,
        from: &ProjectionState,
        batch: &Arc<Batch>,
        range: Range<usize>,
        parked: &Arc<HashSet<StreamId>>,
    ) -> Result<ProjectionState, StepError> {
        let to = batch.state_before(range.end, from);
        // The row may have been read again since this batch was fetched. If the projection was split meanwhile, only
        // its partitions may apply these changesets, and those up to the barrier.
        if !from.may_be_moved_by(self.partition(), to.position.next) {
            return Err(StepError::Fenced);
        }
        let first = batch.reference(range.start);
        let (core, batch, parked, state) = (self.clone(), batch.clone(), parked.clone(), from.clone());
        let apply = self.transact(from, to, first.clone(), move |tx| {
            async move {
                let Some(first) = first else { return Ok(Fingerprint::default()) };
                let events = core.park_followers(&batch, range, &parked, &state, tx).await?;
                core.apply_events(&batch, &events, state.position, first, tx).await
            }
            .boxed()
        });
        apply.await
    }

    /// Parks the changesets of streams that are parked already, and leaves out what was skipped. Returns the
    /// events that are left to apply.
    async fn park_followers(
        &self,
        batch: &Batch,
        range: Range<usize>,
        parked: &HashSet<StreamId>,
        state: &ProjectionState,
        tx: &mut D::Tx,
    ) -> Result<Vec<usize>, StepError> {
        if parked.is_empty() && state.skips.is_empty() {
            return Ok(batch.events_of(range).collect());
        }
        let mut events = Vec::new();
        for changeset in range {
            let Some(reference) = batch.reference(changeset) else { continue };
            match state.what_becomes_of(&batch.changesets[changeset], parked) {
                Becomes::LeftOut => {}
                Becomes::Parked => tx.park(self.id(), &reference, "", Some(Timestamp::now())).await?,
                Becomes::Applied => events.extend(batch.events_of(changeset..changeset + 1)),
            }
        }
        Ok(events)
    }

    /// Runs the projection's own code. Returns by how much that changes the fingerprint, if the projection keeps one.
    /// A panic there is an error of the projection and does not end the worker.
    pub(super) async fn apply_events(
        &self,
        batch: &Batch,
        events: &[usize],
        at: Position,
        changeset: ChangesetRef,
        tx: &mut D::Tx,
    ) -> Result<Fingerprint, StepError> {
        if events.is_empty() {
            return Ok(Fingerprint::default());
        }
        let apply = async {
            match self.fingerprinted() {
                Some(fingerprinted) => fingerprinted.apply(batch, events, tx).await,
                None => Ok(self.processor.apply(batch, events, tx).await?.into()),
            }
        };
        let error = match AssertUnwindSafe(apply).catch_unwind().await {
            Ok(Ok(changed)) => return Ok(changed),
            Ok(Err(error)) => error,
            Err(panic) => panicked("the projection", &*panic),
        };
        if D::is_transient(&*error) {
            return Err(error.into());
        }
        let error_text = chain(&*error);
        if is_caused_by::<TooLarge>(&*error) {
            return Err(StepError::TooLarge { at, changeset, error: error_text });
        }
        Err(StepError::Failed { at, changeset, error: error_text })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ees_store::{Checkpoint, Commit, EventStore, Events, Expectation};

    use super::*;
    use crate::partition::Split;
    use crate::worker::idle;

    #[tokio::test]
    async fn a_split_projection_is_not_applied_as_a_whole() {
        let log = Arc::new(ees_store::memory::Store::new());
        let opened = Events::parse(r#"[{"type":"opened"}]"#).unwrap();
        log.commit(Commit::new("a".parse().unwrap(), Expectation::NewStream, opened)).await.unwrap();
        let core = Arc::new(idle::core(log));
        let (state, _) = core.initialize().await.unwrap();
        let batch = Arc::new(core.fetch(Checkpoint::START, core.batch(), Duration::ZERO).await.unwrap());
        let split = ProjectionState { split: Some(Split::into(4)), ..state.clone() };
        let applied = core.apply(&split, &batch, 0..1, &Arc::default()).boxed().await;
        assert!(matches!(applied, Err(StepError::Fenced)), "{applied:?}");
        let moved = core.apply(&state, &batch, 0..1, &Arc::default()).boxed().await.unwrap();
        assert_eq!(moved.position.next, Checkpoint::new(1));
    }
}
