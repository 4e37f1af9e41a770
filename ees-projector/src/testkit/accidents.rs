//! Runs a projection while processes crash, errors happen, and batches have any size.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use ees_store::ChangesetLog;

use super::given::fail;
use crate::database::Database;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::outcome::{Next, Stepped};
use crate::worker::processor::projection::ProjectionAdapter;
use crate::worker::runner::Runner;
use crate::worker::worker_status::WorkerStatus;
use crate::{BoxError, Order, Projection, Recorded, Settings, Subscription, TablesChecked, sqlite};

/// What is unusual about a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disturbance {
    /// A new process takes it. Otherwise the same worker goes on, with everything that its projection keeps in memory.
    pub(super) is_of_new_process: bool,
    /// Of a new process: the most changesets of its batches.
    pub(super) batch_changesets_max: usize,
    /// Of a new process: the most changesets of its spans.
    pub(super) span_changesets_max: usize,
    pub(super) mishap: Mishap,
}

/// What goes wrong in a step, once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mishap {
    Nothing,
    /// The process crashes after this number of events of a batch.
    CrashAfterEvents(usize),
    /// The process crashes after the commit, before the worker knows of it.
    CrashAfterCommit,
    /// The batch fails after this number of events with an error of the projection. Its changesets are then applied one
    /// by one.
    ErrorAfterEvents(usize),
}

impl Disturbance {
    pub(super) fn random(chance: &mut fastrand::Rng) -> Self {
        let mishap = match chance.u8(0..5) {
            0 => Mishap::CrashAfterEvents(chance.usize(0..8)),
            1 => Mishap::CrashAfterCommit,
            2 => Mishap::ErrorAfterEvents(chance.usize(0..8)),
            _ => Mishap::Nothing,
        };
        Self {
            is_of_new_process: chance.u8(0..3) == 0,
            batch_changesets_max: chance.usize(1..=7),
            span_changesets_max: chance.usize(1..=30),
            mishap,
        }
    }
}

/// Applies the whole log, each step with the next disturbance. Beside each step, a worker that was asleep delivers the
/// same batch a second time.
pub(super) async fn run_with_accidents<P: Projection<sqlite::Tx>>(
    log: &Arc<dyn ChangesetLog>,
    projection: &impl Fn() -> P,
    database: &sqlite::Database,
    mut disturbances: impl FnMut() -> Disturbance,
) {
    let mut worker = None;
    loop {
        let disturbance = disturbances();
        let new = || Worker::new(log, projection(), database, &disturbance);
        if disturbance.is_of_new_process {
            worker = None;
        }
        let worker = worker.get_or_insert_with(new);
        let mut sleeper = new();
        let asleep = sleeper.runner.next(Duration::ZERO).await;
        let next = worker.runner.next(Duration::ZERO).await;
        worker.accident.plan(disturbance.mishap);
        let stepped = match next {
            Ok(next) => worker.runner.follow_up(next).await,
            Err(error) => Err(error),
        };
        if let (Ok(Next::Batch(batch)), Ok(Stepped::Moved)) = (asleep, &stepped) {
            match sleeper.runner.process(*batch).await {
                Err(StepError::Fenced) | Ok(Stepped::Idle) => {}
                other => fail(&format!("a worker that was asleep was not fenced: {other:?}")),
            }
        }
        match stepped {
            Ok(Stepped::Idle) => return,
            Ok(Stepped::Moved) | Err(StepError::Database(_) | StepError::Fenced) => {}
            // This error was planned, and happens once: the next step succeeds.
            Err(StepError::Failed { error, .. }) if error.contains(Stumble::MESSAGE) => {}
            Ok(Stepped::Paused | Stepped::Elsewhere | Stepped::Split(_)) => fail("the projection paused"),
            Err(error) => fail(&format!("the projection failed: {error:?}")),
        }
    }
}

struct Worker {
    runner: Runner<FragileDatabase>,
    accident: Arc<Accident>,
}

impl Worker {
    fn new(
        log: &Arc<dyn ChangesetLog>,
        projection: impl Projection<sqlite::Tx>,
        database: &sqlite::Database,
        disturbance: &Disturbance,
    ) -> Self {
        let accident = Arc::new(Accident::default());
        let core = Core::new(
            Arc::new(ProjectionAdapter::new(Fragile { projection, accident: accident.clone() })),
            FragileDatabase { database: database.clone(), accident: accident.clone() },
            log.clone(),
            Settings {
                batch_changesets_max: disturbance.batch_changesets_max,
                span_changesets_max: disturbance.span_changesets_max,
                ..Settings::default()
            },
        );
        Self { runner: Runner::new(Arc::new(core), Arc::new(WorkerStatus::new())), accident }
    }
}

/// The mishap of the next step.
struct Accident {
    after_events: AtomicUsize,
    after_commit: AtomicBool,
    own_error: AtomicBool,
}

impl Default for Accident {
    fn default() -> Self {
        Self {
            after_events: AtomicUsize::new(usize::MAX),
            after_commit: AtomicBool::new(false),
            own_error: AtomicBool::new(false),
        }
    }
}

impl Accident {
    fn plan(&self, mishap: Mishap) {
        match mishap {
            Mishap::Nothing => {}
            Mishap::CrashAfterEvents(events) => self.after_events.store(events, Relaxed),
            Mishap::CrashAfterCommit => self.after_commit.store(true, Relaxed),
            Mishap::ErrorAfterEvents(events) => {
                self.after_events.store(events, Relaxed);
                self.own_error.store(true, Relaxed);
            }
        }
    }
}

#[derive(Debug)]
struct Crash;

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a planned crash")
    }
}

impl Error for Crash {}

#[derive(Debug)]
struct Stumble;

impl Stumble {
    const MESSAGE: &str = "a planned error";
}

impl fmt::Display for Stumble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MESSAGE)
    }
}

impl Error for Stumble {}

struct Fragile<P> {
    projection: P,
    accident: Arc<Accident>,
}

impl<P: Projection<sqlite::Tx>> Projection<sqlite::Tx> for Fragile<P> {
    type Event = P::Event;

    fn name(&self) -> &str {
        self.projection.name()
    }

    fn version(&self) -> u32 {
        self.projection.version()
    }

    fn subscription(&self) -> Subscription {
        self.projection.subscription()
    }

    fn order(&self) -> Order {
        self.projection.order()
    }

    async fn create_tables(&self, tx: &mut sqlite::Tx) -> Result<(), BoxError> {
        self.projection.create_tables(tx).await
    }

    async fn drop_tables(&self, tx: &mut sqlite::Tx) -> Result<(), BoxError> {
        self.projection.drop_tables(tx).await
    }

    async fn check_tables(&self, tx: &mut sqlite::Tx, others: &[String]) -> Result<TablesChecked, BoxError> {
        self.projection.check_tables(tx, others).await
    }

    async fn apply(&self, event: Recorded<'_, P::Event>, tx: &mut sqlite::Tx) -> Result<(), BoxError> {
        self.apply_batch(&[event], tx).await
    }

    async fn apply_batch(
        &self,
        events: &[Recorded<'_, P::Event>],
        tx: &mut sqlite::Tx,
    ) -> Result<(), BoxError> {
        let crash_after = self.accident.after_events.swap(usize::MAX, Relaxed);
        let Some(done) = events.get(..crash_after.min(events.len())) else { return Ok(()) };
        self.projection.apply_batch(done, tx).await?;
        match crash_after {
            usize::MAX => Ok(()),
            _ if self.accident.own_error.swap(false, Relaxed) => Err(Stumble.into()),
            _ => Err(Crash.into()),
        }
    }
}

struct FragileDatabase {
    database: sqlite::Database,
    accident: Arc<Accident>,
}

impl Database for FragileDatabase {
    type Tx = sqlite::Tx;

    async fn begin(&self) -> Result<sqlite::Tx, BoxError> {
        self.database.begin().await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, BoxError> {
        let done = self.database.run(work).await?;
        if self.accident.after_commit.swap(false, Relaxed) { Err(Crash.into()) } else { Ok(done) }
    }

    fn is_transient(error: &(dyn Error + 'static)) -> bool {
        error.is::<Crash>() || sqlite::Database::is_transient(error)
    }
}
