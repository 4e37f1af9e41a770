//! A batch is applied, as a whole if it can be, while the next one is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::control::Control;
use crate::database::Database;
use crate::projection::Projection;
use crate::status::State;
use crate::worker::batch::Batch;
use crate::worker::error::StepError;
use crate::worker::runner::{Runner, Stepped};

impl<P, D> Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Applies a batch, and reads the next one meanwhile.
    pub(crate) async fn take(&mut self, batch: Batch<P::Event>) -> Result<Stepped, StepError> {
        let control = self.load().await?;
        if batch.from != control.position.next {
            return Err(StepError::Fenced);
        }
        if batch.next == batch.from {
            self.went_well(State::Following);
            // Another worker may have been told to pause or to rebuild: read again next time.
            self.control = None;
            return Ok(Stepped::Idle);
        }
        let caught_up = batch.next >= batch.head.checkpoint;
        let full = batch.changesets.len() >= self.core.settings.batch_changesets_max;
        let (core, stop) = (self.core.clone(), self.stop.clone());
        let next = batch.next;
        let portion = core.portion(&control, batch.head.checkpoint, &self.pace);
        let read_ahead = async {
            if caught_up && !full {
                return None;
            }
            tokio::select! {
                ahead = core.fetch(next, portion, Duration::ZERO) => ahead.ok(),
                () = stop.cancelled() => None,
            }
        };
        let apply = async {
            let (changesets, began) = (batch.changesets.len(), Instant::now());
            let applied = self.apply(control, batch).await;
            self.pace.took(changesets, began.elapsed());
            applied
        };
        let (applied, ahead) = tokio::join!(apply, read_ahead);
        if let Err(error) = applied {
            // How far the row got is the database's to say: a commit may have gone through unanswered.
            self.control = None;
            return Err(error);
        }
        self.ahead = ahead.filter(|ahead| ahead.next > next);
        self.went_well(if caught_up { State::Following } else { State::CatchingUp });
        Ok(Stepped::Moved)
    }

    /// In one transaction if it can be; else one changeset at a time, up to the one that fails.
    async fn apply(&mut self, control: Control, batch: Batch<P::Event>) -> Result<(), StepError> {
        if self.core.is_reactor() {
            return self.react(control, batch).await;
        }
        let batch = Arc::new(batch);
        let parked = self.parked.clone();
        let full_at = self.one_too_many(&batch).await?;
        let unreadable = batch.unreadable.iter().find(|(changeset, _)| {
            batch.place(**changeset).is_some_and(|place| !parked.contains(&place.stream_id))
        });
        let end = unreadable.map_or(batch.changesets.len(), |(changeset, _)| *changeset);
        let end = full_at.map_or(end, |changeset| end.min(changeset));
        let all = end == batch.changesets.len();
        if end > 0 || all {
            match self.core.apply(&control, &batch, 0..end, &parked).await {
                Ok(moved) => {
                    self.pace.was_fitting(end);
                    self.place(moved);
                }
                // One that can't be applied is where it is blamed: what lies before it is passed, whosever it is.
                Err(StepError::Failed { .. }) if end > 1 || batch.position_before(0) > batch.from => {
                    let ordinary = self.core.settings.batch_changesets_max.max(1);
                    let portion = if end > ordinary { ordinary } else { 1 };
                    self.apply_in_portions(control, &batch, end, portion).await?;
                }
                Err(StepError::TooLarge { .. }) if end > 1 => {
                    self.pace.was_too_much(end);
                    let portion = self.pace.likely_to_fit(end);
                    self.apply_in_portions(control, &batch, end, portion).await?;
                }
                Err(error) => return Err(error),
            }
        }
        let Some(place) = batch.place(end).filter(|_| !all) else { return Ok(()) };
        let control = self.load().await?;
        if full_at == Some(end) {
            let reason = "too many changesets of parked streams are waiting; retry or skip them, then resume";
            return self.pause_at(control, &place, 1, reason.to_owned()).await;
        }
        let error = unreadable.map_or_else(String::new, |(_, error)| error.to_string());
        Err(StepError::Failed { at: control.position, place, error })
    }

    /// In portions, which are made smaller as long as they are more than a transaction takes; and what fails one changeset at a
    /// time, up to the one that fails.
    fn apply_in_portions<'a>(
        &'a mut self,
        mut control: Control,
        batch: &'a Arc<Batch<P::Event>>,
        end: usize,
        mut portion: usize,
    ) -> BoxFuture<'a, Result<(), StepError>> {
        async move {
            let parked = self.parked.clone();
            if batch.position_before(0) > batch.from {
                control = self.core.apply(&control, batch, 0..0, &parked).await?;
                self.place(control.clone());
            }
            let mut begin = 0;
            while begin < end {
                let until = end.min(begin + portion);
                match self.core.apply(&control, batch, begin..until, &parked).await {
                    Ok(moved) => control = moved,
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
                self.place(control.clone());
                begin = until;
            }
            Ok(())
        }
        .boxed()
    }
}
