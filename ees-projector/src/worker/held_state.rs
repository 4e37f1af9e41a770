//! The projection's row while a worker does work outside of a transaction, and several of its tasks write.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ees_store::Timestamp;
use futures::future::BoxFuture;
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio_util::sync::CancellationToken;

use crate::database::Database;
use crate::fingerprint::Fingerprint;
use crate::projection_state::{ChangesetRef, Position, ProjectionState};
use crate::status::Kind;
use crate::worker::core::{Core, no_work};
use crate::worker::error::StepError;
use crate::worker::lease_state::LOOK_EVERY;
use crate::worker::worker_status::WorkerStatus;

/// The row, as long as this worker owns it.
pub(crate) struct HeldState<D: Database> {
    core: Arc<Core<D>>,
    pub(super) status: Arc<WorkerStatus>,
    /// The row as this worker last stored it. Effects begin only from this row. What moves it holds the
    /// lock meanwhile.
    row: RwLock<ProjectionState>,
    /// No further effect may begin.
    is_over: AtomicBool,
    /// The reason.
    error: Mutex<Option<StepError>>,
    pub(super) end: WorkEnd,
    /// The longest time that an effect may take.
    pub(super) timeout: Duration,
    /// When the first of the timers fires that were set meanwhile, in microseconds since 1970.
    first_timer: AtomicI64,
}

/// When a worker begins no further effects and finishes those in progress.
pub(crate) struct WorkEnd {
    pub(crate) stop: CancellationToken,
    /// The deadline of a host that does not stay.
    pub(crate) deadline: Option<Instant>,
}

impl WorkEnd {
    pub(super) fn is_here(&self) -> bool {
        self.stop.is_cancelled() || self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}

impl<D: Database> HeldState<D> {
    pub(crate) fn new(
        core: Arc<Core<D>>,
        status: Arc<WorkerStatus>,
        row: ProjectionState,
        end: WorkEnd,
        timeout: Duration,
    ) -> Self {
        let (is_over, error) = (AtomicBool::new(false), Mutex::new(None));
        let first_timer = AtomicI64::new(i64::MAX);
        Self { core, status, row: RwLock::new(row), is_over, error, end, timeout, first_timer }
    }

    pub(crate) fn core(&self) -> &Arc<Core<D>> {
        &self.core
    }

    /// Returns the current position.
    pub(crate) async fn position(&self) -> Position {
        self.row.read().await.position
    }

    /// Returns the error that interrupted the work, if any.
    pub(crate) fn interruption(&self) -> Result<(), StepError> {
        match self.error.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None if self.is_over() => Err(StepError::Fenced),
            None => Ok(()),
        }
    }

    /// Records that a timer was set.
    pub(super) fn note_timer(&self, fires_at: Timestamp) {
        self.first_timer.fetch_min(fires_at.as_micros(), SeqCst);
    }

    /// Returns when the first of the timers fires that were set meanwhile.
    pub(super) fn first_timer(&self) -> Option<Timestamp> {
        let micros = self.first_timer.load(SeqCst);
        (micros < i64::MAX).then(|| Timestamp::from_micros(micros))
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }

    /// Lets no further effect begin.
    pub(super) fn interrupt(&self, error: StepError) {
        tracing::debug!(projection = self.core.name(), ?error, "no further effect begins");
        self.is_over.store(true, SeqCst);
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Runs the work and renews the lease meanwhile. If another worker moves the row, no further effect
    /// begins. Effects in progress may finish: the other worker would repeat them.
    pub(crate) async fn keeping_lease<T>(&self, work: impl Future<Output = T>) -> Result<T, StepError> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            lost = self.until_lost() => Err(lost),
        }
    }

    async fn until_lost(&self) -> StepError {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let row = self.row.read().await;
            let kept = match self.core.processor.kind() {
                // It is applied wherever the projection then is: another worker's steps do no harm.
                Kind::Projection => {
                    let same = |found: &ProjectionState| Ok::<_, StepError>(found.clone());
                    self.core.transact_wherever(&row, same, None, no_work).await.map(drop)
                }
                // What another worker has passed, it has acted upon.
                Kind::Reactor => self.core.transact(&row, row.clone(), None, no_work).await.map(drop),
            };
            drop(row);
            if let Err(StepError::Fenced) = kept {
                self.interrupt(StepError::Fenced);
                tokio::time::sleep(self.timeout).await;
                return StepError::Fenced;
            }
        }
    }

    /// Writes together with the row, so that other workers must read it again. `changeset` is blamed if the
    /// database refuses the commit.
    pub(crate) async fn change<W, F>(&self, changeset: Option<ChangesetRef>, work: W) -> Result<(), StepError>
    where
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<F, StepError>> + Send + 'static,
        F: Into<Fingerprint> + Send + 'static,
    {
        let mut row = self.row.write().await;
        let moved = |found: &ProjectionState| Ok::<_, StepError>(found.moved(|_| {}));
        *row = self.core.transact_wherever(&row, moved, changeset, work).await?;
        Ok(())
    }

    /// Changes something beside the row, which stays as it is: other workers go on.
    pub(crate) async fn note<W>(&self, work: W) -> Result<(), StepError>
    where
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<(), StepError>> + Send + 'static,
    {
        let mut row = self.row.write().await;
        let same = |found: &ProjectionState| Ok::<_, StepError>(found.clone());
        *row = self.core.transact_wherever(&row, same, None, work).await?;
        Ok(())
    }

    /// Locks the row: nobody moves it while the guard lives.
    pub(super) async fn hold(&self) -> RwLockReadGuard<'_, ProjectionState> {
        self.row.read().await
    }
}
