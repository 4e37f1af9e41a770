//! One projection at work: a step, then a look at whoever wants something, then the next step.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::ExponentialBackoff;
use ees_store::{StreamId, Timestamp};
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
use crate::worker::lease::Tenure;
use crate::worker::next::Next;
use crate::worker::same_log::Verified;
use crate::worker::span::Pace;
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
    pub(super) ahead: Option<Batch<P::Event>>,
    pub(crate) verified: Verified,
    pub(crate) stop: CancellationToken,
    /// Of a host that does not stay.
    pub(crate) deadline: Option<Instant>,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) tenure: Tenure,
    pub(crate) partitions: Partitions,
    pub(super) pace: Pace,
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
}
