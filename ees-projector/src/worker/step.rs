//! The one algorithm: read and decode with no transaction open; then fence, apply and commit in one
//! transaction.

use std::time::Duration;

use ees_store::{LogHead, Timestamp};
use futures::FutureExt;

use crate::database::Database;
use crate::projection_state::ProjectionState;
use crate::status::State;
use crate::worker::batch_size::Portion;
use crate::worker::error::StepError;
use crate::worker::lease_state::LOOK_EVERY;
use crate::worker::outcome::{Next, Stepped};
use crate::worker::runner::Runner;
use crate::worker::side_by_side::open_readers::LOOK_FOR_READERS_EVERY;

impl<D: Database> Runner<D> {
    /// Decides what comes next. Safe to drop at any moment.
    pub(crate) async fn next(&mut self, wait: Duration) -> Result<Next, StepError> {
        let state = self.take_state().await?;
        if self.core.partition().is_none() {
            if let Some(split) = state.split {
                self.tend_partitions(state, split).await?;
                return Ok(Next::Split(split));
            }
            self.forget_partitions().await;
        }
        self.state.put(state);
        let has_lease = self.has_lease().await?;
        // Not cached: while others may run it, the row is read again the next time.
        let state = self.take_state().await?;
        if state.pause.is_some() {
            self.status.update(|status| status.state = State::Paused);
            return Ok(Next::Paused);
        }
        if !has_lease {
            self.record_success(State::Elsewhere);
            return Ok(Next::Elsewhere);
        }
        self.state.put(state.clone());
        if !self.verified.is_done() {
            // Before waiting for new changesets: a log that lost its end has none for a long time.
            let head = self.verified_head(&state).await?;
            if head.checkpoint == state.position.next {
                self.record_success(State::Following);
            }
        }
        let from = state.position.next;
        let barrier = state.split.and_then(|split| split.barrier);
        if state.is_at_barrier() {
            // At the barrier. The worker of the whole projection goes on when all partitions are here.
            self.state.forget();
            return Ok(Next::Elsewhere);
        }
        self.timers.read_at = None;
        let now = self.core.clock.now();
        let ahead = self.ahead.take().filter(|batch| batch.follows(&state));
        // A segment ends at the barrier by itself.
        let batch = match (ahead, barrier.filter(|_| state.segment.is_none())) {
            (_, Some(barrier)) => {
                self.core.fetch_until(from, barrier, self.core.settings.batch_changesets_max.max(1)).await?
            }
            (Some(batch), None) => batch,
            (None, None) => {
                let portion = self.portion(&state);
                let batch = self.core.fetch_next(&state, portion, self.at_most(wait, &state)).await?;
                self.timers.read_at = Some(now);
                batch
            }
        };
        if !self.verified.covers(&state, &batch.head) {
            self.verify(&state, &batch.head).await?;
        }
        self.status.update(|status| status.head = batch.head.checkpoint);
        Ok(Next::Batch(Box::new(batch)))
    }

    /// Does what [`next`](Self::next) decided.
    pub(crate) async fn follow_up(&mut self, next: Next) -> Result<Stepped, StepError> {
        match next {
            Next::Batch(batch) => {
                let (next, seen_until) = (batch.next, self.timers.seen_until(&batch, self.core.clock.now()));
                let stepped = self.process(*batch).await?;
                // A reactor may have stopped within the batch.
                if stepped == Stepped::Idle || self.load().await?.position.next >= next {
                    self.timers.seen_until = seen_until;
                }
                self.complete_if_due().boxed().await?;
                Ok(stepped)
            }
            Next::Paused => Ok(Stepped::Paused),
            Next::Elsewhere => Ok(Stepped::Elsewhere),
            Next::Split(split) => {
                self.complete_if_due().boxed().await?;
                Ok(Stepped::Split(split))
            }
        }
    }

    /// As [`Core::verified_head`].
    pub(super) async fn verified_head(&mut self, state: &ProjectionState) -> Result<LogHead, StepError> {
        let head = self.core.verified_head([state]).await?;
        self.verified.note(&head);
        Ok(head)
    }

    async fn verify(&mut self, state: &ProjectionState, head: &LogHead) -> Result<(), StepError> {
        self.core.verify(state, head).await?;
        self.verified.note(head);
        Ok(())
    }

    /// Returns how much to read: a single changeset while one is retried.
    fn portion(&mut self, state: &ProjectionState) -> Portion {
        let portion = self.core.portion(state, self.status.snapshot().head, &mut self.pace);
        let is_retrying = self.trouble.as_ref().is_some_and(|trouble| trouble.changeset.is_some());
        if is_retrying { Portion { changesets: 1, is_span: false, ..portion } } else { portion }
    }

    /// Limits a wait for new changesets to the next thing that is due.
    fn at_most(&self, wait: Duration, state: &ProjectionState) -> Duration {
        let mut wait = wait;
        if let Some(due) = self.parked.due {
            let micros = due.as_micros().saturating_sub(Timestamp::now().as_micros());
            let until_due = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
            // Never zero: whatever is due was retried just now.
            wait = wait.min(until_due.max(Duration::from_millis(10)));
        }
        if let Some(until_due) = self.timers.wait(self.core.clock.now()) {
            wait = wait.min(until_due);
        }
        if self.lease.is_kept() {
            wait = wait.min(LOOK_EVERY);
        }
        if self.older_readers.is_some() {
            wait = wait.min(LOOK_FOR_READERS_EVERY);
        } else if self.is_due(state).is_some() {
            // A worker that was killed may have left it complete, or it waits for a change of the live read model.
            wait = wait.min(LOOK_EVERY);
        }
        wait
    }
}
