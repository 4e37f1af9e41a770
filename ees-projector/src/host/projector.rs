//! Runs several projections and reactors in one process, each with a position of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ees_store::SharedLog;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
#[cfg(feature = "http")]
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::TaskTracker;

use super::handle::Handle;
use super::registration::{RegisterError, checked, without_fingerprint};
use super::running_projection::{RunningProjection, STALLED_AFTER};
use super::stall_monitor;
use crate::clock::Clock;
use crate::composite::IntoComposite;
use crate::database::{Database, FoldRows};
use crate::folded::Folded;
use crate::multi_fold::MultiFold;
use crate::policy::OnFailure;
use crate::preview::{Preview, PreviewOptions, PreviewProgress, WriteUnits};
use crate::projection::Projection;
use crate::reactor::{self, Reactor};
use crate::settings::Settings;
use crate::status::Kind;
use crate::watched::{Watched, WatchedFold, Watching};
use crate::worker::core::Core;
use crate::worker::operations::operation::OperateError;
use crate::worker::processor::Processor;
use crate::worker::processor::projection::ProjectionAdapter;
use crate::worker::processor::reactor::ReactorAdapter;
use crate::worker::span_memory::SpanMemory;
use crate::worker::worker_status::WorkerStatus;
use crate::worker::workers::{Workers, workers};

/// How often the progress of a preview is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

struct Registered {
    name: String,
    kind: Kind,
    version: u32,
    workers: Arc<dyn Workers>,
}

/// Runs projections and reactors that read the same log. Register them, then call
/// [`start`](Projector::start).
///
/// Choose it in a process that stays. In a function or a scheduled job, choose [`OnDemand`](crate::OnDemand).
///
/// ```
/// use std::sync::Arc;
/// use ees_projector::{Fold, Projector, Recorded, Settings, memory};
/// # struct Names;
/// # impl Fold for Names {
/// #     type Event = serde_json::Value; type Key = String; type State = String;
/// #     fn name(&self) -> &str { "names" }
/// #     fn key(&self, event: Recorded<'_, serde_json::Value>) -> Option<String> { Some(event.stream_id().to_string()) }
/// #     fn fold(&self, _: Option<String>, event: Recorded<'_, serde_json::Value>) -> Option<String> { Some(event.event.to_string()) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Arc::new(ees_store::memory::Store::new());
/// let mut projector = Projector::new(store);
/// projector.fold(Names, memory::Database::new(), Settings::default())?;
/// let running = projector.start();
/// assert_eq!(running.handle().names().collect::<Vec<_>>(), ["names"]);
/// running.shut_down().await;
/// # Ok(())
/// # }
/// ```
pub struct Projector {
    log: SharedLog,
    registered: Vec<Registered>,
    stalled_after: Duration,
    clock: Clock,
    span_memory: SpanMemory,
}

impl Projector {
    /// Creates a projector that reads this log: a store in the same process, or a client of a remote one.
    ///
    /// Its projections and reactors read each new part of the log together. Where others follow the log too,
    /// such as an `http::Api`, give both the same [`SharedLog`].
    pub fn new(log: impl Into<SharedLog>) -> Self {
        let (stalled_after, clock) = (STALLED_AFTER, Clock::default());
        Self {
            log: log.into(),
            registered: Vec::new(),
            stalled_after,
            clock,
            span_memory: SpanMemory::default(),
        }
    }

    /// Sets the clock by which the timers of reactors are due that are registered from now on. Default: this
    /// machine's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Sets after which time a projection that is behind and does not move counts as stalled. Default: 2
    /// minutes.
    #[must_use]
    pub fn with_stalled_after(self, stalled_after: Duration) -> Self {
        Self { stalled_after, ..self }
    }

    /// Adds a projection onto a database.
    ///
    /// # Errors
    /// [`RegisterError`] if the projection or its settings are invalid, or the name is taken.
    pub fn projection<P, D>(
        &mut self,
        projection: P,
        database: D,
        settings: Settings,
    ) -> Result<(), RegisterError>
    where
        D: Database,
        P: Projection<D::Tx>,
    {
        without_fingerprint(projection.name(), &settings)?;
        let adapter = ProjectionAdapter::new::<D::Tx>(projection);
        self.register(checked::<D::Tx, _>(adapter, &settings)?, |core| core, database, settings)
    }

    /// Adds a reactor. The database keeps its position and its ledger: the database of the read models, or
    /// any other. On PostgreSQL a reactor has a schema of its own, as read models have.
    ///
    /// # Errors
    /// [`RegisterError`] if the reactor or its settings are invalid, or the name is taken.
    pub fn reactor<R, D>(
        &mut self,
        reactor: R,
        database: D,
        settings: reactor::Settings,
    ) -> Result<(), RegisterError>
    where
        D: Database,
        R: Reactor,
    {
        let (adapter, settings) = (ReactorAdapter::new(reactor, settings), settings.into());
        self.register(checked::<D::Tx, _>(adapter, &settings)?, |core| core, database, settings)
    }

    /// Adds a fold, or a [composite](crate::Composite) of several, onto a database.
    ///
    /// # Errors
    /// [`RegisterError`] if the fold or its settings are invalid, or the name is taken.
    pub fn fold<F, D>(&mut self, fold: F, database: D, settings: Settings) -> Result<(), RegisterError>
    where
        D: Database,
        D::Tx: FoldRows,
        F: IntoComposite,
    {
        let folded = checked::<D::Tx, _>(ProjectionAdapter::new::<D::Tx>(Folded::checked(fold)?), &settings)?;
        let with_rows = folded.clone();
        let as_fold = |core: Core<D>| core.with_explainable(with_rows.clone()).with_fingerprinted(with_rows);
        self.register(folded, as_fold, database, settings)
    }

    /// Adds a fold that is kept in memory, and returns it as a value that follows the log: for caches and
    /// tests.
    ///
    /// The value has the rows and their checkpoint. It changes with each batch, whole or not at all. The fold
    /// follows the log as all do, and has a [`Status`](crate::Status). Nothing of it is stored: begin at a
    /// [`Snapshot`](crate::Snapshot), or it reads the whole log at each start.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use ees_projector::{Fold, Projector, Recorded, Watching};
    /// use ees_store::{Commit, EventStore, Events, Expectation};
    /// # struct Names;
    /// # impl Fold for Names {
    /// #     type Event = serde_json::Value; type Key = String; type State = String;
    /// #     fn name(&self) -> &str { "names" }
    /// #     fn key(&self, event: Recorded<'_, serde_json::Value>) -> Option<String> { Some(event.stream_id().to_string()) }
    /// #     fn fold(&self, _: Option<String>, event: Recorded<'_, serde_json::Value>) -> Option<String> { Some(event.event.to_string()) }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = Arc::new(ees_store::memory::Store::new());
    /// let mut projector = Projector::new(store.clone());
    /// let mut names = projector.watch(Names, Watching::default())?;
    /// let running = projector.start();
    /// store.commit(Commit::new("a".parse()?, Expectation::NewStream, Events::parse("[7]")?)).await?;
    /// let names = names.wait_for(|names| names.checkpoint().get() == 1).await?;
    /// assert_eq!(names.rows["a"], "7");
    /// drop(names);
    /// # running.shut_down().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// While a reference to the value is held, the fold does not move on: clone what you need, and never hold one over
    /// an `await`.
    ///
    /// # Errors
    /// [`RegisterError`] if the fold or its settings are invalid, or the name is taken.
    pub fn watch<F>(
        &mut self,
        fold: F,
        watching: Watching<F::State>,
    ) -> Result<watch::Receiver<Watched<F::State>>, RegisterError>
    where
        F: MultiFold<State: Clone>,
    {
        let Watching { rows_max, snapshot, settings } = watching;
        if matches!(settings.on_failure, OnFailure::Park(_)) {
            return Err(RegisterError::ParkedInMemory(MultiFold::name(&fold).to_owned()));
        }
        let (fold, position) = WatchedFold::new(fold, rows_max, snapshot);
        let value = fold.watch();
        self.projection(fold, position, settings)?;
        Ok(value)
    }

    fn register<D: Database>(
        &mut self,
        processor: Arc<dyn Processor<D::Tx>>,
        as_what: impl FnOnce(Core<D>) -> Core<D>,
        database: D,
        settings: Settings,
    ) -> Result<(), RegisterError> {
        let (name, kind, version) = (processor.name().to_owned(), processor.kind(), processor.version());
        if self.registered.iter().any(|known| known.name == name) {
            return Err(RegisterError::NameTaken(name));
        }
        let core = Core::new(processor, database, Arc::new(self.log.clone()), settings);
        let core = core.with_clock(self.clock.clone()).with_span_memory(self.span_memory.clone());
        let workers = workers(as_what(core));
        self.registered.push(Registered { name, kind, version, workers });
        Ok(())
    }

    /// Tells what this program's version of a projection or a reactor would do, before it is deployed.
    ///
    /// A projection runs on the log into a place of its own beside the live read model: in PostgreSQL the schema
    /// `NAME__preview`, in SQLite the file `FILE.NAME__preview-1`. At the checkpoint of the live one, the rows of the
    /// two are compared. Then the place is deleted. The live read model, its row and what is parked are not changed,
    /// and its worker goes on. What this version can't read or apply is collected, and the other streams go on.
    ///
    /// A reactor acts on the events, but none of its effects is done. Those that its ledger does not have are listed.
    /// The reactor must say that it [acts in effects only](Reactor::acts_in_effects_only).
    ///
    /// # Errors
    /// [`OperateError`] if there is no such name, nothing of it runs on this database yet, the projection is split into
    /// partitions, or the database can't tell in which rows two read models differ (memory, DynamoDB).
    pub async fn preview(&self, name: &str, wanted: PreviewOptions) -> Result<Preview, OperateError> {
        self.preview_until(name, wanted, std::future::pending()).await
    }

    /// Like [`preview`](Self::preview). If `stop` completes before, the preview deletes what it has built and fails.
    ///
    /// # Errors
    /// As for [`preview`](Self::preview).
    pub async fn preview_until(
        &self,
        name: &str,
        wanted: PreviewOptions,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Preview, OperateError> {
        let registered = self.registered(name)?;
        let (status, stopped) = (Arc::new(WorkerStatus::new()), CancellationToken::new());
        let on_progress = wanted.on_progress.clone();
        let mut preview = registered.workers.preview(wanted, status.clone(), stopped.clone());
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                biased;
                done = &mut preview => return done,
                () = &mut stop, if !stopped.is_cancelled() => stopped.cancel(),
                () = tokio::time::sleep(PROGRESS_EVERY) => {}
            }
            let seen = status.snapshot();
            if let (Some(tell), Some(rebuild)) = (&on_progress, seen.rebuild()) {
                tell(PreviewProgress { checkpoint: seen.checkpoint(), until: rebuild.until });
            }
        }
    }

    /// Estimates what a rebuild of a fold writes on DynamoDB, whatever its database is. The first 20,000 changesets of
    /// the log are applied in memory, and extrapolated.
    ///
    /// # Errors
    /// [`OperateError`] if there is no such name, or it is not a fold.
    pub async fn dynamodb_cost(&self, name: &str) -> Result<WriteUnits, OperateError> {
        self.registered(name)?.workers.write_units().await
    }

    fn registered(&self, name: &str) -> Result<&Registered, OperateError> {
        self.registered.iter().find(|known| known.name == name).ok_or_else(|| OperateError::Unknown {
            name: name.to_owned(),
            known: self.names().collect::<Vec<_>>().join(", "),
        })
    }

    /// Returns the names of the projections and reactors that were registered.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.registered.iter().map(|registered| registered.name.as_str())
    }

    /// Starts all of them. They run concurrently until [`Running::shut_down`].
    pub fn start(self) -> Running {
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let mut projections = BTreeMap::new();
        for Registered { name, kind, version, workers } in self.registered {
            let spawn = |workers: &dyn Workers, slot, status, queue| {
                tasks.spawn(workers.run(slot, status, queue, stop.clone()));
            };
            projections.insert(name, RunningProjection::start(kind, version, workers, spawn));
        }
        let projections = Arc::new(projections);
        let handle =
            Handle { projections, log: self.log, stalled_after: self.stalled_after, is_attending: false };
        tasks.spawn(stall_monitor::watch(handle.clone(), stop.clone()));
        tasks.close();
        Running { handle, tasks, stop }
    }
}

/// Running projections and reactors. When this is dropped, they stop after the current step.
pub struct Running {
    handle: Handle,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Running {
    /// Returns the handle to look at them and operate them.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs a task beside them. It should end when the future that it is given completes.
    #[cfg(feature = "http")]
    pub(crate) fn run<F>(&self, task: impl FnOnce(WaitForCancellationFutureOwned) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task(self.stop.clone().cancelled_owned()));
    }

    /// Stops all of them after the current step, and waits for that.
    pub async fn shut_down(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
