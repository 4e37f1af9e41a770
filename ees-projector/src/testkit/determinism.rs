//! Looks for the order of crashes, cuts and second deliveries that breaks a projection.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use ees_store::{ChangesetLog, Filter};

use super::given::{Given, fail, run, sqlite_database, step};
use super::snapshot::tables;
use crate::database::{Database, FoldRows};
use crate::fold::Folded;
use crate::status::Live;
use crate::worker::runner::{Runner, Stepped};
use crate::worker::step::{Core, StepError};
use crate::{BoxError, Fold, Order, Projection, Recorded, Settings, sqlite};

/// How many different orders of accidents are tried.
const SEEDS: u64 = 30;

impl Given {
    /// Runs a fold as [`check_projection`](Given::check_projection) runs a projection.
    ///
    /// # Panics
    /// When an end differs from the others, with both side by side.
    pub async fn check_fold<F: Fold>(&self, fold: impl Fn() -> F)
    where
        sqlite::Tx: FoldRows,
    {
        self.check_projection(|| Folded(fold())).await;
    }

    /// Runs a projection over the history again and again: with batches cut at random, every batch delivered twice
    /// (the second time by a worker that was asleep), and crashes within batches, before commits and after them.
    /// All runs must end in the same rows.
    ///
    /// What it finds: state kept outside the transaction, clocks and random numbers, a dependence on how events were
    /// batched, rows written without the framework's transaction.
    ///
    /// # Panics
    /// When an end differs from the others, with both side by side.
    pub async fn check_projection<P: Projection<sqlite::Tx>>(&self, projection: impl Fn() -> P) {
        let log = self.log().await;
        let (_folder, calm) = sqlite_database();
        run(log.clone(), projection(), calm.clone()).await;
        let expected = calm.read(tables).await;
        for seed in 0..SEEDS {
            let (_folder, database) = sqlite_database();
            let mut chance = fastrand::Rng::with_seed(seed);
            run_with_accidents(&log, &projection, &database, &mut chance).await;
            match (&expected, database.read(tables).await) {
                (Ok(expected), Ok(found)) => assert_eq!(
                    found, *expected,
                    "after the accidents of seed {seed} the tables (left) are not those of a calm run (right)"
                ),
                (Err(error), _) => fail(&format!("the tables can't be read: {error}")),
                (_, Err(error)) => fail(&format!("the tables can't be read: {error}")),
            }
        }
    }
}

async fn run_with_accidents<P: Projection<sqlite::Tx>>(
    log: &Arc<dyn ChangesetLog>,
    projection: &impl Fn() -> P,
    database: &sqlite::Database,
    chance: &mut fastrand::Rng,
) {
    loop {
        // Each round is a new process: nothing but the database remembers.
        let batch_changesets_max = chance.usize(1..=7);
        let settings = Settings { batch_changesets_max, ..Settings::default() };
        let worker = || {
            let accident = Arc::new(Accident::default());
            let core = Core {
                projection: Fragile { projection: projection(), accident: accident.clone() },
                database: FragileDatabase { database: database.clone(), accident: accident.clone() },
                log: log.clone(),
                settings,
            };
            (Runner::new(Arc::new(core), Arc::new(Live::new())), accident)
        };
        let (mut first, accident) = worker();
        let (mut sleeper, _) = worker();
        let asleep = sleeper.next_batch(Duration::ZERO).await;
        accident.plan(chance);
        let stepped = step(&mut first).await;
        if let (Ok(Some(batch)), Ok(Stepped::Moved)) = (asleep, &stepped) {
            match sleeper.take(batch).await {
                Err(StepError::Fenced) | Ok(Stepped::Idle) => {}
                other => fail(&format!("a worker that was asleep was not fenced: {other:?}")),
            }
        }
        match stepped {
            Ok(Stepped::Idle) => return,
            Ok(Stepped::Moved) | Err(StepError::Database(_)) => {}
            Ok(Stepped::Paused) => fail("the projection paused"),
            Err(error) => fail(&format!("the projection failed: {error:?}")),
        }
    }
}

/// What goes wrong in the next step, once.
struct Accident {
    /// The process ends after so many events of a batch.
    after_events: AtomicUsize,
    /// The process ends after the commit, before anybody hears of it.
    after_commit: AtomicBool,
}

impl Default for Accident {
    fn default() -> Self {
        Self { after_events: AtomicUsize::new(usize::MAX), after_commit: AtomicBool::new(false) }
    }
}

impl Accident {
    fn plan(&self, chance: &mut fastrand::Rng) {
        match chance.u8(0..4) {
            0 => self.after_events.store(chance.usize(0..8), Relaxed),
            1 => self.after_commit.store(true, Relaxed),
            _ => {}
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

    fn filter(&self) -> Filter {
        self.projection.filter()
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
        if crash_after == usize::MAX { Ok(()) } else { Err(Crash.into()) }
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
