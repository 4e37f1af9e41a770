//! The worker's loop: a step, then operators' requests, then the next step.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::ExponentialBackoff;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::database::Database;
use crate::projection_state::{ChangesetRef, ProjectionState};
use crate::status::State;
use crate::worker::batch::Batch;
use crate::worker::batch_size::Pace;
use crate::worker::cached_state::CachedState;
use crate::worker::claim::ClaimState;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::gathering::Gathering;
use crate::worker::held_state::{HeldState, WorkEnd};
use crate::worker::lease_state::LeaseState;
use crate::worker::log_identity::Verified;
use crate::worker::operations::operation::Operation;
use crate::worker::outcome::{Drained, Stepped};
use crate::worker::parked_streams::ParkedStreams;
use crate::worker::partition_workers::PartitionWorkers;
use crate::worker::reactor::timers::Timers;
use crate::worker::worker_status::WorkerStatus;

/// How long a read of the log goes on undisturbed that was begun because something else announced new changesets. Twice as
/// long each time until one ends, and as long for the next ones until one of them was not disturbed for longer.
const PATIENCE_MIN: Duration = Duration::from_millis(10);

/// What a worker keeps in memory about its projection. All of it can be read again.
pub(crate) struct Runner<D: Database> {
    pub(crate) core: Arc<Core<D>>,
    pub(crate) status: Arc<WorkerStatus>,
    pub(super) state: CachedState,
    pub(super) parked: ParkedStreams,
    pub(super) timers: Timers,
    /// The next batch, which was read while the last one was applied.
    pub(super) ahead: Option<Batch>,
    pub(super) verified: Verified,
    pub(super) stop: CancellationToken,
    /// The deadline of a host that does not stay.
    pub(super) deadline: Option<Instant>,
    pub(super) trouble: Option<Trouble>,
    pub(super) claim: ClaimState,
    pub(super) lease: LeaseState,
    pub(super) partitions: PartitionWorkers,
    pub(super) pace: Pace,
    pub(super) gathering: Gathering,
    /// The transactions that were open when the standby was complete. `None` until then.
    pub(super) older_readers: Option<HashSet<String>>,
    /// When old records are deleted next. `None`: as soon as possible.
    pub(super) sweep_due: Option<Instant>,
}

/// What fails, how often it failed, and the delays before the next attempts.
pub(super) struct Trouble {
    /// The changeset that fails. `None` for a transient fault.
    pub(super) changeset: Option<ChangesetRef>,
    pub(super) attempts: u32,
    pub(super) delays: ExponentialBackoff,
}

impl<D: Database> Runner<D> {
    pub(crate) fn new(core: Arc<Core<D>>, status: Arc<WorkerStatus>) -> Self {
        let timers = Timers::of(core.processor.kind());
        Self {
            core,
            status,
            state: CachedState::default(),
            parked: ParkedStreams::default(),
            timers,
            ahead: None,
            verified: Verified::default(),
            stop: CancellationToken::new(),
            deadline: None,
            trouble: None,
            claim: ClaimState::default(),
            lease: LeaseState::default(),
            partitions: PartitionWorkers::default(),
            pace: Pace::default(),
            gathering: Gathering::default(),
            older_readers: None,
            sweep_due: None,
        }
    }

    /// Returns the worker as one that ends its work once the token is cancelled.
    pub(super) fn stopped_by(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Follows the log until `stop`. Stops between steps only.
    pub(crate) async fn run(mut self, mut operations: mpsc::Receiver<Operation>, stop: CancellationToken) {
        self.stop = stop.clone();
        let status = self.status.clone();
        let mut moves = self.core.clock.moves();
        let mut swaps = self.core.swaps.subscribe();
        let mut patience = Duration::ZERO;
        while !stop.is_cancelled() {
            let wait =
                self.core.settings.poll_interval.clamp(Duration::from_millis(10), Duration::from_secs(20));
            let begun = Instant::now();
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(operation) = operations.recv() => {
                    self.operate(operation).await;
                    continue;
                }
                next = self.next(wait) => next,
                // Read the log again: a log that does not notice new changesets by itself shows them at once. Each time
                // later than before, or calls that come faster than a read ends would let none end.
                () = status.woken_after(patience) => {
                    patience = (2 * patience).max(PATIENCE_MIN);
                    self.partitions.wake();
                    continue;
                }
                () = moves.next() => continue,
                // The row is another one now, and the projection may rest for long.
                Ok(()) = swaps.changed() => {
                    self.state.forget();
                    continue;
                }
            };
            if begun.elapsed() >= patience {
                patience = Duration::ZERO;
            }
            let stepped = match next {
                Ok(next) => self.follow_up(next).await,
                Err(error) => Err(error),
            };
            if !matches!(stepped, Ok(Stepped::Moved | Stepped::Idle)) {
                self.pace.release_share();
            }
            let pause = match stepped {
                Ok(Stepped::Split(split)) => self.until_next_look_at(split).min(wait),
                // An operator may resume, rebuild or discard it through another process.
                Ok(Stepped::Elsewhere) => self.until_next_look().min(wait),
                Ok(Stepped::Paused) => {
                    // A pause may last for months, and the first partition deletes for all.
                    if self.lease.is_ours() {
                        self.sweep_if_due().await;
                    }
                    self.until_next_look().min(wait)
                }
                Ok(Stepped::Moved | Stepped::Idle) => {
                    self.retry_due_streams().await;
                    self.sweep_if_due().await;
                    match self.fire_due_timers().await {
                        Ok(_) => match self.gathering.take_pause() {
                            Duration::ZERO => continue,
                            pause => pause,
                        },
                        Err(error) => self.fail(error).await,
                    }
                }
                Err(error) => self.fail(error).await,
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(operation) = operations.recv() => self.operate(operation).await,
                Ok(()) = swaps.changed() => self.state.forget(),
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.partitions.stop().await;
        self.release_lease().await;
    }

    /// Runs steps until there is nothing new, the projection is paused, or the deadline is near: for hosts
    /// that do not stay. A step that has begun is finished.
    pub(crate) async fn drain_until(&mut self, deadline: Instant) -> Drained {
        self.lease.stays = false;
        self.deadline = Some(deadline);
        let mut last_split = None;
        let drained = loop {
            let pause = match self.step().await {
                Ok(Stepped::Moved) => match self.fire_due_timers().await {
                    Ok(_) => Duration::ZERO,
                    Err(error) => self.fail(error).await,
                },
                Ok(Stepped::Paused) => break Drained::Paused,
                Ok(Stepped::Elsewhere) => break Drained::Elsewhere,
                Ok(Stepped::Split(split)) => {
                    let drained = self.drain_partitions(split, deadline).await;
                    // A change of their number goes on when they have stopped for it.
                    if split.next_count.is_none() || last_split == Some(split) {
                        break drained;
                    }
                    last_split = Some(split);
                    Duration::ZERO
                }
                // Built beside another version's, or there is no standby. It is not there the next moment either.
                Err(StepError::Absent) if self.core.partition().is_none() => break Drained::Elsewhere,
                Err(StepError::ClaimedElsewhere(why)) => {
                    tracing::info!(projection = self.core.name(), "left to another process: {why}");
                    break Drained::Elsewhere;
                }
                Ok(Stepped::Idle) => {
                    self.retry_due_streams_until(deadline).await;
                    self.sweep_if_due().await;
                    match self.fire_due_timers_until(deadline).await {
                        Ok(()) => break Drained::CaughtUp,
                        Err(error) => self.fail(error).await,
                    }
                }
                Err(error) => self.fail(error).await,
            };
            if Instant::now() + pause >= deadline {
                break Drained::OutOfTime;
            }
            tokio::time::sleep(pause).await;
        };
        self.release_lease().await;
        self.claim.release();
        drained
    }

    /// Processes what comes next, if there is anything, without waiting for it.
    pub(crate) async fn step(&mut self) -> Result<Stepped, StepError> {
        let next = self.next(Duration::ZERO).await?;
        self.follow_up(next).await
    }

    /// Returns the projection's row: from the cache, or read (and created, if it is new).
    pub(super) async fn load(&mut self) -> Result<ProjectionState, StepError> {
        let state = self.take_state().await?;
        self.state.put(state.clone());
        Ok(state)
    }

    /// Like [`load`](Self::load), for a caller that changes the row: it leaves the cache empty until
    /// [`set_state`](Self::set_state) puts the new row in.
    pub(super) async fn take_state(&mut self) -> Result<ProjectionState, StepError> {
        if let Some(state) = self.state.take() {
            return Ok(state);
        }
        self.ahead = None;
        self.verified.forget();
        // Before anything is created or rebuilt.
        self.claim().await?;
        let core = self.core.clone();
        let (state, parked) = self.core.database.run(async move { core.initialize().await }).await??;
        self.know_parked(parked);
        self.timers.row_read(state.position);
        self.show(&state);
        Ok(state)
    }

    /// Reads the row again.
    pub(super) fn reload(&mut self) -> BoxFuture<'_, Result<ProjectionState, StepError>> {
        async move {
            self.state.forget();
            self.load().await
        }
        .boxed()
    }

    /// Puts the row into the cache that is stored now.
    pub(super) fn set_state(&mut self, state: ProjectionState) {
        self.timers.row_moved(state.position);
        self.show(&state);
        self.state.put(state);
    }

    /// Shows the row in the status. That of a projection in partitions does not say where it is: those of its
    /// partitions do.
    pub(super) fn show(&self, state: &ProjectionState) {
        if !self.core.is_left_to_partitions(state) {
            self.status.set_state(state);
        }
        self.show_parked();
    }

    /// Moves the row, together with some work, in one transaction. If that fails, the row is read again.
    pub(super) async fn commit<W>(
        &mut self,
        from: ProjectionState,
        to: ProjectionState,
        work: W,
    ) -> Result<(), StepError>
    where
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<(), StepError>> + Send + 'static,
    {
        self.state.forget();
        let moved = self.core.transact(&from, to, None, work).await?;
        self.set_state(moved);
        Ok(())
    }

    /// Holds the row for work outside of a transaction, each part of which takes at most `timeout`.
    pub(super) fn hold(&self, state: ProjectionState, timeout: Duration) -> HeldState<D> {
        let end = WorkEnd { stop: self.stop.clone(), deadline: self.deadline };
        HeldState::new(self.core.clone(), self.status.clone(), state, end, timeout)
    }

    /// Records that a step succeeded: failures are over.
    pub(super) fn record_success(&mut self, state: State) {
        self.trouble = None;
        self.status.update(|status| {
            let is_at_work = !matches!(state, State::Paused | State::Elsewhere);
            status.state = if is_at_work && status.is_rebuilding() { State::Rebuilding } else { state };
            status.recovers();
        });
    }
}
