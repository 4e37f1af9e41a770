//! One projection at work: a step, then a look at whoever wants something, then the next step.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::ExponentialBackoff;
use ees_store::{LogHead, StreamId, Timestamp};
use futures::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::control::{Applied, Control};
use crate::database::Database;
use crate::live::Live;
use crate::operation::Operation;
use crate::partition::Split;
use crate::projection::Projection;
use crate::status::State;
use crate::worker::batch::Batch;
use crate::worker::error::StepError;
use crate::worker::lease::{LOOK_EVERY, Tenure};
use crate::worker::readers::LOOK_FOR_READERS_EVERY;
use crate::worker::same_log::Verified;
use crate::worker::span::{Pace, Portion};
use crate::worker::split::Partitions;
use crate::worker::step::Core;

/// What a worker keeps in memory of its projection. All of it can be read again.
pub(crate) struct Runner<P: Projection<D::Tx>, D: Database> {
    pub(crate) core: Arc<Core<P, D>>,
    pub(crate) live: Arc<Live>,
    /// The projection's row as last seen; `None` when it must be read again.
    pub(crate) control: Option<Control>,
    pub(crate) parked: Arc<HashSet<StreamId>>,
    /// When the next parked stream is due.
    pub(crate) parked_due: Option<Timestamp>,
    /// Read while the batch before was applied.
    ahead: Option<Batch<P::Event>>,
    pub(crate) verified: Verified,
    pub(crate) stop: CancellationToken,
    /// Of a host that does not stay.
    pub(crate) deadline: Option<Instant>,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) tenure: Tenure,
    pub(crate) partitions: Partitions,
    pace: Pace,
    /// Transactions that were open when the read model beside the live one was whole; `None` when it is not, yet.
    pub(crate) older_readers: Option<HashSet<String>>,
    /// When old entries are looked for; `None` at the next opportunity.
    pub(crate) sweep_due: Option<Instant>,
}

/// What fails, how often it did, and how long to wait.
pub(crate) struct Trouble {
    /// The changeset; `None` when it is nobody's fault.
    pub(crate) place: Option<Applied>,
    pub(crate) attempts: u32,
    pub(crate) delays: ExponentialBackoff,
}

/// How far [`drain_until`](crate::drain_until) came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything is applied.
    CaughtUp,
    /// The projection is paused: somebody must look at it.
    Paused,
    /// Another worker is at work in it.
    Elsewhere,
    /// There is more to do, or something failed and is to be tried again.
    OutOfTime,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// The position moved.
    Moved,
    /// There was nothing new.
    Idle,
    /// It is paused.
    Paused,
    /// Another worker is at work in it.
    Elsewhere,
    /// Its partitions are worked on each by itself.
    Split(Split),
}

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
    pub(crate) fn new(core: Arc<Core<P, D>>, live: Arc<Live>) -> Self {
        Self {
            core,
            live,
            control: None,
            parked: Arc::default(),
            parked_due: None,
            ahead: None,
            verified: Verified::default(),
            stop: CancellationToken::new(),
            deadline: None,
            trouble: None,
            tenure: Tenure::default(),
            partitions: Partitions::default(),
            pace: Pace::default(),
            older_readers: None,
            sweep_due: None,
        }
    }

    /// Follows the log until it is told to stop. Stops between steps only.
    pub(crate) async fn run(mut self, mut operations: mpsc::Receiver<Operation>, stop: CancellationToken) {
        self.stop = stop.clone();
        let live = self.live.clone();
        while !stop.is_cancelled() {
            let wait =
                self.core.settings.poll_interval.clamp(Duration::from_millis(10), Duration::from_secs(20));
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(operation) = operations.recv() => {
                    self.operate(operation).await;
                    continue;
                }
                next = self.next_batch(wait) => next,
                // The log may not know when it has news: asked anew, it says so at once.
                () = live.woken() => {
                    self.partitions.wake();
                    continue;
                }
            };
            let stepped = match next {
                Ok(next) => self.follow_up(next).await,
                Err(error) => Err(error),
            };
            let pause = match stepped {
                // Another process may be told to resume it, to rebuild it, or to throw it away.
                Ok(Stepped::Paused | Stepped::Elsewhere | Stepped::Split(_)) => {
                    self.until_next_look().min(wait)
                }
                Ok(Stepped::Moved | Stepped::Idle) => {
                    self.retry_due_streams().await;
                    self.sweep_if_due().await;
                    continue;
                }
                Err(error) => self.fail(error).await,
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(operation) = operations.recv() => self.operate(operation).await,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.partitions.stop().await;
        self.let_go().await;
    }

    /// Steps until there is nothing new, the projection is paused, or the deadline is near: for hosts that do not
    /// stay. A step that has begun is finished.
    pub(crate) async fn drain_until(&mut self, deadline: Instant) -> Drained {
        self.tenure.stays = false;
        self.deadline = Some(deadline);
        let drained = loop {
            let pause = match self.step().await {
                Ok(Stepped::Moved) => Duration::ZERO,
                Ok(Stepped::Paused) => break Drained::Paused,
                Ok(Stepped::Elsewhere) => break Drained::Elsewhere,
                Ok(Stepped::Split(split)) => break self.drain_partitions(split, deadline).await,
                Ok(Stepped::Idle) => {
                    self.retry_until(deadline).await;
                    self.sweep_if_due().await;
                    break Drained::CaughtUp;
                }
                Err(error) => self.fail(error).await,
            };
            if Instant::now() + pause >= deadline {
                break Drained::OutOfTime;
            }
            tokio::time::sleep(pause).await;
        };
        self.let_go().await;
        drained
    }

    /// Applies what comes next, if there is anything, without waiting for it.
    pub(crate) async fn step(&mut self) -> Result<Stepped, StepError> {
        let next = self.next_batch(Duration::ZERO).await?;
        self.follow_up(next).await
    }

    /// Carries that out.
    pub(crate) async fn follow_up(&mut self, next: Next<P::Event>) -> Result<Stepped, StepError> {
        match next {
            Next::Batch(batch) => {
                let stepped = self.take(batch).await?;
                self.complete_if_due().await?;
                Ok(stepped)
            }
            Next::Paused => Ok(Stepped::Paused),
            Next::Elsewhere => Ok(Stepped::Elsewhere),
            Next::Split(split) => Ok(Stepped::Split(split)),
        }
    }

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
            // Not in the future of every worker: it is the larger one, and most are no reactors.
            return self.react(control, batch).boxed().await;
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
    async fn apply_in_portions(
        &mut self,
        mut control: Control,
        batch: &Arc<Batch<P::Event>>,
        end: usize,
        mut portion: usize,
    ) -> Result<(), StepError> {
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

    /// The projection's row, read or made.
    pub(crate) async fn load(&mut self) -> Result<Control, StepError> {
        if let Some(control) = &self.control {
            return Ok(control.clone());
        }
        self.ahead = None;
        self.verified.forget();
        let core = self.core.clone();
        let started = async move { core.start().await };
        let (control, parked) = self.core.database.run(started).await.map_err(StepError::Database)??;
        self.know_parked(parked);
        self.place(control.clone());
        Ok(control)
    }

    pub(crate) fn place(&mut self, control: Control) {
        self.live.placed(&control);
        let parked = self.parked.len();
        self.live.update(|live| live.parked_streams = parked);
        self.control = Some(control);
    }

    pub(crate) fn went_well(&mut self, state: State) {
        let rebuilding = self.control.as_ref().is_some_and(|control| control.rebuild_until.is_some());
        let state = if rebuilding && !matches!(state, State::Paused | State::Elsewhere) {
            State::Rebuilding
        } else {
            state
        };
        self.trouble = None;
        self.live.update(|live| {
            live.state = state;
            live.recovers();
        });
    }

    fn at_most_until_parked_due(&self, wait: Duration) -> Duration {
        let Some(due) = self.parked_due else { return wait };
        let micros = due.as_micros().saturating_sub(Timestamp::now().as_micros());
        // Never zero: what is due was tried just now.
        wait.min(Duration::from_micros(u64::try_from(micros).unwrap_or(0)).max(Duration::from_millis(10)))
    }
}
