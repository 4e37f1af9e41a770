//! What comes next: a batch of the log, or why there is nothing to do.

use std::time::Duration;

use ees_store::{LogHead, Timestamp};

use crate::control::Control;
use crate::database::Database;
use crate::partition::Split;
use crate::projection::Projection;
use crate::status::State;
use crate::worker::batch::Batch;
use crate::worker::error::StepError;
use crate::worker::lease::LOOK_EVERY;
use crate::worker::readers::LOOK_FOR_READERS_EVERY;
use crate::worker::runner::Runner;
use crate::worker::span::Portion;

/// What there is to do.
pub(crate) enum Next<E> {
    /// To apply this, which may be empty.
    Batch(Batch<E>),
    /// Nothing, as long as it is paused.
    Paused,
    /// Nothing, as long as another worker has the lease.
    Elsewhere,
    /// Nothing but to keep its partitions at work.
    Split(Split),
}

impl<P, D> Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// What comes next. Safe to drop at any moment.
    pub(crate) async fn next_batch(&mut self, wait: Duration) -> Result<Next<P::Event>, StepError> {
        let control = self.load().await?;
        if self.core.partition().is_none() {
            if let Some(split) = control.split {
                self.tend_partitions(control, split).await?;
                return Ok(Next::Split(split));
            }
            self.forget_partitions().await;
        }
        let at_work = self.has_lease().await?;
        let control = self.load().await?;
        if control.pause.is_some() {
            self.live.update(|live| live.state = State::Paused);
            // Another worker may be told to resume it: read again next time.
            self.control = None;
            return Ok(Next::Paused);
        }
        if !at_work {
            self.went_well(State::Elsewhere);
            // How far the other one got is in the row: read again next time.
            self.control = None;
            return Ok(Next::Elsewhere);
        }
        if !self.verified.is_done() {
            // Before any wait for news: a log that lost its end has none for a long time.
            let head = self.core.log.head().await.map_err(StepError::Log)?;
            self.verify(&control, &head).await?;
            if head.checkpoint == control.position.next {
                self.went_well(State::Following);
            }
        }
        let from = control.position.next;
        let barrier = control.split.and_then(|split| split.barrier);
        if barrier.is_some_and(|barrier| from >= barrier) {
            // Whoever tends the partitions goes on when all have come here.
            self.control = None;
            return Ok(Next::Elsewhere);
        }
        let batch = match (self.ahead.take(), barrier) {
            (_, Some(barrier)) => {
                self.core.fetch_until(from, barrier, self.core.settings.batch_changesets_max.max(1)).await?
            }
            (Some(batch), None) if batch.from == from => batch,
            _ => {
                let retrying = self.trouble.as_ref().is_some_and(|trouble| trouble.place.is_some());
                let portion = self.core.portion(&control, self.live.snapshot().head, &self.pace);
                let portion =
                    if retrying { Portion { changesets: 1, is_span: false, ..portion } } else { portion };
                let wait = self.at_most_until_parked_due(wait);
                let wait = if self.tenure.is_kept() { wait.min(LOOK_EVERY) } else { wait };
                let wait = if self.older_readers.is_some() { wait.min(LOOK_FOR_READERS_EVERY) } else { wait };
                self.core.fetch(from, portion, wait).await?
            }
        };
        if !self.verified.covers(&control, &batch.head) {
            self.verify(&control, &batch.head).await?;
        }
        self.live.update(|live| live.head = batch.head.checkpoint);
        Ok(Next::Batch(batch))
    }

    pub(crate) async fn verify(&mut self, control: &Control, head: &LogHead) -> Result<(), StepError> {
        self.core.verify(control, head).await?;
        self.verified.note(head);
        Ok(())
    }

    fn at_most_until_parked_due(&self, wait: Duration) -> Duration {
        let Some(due) = self.parked_due else { return wait };
        let micros = due.as_micros().saturating_sub(Timestamp::now().as_micros());
        // Never zero: what is due was tried just now.
        wait.min(Duration::from_micros(u64::try_from(micros).unwrap_or(0)).max(Duration::from_millis(10)))
    }
}
