//! Searches for a sequence of crashes, batch boundaries and repeated deliveries that breaks a projection.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use ees_store::ChangesetLog;

use super::given::{Given, fail, sqlite_database};
use super::snapshot::tables;
use crate::composite::IntoComposite;
use crate::database::Database;
use crate::folded::Folded;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::outcome::{Next, Stepped};
use crate::worker::processor::projection::ProjectionAdapter;
use crate::worker::runner::Runner;
use crate::worker::worker_status::WorkerStatus;
use crate::{BoxError, Order, Projection, Recorded, Settings, Subscription, TablesChecked, sqlite};

/// The number of random sequences of accidents.
const SEEDS: u64 = 30;

impl Given {
    /// Checks a fold or a composite as [`check_projection`](Given::check_projection) checks a projection. Then it asks
    /// the read model: the [explanation](crate::Handle::explain) of each row ends in the row (up to 50 of each table), the
    /// [fingerprint](crate::Settings::fingerprint) is that of the rows, and [as of](crate::Handle::as_of) the present the
    /// read model is the live one.
    ///
    /// # Panics
    /// As for [`check_projection`](Given::check_projection), and if an answer is another one.
    pub async fn check_fold<F: IntoComposite>(&self, fold: impl Fn() -> F) {
        self.check_projection(|| Folded::new(fold())).await;
        Box::pin(self.check_asking(Folded::new(fold()))).await;
    }

    /// Runs a projection on the history 31 times: once undisturbed, then with random accidents. Batches have
    /// random sizes. A worker that was asleep delivers each batch a second time. The process crashes inside
    /// batches, before commits and after them. Errors make the worker apply a batch one changeset at a time.
    /// All runs must end with the same rows.
    ///
    /// It finds state outside the transaction, clocks and random numbers, results that depend on the batch
    /// size, and writes outside the framework's transaction.
    ///
    /// A projection that declares [`Order::Stream`] also runs on some of the streams, and on the others
    /// apart: put together, the rows must be those of all streams. It finds rows that depend on several
    /// streams.
    ///
    /// # Panics
    /// If a run ends with other rows than the undisturbed run. The message shows both side by side. If the
    /// projection recognizes no event.
    pub async fn check_projection<P: Projection<sqlite::Tx>>(&self, projection: impl Fn() -> P) {
        let log = self.log().await;
        let (_folder, calm) = sqlite_database();
        Box::pin(self.run(log.clone(), projection(), calm.clone())).await;
        let expected = calm.read(tables).await;
        if let (Ok(whole), Order::Stream) = (&expected, projection().order()) {
            Box::pin(self.check_order_of_streams(&log, &projection, whole)).await;
        }
        for seed in 0..SEEDS {
            let (_folder, database) = sqlite_database();
            let mut chance = fastrand::Rng::with_seed(seed);
            Box::pin(run_with_accidents(&log, &projection, &database, &mut chance)).await;
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
    let mut worker = Worker::new(log, projection(), database, chance);
    loop {
        // Mostly the same worker goes on, with everything that its projection keeps in memory. Sometimes a
        // new process starts.
        if chance.u8(0..3) == 0 {
            worker = Worker::new(log, projection(), database, chance);
        }
        let mut sleeper = Worker::new(log, projection(), database, chance);
        let asleep = sleeper.runner.next(Duration::ZERO).await;
        let next = worker.runner.next(Duration::ZERO).await;
        worker.accident.plan(chance);
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
        chance: &mut fastrand::Rng,
    ) -> Self {
        let accident = Arc::new(Accident::default());
        let core = Core::new(
            Arc::new(ProjectionAdapter::new(Fragile { projection, accident: accident.clone() })),
            FragileDatabase { database: database.clone(), accident: accident.clone() },
            log.clone(),
            Settings {
                batch_changesets_max: chance.usize(1..=7),
                span_changesets_max: chance.usize(1..=30),
                ..Settings::default()
            },
        );
        Self { runner: Runner::new(Arc::new(core), Arc::new(WorkerStatus::new())), accident }
    }
}

/// What goes wrong in the next step, once.
struct Accident {
    /// The process crashes after this number of events of a batch.
    after_events: AtomicUsize,
    /// The process crashes after the commit, before the worker knows of it.
    after_commit: AtomicBool,
    /// The batch fails with an error of the projection instead of a crash. Its changesets are then applied
    /// one by one.
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
    fn plan(&self, chance: &mut fastrand::Rng) {
        match chance.u8(0..5) {
            0 => self.after_events.store(chance.usize(0..8), Relaxed),
            1 => self.after_commit.store(true, Relaxed),
            2 => {
                self.after_events.store(chance.usize(0..8), Relaxed);
                self.own_error.store(true, Relaxed);
            }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};

    use crate::testkit::given;
    use crate::{BoxError, Fold, Projection, Recorded, sqlite};

    /// Counts in memory what it should count in its table.
    #[derive(Default)]
    struct Forgetful(Mutex<i64>);

    impl Projection<sqlite::Tx> for Forgetful {
        type Event = Value;
        fn name(&self) -> &str {
            "forgetful"
        }
        async fn create_tables(&self, tx: &mut sqlite::Tx) -> Result<(), BoxError> {
            Ok(tx
                .connection()
                .execute_batch("CREATE TABLE counted (n INTEGER); INSERT INTO counted VALUES (0)")?)
        }
        async fn drop_tables(&self, tx: &mut sqlite::Tx) -> Result<(), BoxError> {
            Ok(tx.connection().execute_batch("DROP TABLE counted")?)
        }
        async fn apply(&self, _: Recorded<'_, Value>, tx: &mut sqlite::Tx) -> Result<(), BoxError> {
            let counted = {
                let mut count = self.0.lock().map_err(|_| "poisoned")?;
                *count += 1;
                *count
            };
            tx.connection().execute("UPDATE counted SET n = ?1", [counted])?;
            Ok(())
        }
    }

    #[tokio::test]
    #[should_panic(expected = "not those of a calm run")]
    async fn a_projection_that_keeps_its_state_in_memory_is_found_out() {
        let history = given((0..40).map(|n| ("s", json!(n))));
        history.check_projection(Forgetful::default).await;
    }

    /// Sums up numbers that are not exact, or too large, for a careless reader.
    struct Numbers;

    #[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
    struct Sums {
        float: f64,
        beyond_floats: i64,
        beyond_integers: u128,
    }

    #[derive(Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Counted {
        Counted { float: f64, whole: i64 },
    }

    impl Fold for Numbers {
        type Event = Counted;
        type Key = String;
        type State = Sums;
        fn name(&self) -> &str {
            "numbers"
        }
        fn key(&self, event: Recorded<'_, Counted>) -> Option<String> {
            Some(event.stream_id().to_string())
        }
        fn fold(&self, row: Option<Sums>, event: Recorded<'_, Counted>) -> Option<Sums> {
            let Counted::Counted { float, whole } = event.event;
            let mut row = row.unwrap_or_default();
            row.float += float;
            row.beyond_floats += whole;
            row.beyond_integers += u128::from(u64::MAX) + u128::from(whole.unsigned_abs());
            Some(row)
        }
    }

    #[tokio::test]
    async fn a_pure_fold_of_numbers_passes() {
        let whole = (1_i64 << 53) + 1;
        let history = given((0..40).map(|n| {
            (["a", "b", "c"][n % 3], json!({"type": "counted", "float": 123.45 * n as f64, "whole": whole}))
        }));
        history.check_fold(|| Numbers).await;
        let rows = history.fold(Numbers).await.rows;
        assert_eq!(rows["b"].beyond_floats, 13 * whole);
        assert_eq!(rows["b"].beyond_integers, 13 * (u128::from(u64::MAX) + whole.unsigned_abs() as u128));
    }
}
