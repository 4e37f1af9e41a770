//! Projections and reactors for hosts that do not stay, such as functions and scheduled jobs.

use std::sync::Arc;
use std::time::Instant;

use ees_store::{ChangesetId, ChangesetLog, Checkpoint, SharedLog, StreamId};
use tokio::sync::Mutex;

use super::handle::Handle;
use super::pending_changesets::PendingChangesets;
use super::registration::{RegisterError, checked, without_fingerprint};
use crate::clock::Clock;
use crate::composite::IntoComposite;
use crate::database::{Database, FoldRows};
use crate::folded::Folded;
use crate::projection::Projection;
use crate::reactor::{self, Reactor};
use crate::settings::Settings;
use crate::status::{Failure, Kind};
use crate::worker::core::Core;
#[cfg(feature = "aws-lambda")]
use crate::worker::error::StepError;
use crate::worker::on_demand::OnDemandWorker;
use crate::worker::operations::operation::OperateError;
use crate::worker::outcome::Drained;
use crate::worker::processor::projection::ProjectionAdapter;
use crate::worker::processor::reactor::ReactorAdapter;
use crate::worker::workers::{Workers, workers};

/// A projection or a reactor that works when it is called: for AWS Lambda functions and scheduled jobs.
///
/// In a process that stays, choose a [`Projector`](crate::Projector). Both may run the same projection at the
/// same time: one of the two loses each step and changes nothing. On a SQLite file, one process runs a
/// projection, and a call in another one returns [`Drained::Elsewhere`].
///
/// Create it once and keep it for all calls. Concurrent calls wait for one another.
///
/// ```
/// use std::{sync::Arc, time::{Duration, Instant}};
/// use ees_projector::{Drained, Fold, OnDemand, Recorded, Settings, memory};
/// # struct Names;
/// # impl Fold for Names {
/// #     type Event = serde_json::Value; type Key = String; type State = String;
/// #     fn name(&self) -> &str { "names" }
/// #     fn key(&self, event: Recorded<'_, serde_json::Value>) -> Option<String> { Some(event.stream_id().to_string()) }
/// #     fn fold(&self, _: Option<String>, event: Recorded<'_, serde_json::Value>) -> Option<String> { Some(event.event.to_string()) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = Arc::new(ees_store::memory::Store::new());
/// let names = OnDemand::fold(Names, memory::Database::new(), log, Settings::default())?;
/// let drained = names.drain_until(Instant::now() + Duration::from_secs(10)).await;
/// assert_eq!(drained, Drained::CaughtUp);
/// # Ok(())
/// # }
/// ```
pub struct OnDemand {
    name: String,
    kind: Kind,
    version: u32,
    log: Arc<dyn ChangesetLog>,
    workers: Arc<dyn Workers>,
    worker: Mutex<Box<dyn OnDemandWorker>>,
}

impl OnDemand {
    /// Creates one for a projection onto a database.
    ///
    /// # Errors
    /// [`RegisterError`] if the projection or its settings are invalid.
    pub fn projection<P, D>(
        projection: P,
        database: D,
        log: Arc<dyn ChangesetLog>,
        settings: Settings,
    ) -> Result<Self, RegisterError>
    where
        D: Database,
        P: Projection<D::Tx>,
    {
        without_fingerprint(projection.name(), &settings)?;
        let adapter = checked::<D::Tx, _>(ProjectionAdapter::new::<D::Tx>(projection), &settings)?;
        Ok(Self::new(Core::new(adapter, database, log, settings)))
    }

    /// Creates one for a fold, or a [composite](crate::Composite) of several, onto a database.
    ///
    /// # Errors
    /// [`RegisterError`] if the fold or its settings are invalid.
    pub fn fold<F, D>(
        fold: F,
        database: D,
        log: Arc<dyn ChangesetLog>,
        settings: Settings,
    ) -> Result<Self, RegisterError>
    where
        D: Database,
        D::Tx: FoldRows,
        F: IntoComposite,
    {
        let folded = checked::<D::Tx, _>(ProjectionAdapter::new::<D::Tx>(Folded::checked(fold)?), &settings)?;
        let core = Core::new(folded.clone(), database, log, settings);
        Ok(Self::new(core.with_explainable(folded.clone()).with_fingerprinted(folded)))
    }

    /// Creates one for a reactor. The database keeps its position and its ledger.
    ///
    /// # Errors
    /// [`RegisterError`] if the reactor or its settings are invalid.
    pub fn reactor<R, D>(
        reactor: R,
        database: D,
        log: Arc<dyn ChangesetLog>,
        settings: reactor::Settings,
    ) -> Result<Self, RegisterError>
    where
        D: Database,
        R: Reactor,
    {
        let (adapter, settings) = (ReactorAdapter::new(reactor, settings), settings.into());
        Ok(Self::new(Core::new(checked::<D::Tx, _>(adapter, &settings)?, database, log, settings)))
    }

    fn new<D: Database>(core: Core<D>) -> Self {
        let (name, log) = (core.name().to_owned(), core.log.clone());
        let (kind, version) = (core.processor.kind(), core.processor.version());
        let workers = workers(core);
        let worker = Mutex::new(workers.on_demand());
        Self { name, kind, version, log, workers, worker }
    }

    /// Sets the clock by which the timers of a reactor are due. Default: this machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.worker.get_mut().set_clock(clock);
        self
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a handle for operators: to look at the projection, and to pause it, resume it, rebuild it, and so on. It
    /// applies nothing by itself, and needs no call in progress: each look reads the projection's row, and each action
    /// is a transaction. What takes longer than 25 s is refused, and so is what goes on after its answer
    /// ([`Handle::begin_verification`], [`Handle::begin_as_of`]): ask a process that stays, which has the same
    /// projection on the same database. An action whose future is dropped does not go on, nor does it begin later.
    ///
    /// A standby is built, and what a reactor retries is done, by the calls of
    /// [`drain_until`](Self::drain_until) and [`drain_standby_until`](Self::drain_standby_until), here or elsewhere.
    /// Rates and counts are those of this handle, so they are 0. A projection counts as
    /// [stalled](crate::Status::stalled) when what it has not applied is 2 minutes old
    /// ([`Handle::with_stalled_after`]).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn handle(&self) -> Handle {
        let Self { name, kind, version, log, workers, .. } = self;
        Handle::attending(name, *kind, *version, workers.clone(), SharedLog::new(log.clone()))
    }

    /// Applies new changesets until there are none, the projection is paused, another worker has the lease,
    /// or the deadline is near. A step that has begun is finished, so leave a margin before the end of the
    /// process. A reactor finishes the [effects](crate::reactor::Cause::effect) that have begun and begins no
    /// others. Its timers that are due fire once everything is applied.
    ///
    /// # Cancellation
    /// Safe. An unfinished step of a projection changes nothing; a reactor repeats it.
    pub async fn drain_until(&self, deadline: Instant) -> Drained {
        self.worker.lock().await.drain_until(deadline).await
    }

    /// The same for the standby: builds what a [rebuild side by side](crate::Handle::rebuild_side_by_side) or a new
    /// version has begun, compares and swaps it as planned, and lets it follow afterwards. Returns
    /// [`Drained::Elsewhere`] if there is no standby of this version (any more). Call it on a schedule, after
    /// [`drain_until`](Self::drain_until).
    ///
    /// # Cancellation
    /// Safe. An unfinished step changes nothing.
    pub async fn drain_standby_until(&self, deadline: Instant) -> Drained {
        self.worker.lock().await.drain_standby_until(deadline).await
    }

    /// Returns the checkpoint that it reads next, whichever worker moved it there.
    ///
    /// # Errors
    /// [`OperateError::Unavailable`] if its database can't be read.
    pub async fn checkpoint(&self) -> Result<Checkpoint, OperateError> {
        self.worker.lock().await.checkpoint().await
    }

    /// Returns, for each of these changesets, whether it is applied (or parked, or skipped), in their order.
    /// `false` also for a changeset that has no checkpoint in the log yet.
    ///
    /// # Errors
    /// [`OperateError::Unavailable`] if its database or the log can't be read.
    pub async fn has_passed(
        &self,
        changesets: &[(StreamId, ChangesetId)],
    ) -> Result<Vec<bool>, OperateError> {
        let mut pending = PendingChangesets::of(changesets.iter().map(|(stream_id, id)| (stream_id, *id)));
        self.look(&mut pending).await?;
        Ok(changesets.iter().map(|(stream_id, id)| pending.is_passed(stream_id, *id)).collect())
    }

    /// Updates which of these changesets it has passed.
    pub(crate) async fn look(&self, pending: &mut PendingChangesets) -> Result<(), OperateError> {
        let next = self.checkpoint().await?;
        let looked = pending.look(&*self.log, |checkpoint| checkpoint < next).await;
        looked.map_err(|e| OperateError::Unavailable(format!("the log can't be read: {e}")))
    }

    /// Returns how many changesets it is behind the log, and how many streams are parked.
    #[cfg(feature = "aws-lambda")]
    pub(crate) async fn lag_and_parked(&self) -> Result<(u64, usize), OperateError> {
        let head = self.log.head().await.map_err(StepError::from)?.checkpoint;
        let mut worker = self.worker.lock().await;
        let lag = head.get().saturating_sub(worker.checkpoint().await?.get());
        Ok((lag, worker.parked_streams().await?))
    }

    /// Returns the last error. The next success clears it.
    pub async fn last_error(&self) -> Option<Failure> {
        self.worker.lock().await.last_error()
    }
}
