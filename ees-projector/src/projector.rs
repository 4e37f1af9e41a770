//! Several projections in one process, each at its own checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::ChangesetLog;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::{AuditEntry, ParkedStream};
use crate::database::{AuditRows, Database, FoldRows, LedgerRows};
use crate::fold::{Fold, Folded};
use crate::handle::Handle;
use crate::live::Live;
use crate::member::{Beside, Inspect, Member, Reading, Verifying};
use crate::operation::Operation;
use crate::partition::SLOTS;
use crate::policy::OnFailure;
use crate::projection::{Order, Projection, is_name};
use crate::reactor::{self, Effect, EffectQuery, Reacting, Reactor};
use crate::read_model::InvalidTable;
use crate::settings::Settings;
use crate::slot::Slot;
use crate::standby::Comparison;
use crate::status::Kind;
use crate::verification::{Estimate, Verifier};
use crate::worker::monitor;
use crate::worker::reacting::not_rebuilt;
use crate::worker::runner::{Drained, Runner};
use crate::worker::step::Core;

/// A projection that can't be run as it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name breaks a rule.
    #[error(
        "\"{0}\" can't name a projection: lower-case letters, digits and _, at most 48, beginning with a letter, and \
         not with ees_ or sqlite_"
    )]
    InvalidName(String),
    /// There is one of this name already.
    #[error("there are two projections named \"{0}\"")]
    Twice(String),
    /// Only a projection that keeps to the order within streams can go on without one of them.
    #[error("\"{0}\" can't park streams: it needs the global order. Declare Order::Stream, or let it pause")]
    NeedsLogOrder(String),
    /// The streams of a projection that needs the global order can't be dealt out; and there are 256 slots at most.
    #[error("\"{0}\" can't have that many partitions: 1 to 256, and more than 1 only with Order::Stream")]
    Partitions(String),
    /// A fold's table can't be one.
    #[error(transparent)]
    InvalidTable(#[from] InvalidTable),
}

type Spawn = Box<dyn FnOnce(&TaskTracker, CancellationToken, mpsc::Receiver<Operation>) + Send>;

struct Registered {
    name: String,
    kind: Kind,
    version: u32,
    live: Arc<Live>,
    inspect: Box<dyn Inspect>,
    spawn: Spawn,
    standby: Option<(Arc<Live>, Spawn)>,
}

/// Projections that are fed from one log. Register them, then [`start`](Projector::start).
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
    log: Arc<dyn ChangesetLog>,
    registered: Vec<Registered>,
    stalled_after: Duration,
}

impl Projector {
    /// A projector that reads this log: a store in the same process, or a client of one elsewhere.
    pub fn new(log: Arc<dyn ChangesetLog>) -> Self {
        Self { log, registered: Vec::new(), stalled_after: Duration::from_secs(120) }
    }

    /// A projection that is behind and has not moved for so long is reported as stalled; 2 minutes unless set.
    #[must_use]
    pub fn with_stalled_after(self, stalled_after: Duration) -> Self {
        Self { stalled_after, ..self }
    }

    /// Adds a projection onto a database.
    ///
    /// # Errors
    /// [`RegisterError`].
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
        let name = projection.name().to_owned();
        check(&projection, settings)?;
        if self.registered.iter().any(|known| known.name == name) {
            return Err(RegisterError::Twice(name));
        }
        let version = projection.version();
        let core = Core::new(projection, database, self.log.clone(), settings);
        let core = Arc::new(core);
        let (live, spawn) = worker(core.clone());
        let standby = D::SIDE_BY_SIDE.then(|| worker(Arc::new(core.onto(Slot::Standby))));
        let inspect = Box::new(Inspector(core));
        let kind = Kind::Projection;
        self.registered.push(Registered { name, kind, version, live, inspect, spawn, standby });
        Ok(())
    }

    /// Adds a reactor, whose position is kept in a database: that of the read models, or any other. On PostgreSQL it has a
    /// schema of its name, as they have.
    ///
    /// # Errors
    /// [`RegisterError`].
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
        self.projection(Reacting::new(reactor, settings), database, settings.into())?;
        if let Some(registered) = self.registered.last_mut() {
            registered.kind = Kind::Reactor;
            // There is no read model, and so none beside it.
            registered.standby = None;
        }
        Ok(())
    }

    /// Adds a fold onto a database.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn fold<F, D>(&mut self, fold: F, database: D, settings: Settings) -> Result<(), RegisterError>
    where
        D: Database,
        D::Tx: FoldRows,
        F: Fold,
    {
        self.projection(Folded::checked(fold)?, database, settings)
    }

    /// Lets all of them run, each by itself, until they are shut down.
    pub fn start(self) -> Running {
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let mut members = BTreeMap::new();
        let begin = |spawn: Spawn| {
            let (operations, queue) = mpsc::channel(16);
            spawn(&tasks, stop.clone(), queue);
            operations
        };
        for Registered { name, kind, version, live, inspect, spawn, standby } in self.registered {
            let standby = standby.map(|(live, spawn)| Beside { live, operations: begin(spawn) });
            let operations = begin(spawn);
            members.insert(
                name,
                Member { kind, version, live, operations, inspect, standby, verifier: Verifier::default() },
            );
        }
        let handle = Handle { members: Arc::new(members), log: self.log, stalled_after: self.stalled_after };
        tasks.spawn(monitor::watch(handle.clone(), stop.clone()));
        tasks.close();
        Running { handle, tasks, stop }
    }
}

/// Projections at work. Dropped, they stop by themselves, after the step they are at.
pub struct Running {
    handle: Handle,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Running {
    /// To look at them and steer them.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Stops all of them, each after the step it is at, and waits for that.
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

/// Applies what is new to one projection, then returns: for hosts that do not stay, such as a scheduled job.
///
/// Stops when there is nothing new, when the projection is paused, or when the deadline is near; a step that has
/// begun is finished. Another worker on the same projection does no harm: one of the two loses each step, and
/// changes nothing.
///
/// # Errors
/// [`RegisterError`].
pub async fn drain_until<P, D>(
    projection: P,
    database: D,
    log: Arc<dyn ChangesetLog>,
    settings: Settings,
    deadline: Instant,
) -> Result<Drained, RegisterError>
where
    D: Database,
    P: Projection<D::Tx>,
{
    check(&projection, settings)?;
    let core = Arc::new(Core::new(projection, database, log, settings));
    let mut runner = Runner::new(core, Arc::new(Live::new()));
    Ok(runner.drain_until(deadline).await)
}

pub(crate) fn check<Tx: Send, P: Projection<Tx>>(
    projection: &P,
    settings: Settings,
) -> Result<(), RegisterError> {
    let name = projection.name().to_owned();
    if !is_name(&name) {
        return Err(RegisterError::InvalidName(name));
    }
    if matches!(settings.on_failure, OnFailure::Park(_)) && projection.order() != Order::Stream {
        return Err(RegisterError::NeedsLogOrder(name));
    }
    let partitions = settings.partitions;
    if !(1..=SLOTS).contains(&partitions) || (partitions > 1 && projection.order() != Order::Stream) {
        return Err(RegisterError::Partitions(name));
    }
    Ok(())
}

/// A worker on one read model, to be spawned, and what it shows of itself.
fn worker<P, D>(core: Arc<Core<P, D>>) -> (Arc<Live>, Spawn)
where
    D: Database,
    P: Projection<D::Tx>,
{
    let live = Arc::new(Live::new());
    let runner = Runner::new(core, live.clone());
    let spawn: Spawn = Box::new(move |tasks, stop, operations| {
        tasks.spawn(runner.run(operations, stop));
    });
    (live, spawn)
}

struct Inspector<P, D>(Arc<Core<P, D>>);

impl<P: Projection<D::Tx>, D: Database> Inspect for Inspector<P, D> {
    fn parked(&self, slot: Slot) -> Reading<Vec<ParkedStream>> {
        let core = if slot == Slot::Live { self.0.clone() } else { Arc::new(self.0.onto(slot)) };
        Box::pin(async move { core.parked().await })
    }

    fn estimate(&self) -> Verifying<Estimate> {
        if self.0.is_reactor() {
            return Box::pin(std::future::ready(Err(not_rebuilt(self.0.name()))));
        }
        Box::pin(self.0.clone().estimate())
    }

    fn verify(&self, progress: Arc<Live>) -> Verifying<Comparison> {
        if self.0.is_reactor() {
            return Box::pin(std::future::ready(Err(not_rebuilt(self.0.name()))));
        }
        Box::pin(self.0.clone().verify_live(progress))
    }

    fn effects(&self, wanted: EffectQuery) -> Reading<Vec<Effect>> {
        let core = self.0.clone();
        Box::pin(async move {
            let reader = core.clone();
            let read = async move { reader.database.begin().await?.effects(reader.name(), &wanted).await };
            core.database.run(read).await?
        })
    }

    fn audit(&self, limit: usize) -> Reading<Vec<AuditEntry>> {
        let core = self.0.clone();
        Box::pin(async move {
            let reader = core.clone();
            let read =
                async move { reader.database.begin().await?.audit_entries(reader.name(), limit).await };
            core.database.run(read).await?
        })
    }
}
