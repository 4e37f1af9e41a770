//! Projections and reactors for hosts that do not stay, or that are told when there is something to do.

use std::sync::Arc;
use std::time::Instant;

use ees_store::{ChangesetId, ChangesetLog, Checkpoint, StreamId};
use tokio::sync::Mutex;

use super::pending_changesets::PendingChangesets;
use super::registration::{RegisterError, checked};
use crate::database::{Database, FoldRows};
use crate::fold::{Fold, Folded};
use crate::projection::Projection;
use crate::reactor::{self, Reactor};
use crate::settings::Settings;
use crate::status::Failure;
use crate::worker::core::Core;
use crate::worker::on_demand::OnDemandWorker;
use crate::worker::operations::operation::OperateError;
use crate::worker::outcome::Drained;
use crate::worker::processor::Processor;
use crate::worker::processor::projection::ProjectionAdapter;
use crate::worker::processor::reactor::ReactorAdapter;
use crate::worker::runner::Runner;
use crate::worker::worker_status::WorkerStatus;

/// A projection or a reactor that works when it is told to: what AWS Lambda functions and scheduled jobs are made of.
///
/// A process that stays takes a [`Projector`](crate::Projector) instead. Both may be at work in the same projection at
/// once: one of the two loses each step, and changes nothing.
///
/// Made once and kept over calls; calls that come at the same time wait for one another.
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
    log: Arc<dyn ChangesetLog>,
    worker: Mutex<Box<dyn OnDemandWorker>>,
}

impl OnDemand {
    /// A projection onto a database.
    ///
    /// # Errors
    /// [`RegisterError`].
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
        Ok(Self::new(checked(ProjectionAdapter::new(projection), &settings)?, database, log, settings))
    }

    /// A fold onto a database.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn fold<F, D>(
        fold: F,
        database: D,
        log: Arc<dyn ChangesetLog>,
        settings: Settings,
    ) -> Result<Self, RegisterError>
    where
        D: Database,
        D::Tx: FoldRows,
        F: Fold,
    {
        Self::projection(Folded::checked(fold)?, database, log, settings)
    }

    /// A reactor, whose position is kept in a database.
    ///
    /// # Errors
    /// [`RegisterError`].
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
        Ok(Self::new(checked(adapter, &settings)?, database, log, settings))
    }

    fn new<D: Database>(
        processor: Arc<dyn Processor<D::Tx>>,
        database: D,
        log: Arc<dyn ChangesetLog>,
        settings: Settings,
    ) -> Self {
        let name = processor.name().to_owned();
        let core = Arc::new(Core::new(processor, database, log.clone(), settings));
        let worker: Box<dyn OnDemandWorker> = Box::new(Runner::new(core, Arc::new(WorkerStatus::new())));
        Self { name, log, worker: Mutex::new(worker) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Applies what is new, then returns: when there is nothing new any more, when it is paused or another worker is at
    /// work in it, or when the deadline is near. A step that has begun is finished, so leave it a margin; of a reactor, an
    /// [effect](crate::reactor::Cause::effect) that has begun, and no other is begun then.
    ///
    /// # Cancellation
    /// Safe: what was begun leaves no trace (of a projection), or is done again (by a reactor).
    pub async fn drain_until(&self, deadline: Instant) -> Drained {
        self.worker.lock().await.drain_until(deadline).await
    }

    /// The checkpoint it reads next, whoever took it there.
    ///
    /// # Errors
    /// [`OperateError::Unavailable`] when its database can't be read.
    pub async fn stands_at(&self) -> Result<Checkpoint, OperateError> {
        self.worker.lock().await.stands_at().await
    }

    /// Of these changesets, which it has applied (or parked, or skipped), in their order. `false` also for one that has no
    /// place in the log yet.
    ///
    /// # Errors
    /// [`OperateError::Unavailable`] when its database or the log can't be read.
    pub async fn has_passed(
        &self,
        changesets: &[(StreamId, ChangesetId)],
    ) -> Result<Vec<bool>, OperateError> {
        let mut passing = PendingChangesets::of(changesets.iter().map(|(stream_id, id)| (stream_id, *id)));
        self.look(&mut passing).await?;
        Ok(changesets.iter().map(|(stream_id, id)| passing.is_passed(stream_id, *id)).collect())
    }

    /// Looks which of these it is past by now.
    pub(crate) async fn look(&self, passing: &mut PendingChangesets) -> Result<(), OperateError> {
        let next = self.stands_at().await?;
        let looked = passing.look(&*self.log, |place| place < next).await;
        looked.map_err(|e| OperateError::Unavailable(format!("the log can't be read: {e}")))
    }

    /// What went wrong last, until it went right again.
    pub async fn last_error(&self) -> Option<Failure> {
        self.worker.lock().await.last_error()
    }
}
