//! A running projection, as the rest of its process sees it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::job::Job;
use super::verification::Verifier;
use crate::as_of::{AsOf, Built};
use crate::read_model_id::Slot;
use crate::status::{Kind, Status};
use crate::worker::explain::progress::Progress;
use crate::worker::operations::operation::Operation;
use crate::worker::worker_status::WorkerStatus;
use crate::worker::workers::Workers;

/// The time after which a projection that is behind and does not move counts as stalled, unless it is set.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(120);

/// A running projection, as the rest of its process sees it.
pub(crate) struct RunningProjection {
    pub(crate) kind: Kind,
    pub(crate) version: u32,
    pub(crate) status: Arc<WorkerStatus>,
    pub(crate) operations: mpsc::Sender<Operation>,
    pub(crate) workers: Arc<dyn Workers>,
    /// `None` if the database can't build side by side.
    pub(crate) standby: Option<StandbyWorker>,
    pub(crate) verifier: Verifier,
    /// Builds copies as the read model was.
    pub(crate) copier: Job<AsOf, Built>,
    /// How far the explanation of a row is.
    pub(crate) explaining: Arc<Progress>,
}

/// The worker of the standby.
pub(crate) struct StandbyWorker {
    pub(crate) status: Arc<WorkerStatus>,
    pub(crate) operations: mpsc::Sender<Operation>,
}

impl RunningProjection {
    /// Starts the workers of a projection: of the live read model, and of the standby if the database can have one.
    /// `spawn` runs the one of a slot, which tells of itself in the status and takes operations from the queue.
    pub(super) fn start(
        kind: Kind,
        version: u32,
        workers: Arc<dyn Workers>,
        spawn: impl Fn(&dyn Workers, Slot, Arc<WorkerStatus>, mpsc::Receiver<Operation>),
    ) -> Self {
        let begin = |slot| {
            let status = Arc::new(WorkerStatus::new());
            let (operations, queue) = mpsc::channel(16);
            spawn(&*workers, slot, status.clone(), queue);
            (status, operations)
        };
        let standby = workers.has_standby().then(|| {
            let (status, operations) = begin(Slot::Standby);
            StandbyWorker { status, operations }
        });
        let (status, operations) = begin(Slot::Live);
        Self {
            kind,
            version,
            status,
            operations,
            workers,
            standby,
            verifier: Verifier::default(),
            copier: Job::default(),
            explaining: Arc::default(),
        }
    }

    /// Describes the projection. One that other hosts run is stalled too if it is left behind.
    pub(crate) fn describe(&self, name: &str, stalled_after: Duration, is_run_elsewhere: bool) -> Status {
        let standby = self.standby.as_ref().and_then(|standby| standby.status.snapshot().as_standby());
        Status { standby, ..self.describe_worker(name, &self.status, stalled_after, is_run_elsewhere) }
    }

    /// Describes the standby, if there is one.
    pub(crate) fn describe_standby(
        &self,
        name: &str,
        stalled_after: Duration,
        is_run_elsewhere: bool,
    ) -> Option<Status> {
        let standby = &self.standby.as_ref()?.status;
        standby
            .snapshot()
            .as_standby()
            .map(|_| self.describe_worker(name, standby, stalled_after, is_run_elsewhere))
    }

    fn describe_worker(
        &self,
        name: &str,
        worker: &WorkerStatus,
        stalled_after: Duration,
        is_run_elsewhere: bool,
    ) -> Status {
        let seen = worker.snapshot();
        let left_behind = || seen.left_behind(stalled_after).filter(|_| is_run_elsewhere);
        let stalled = seen.stalled(stalled_after).or_else(left_behind);
        Status {
            name: name.to_owned(),
            kind: self.kind,
            version: self.version,
            state: seen.state,
            owner: seen.owner.clone(),
            checkpoint: seen.checkpoint(),
            head: seen.head,
            lag_changesets: seen.lag_changesets(),
            lag_seconds: seen.lag().as_secs_f64(),
            rate: seen.rate(),
            rebuild: seen.rebuild(),
            stalled,
            partitions: seen.partitions.clone(),
            standby: None,
            pause: seen.pause().cloned(),
            parked_streams: seen.parked_streams,
            given_up_streams: seen.given_up_streams,
            skipped: seen.skipped(),
            // While segments are read, it is that of no checkpoint.
            fingerprint: seen
                .row
                .as_ref()
                .filter(|row| row.segment.is_none())
                .and_then(|row| row.fingerprint),
            events: seen.events.counts,
            effects: (self.kind == Kind::Reactor).then(|| worker.figures().effects()),
            last_error: seen.failure,
        }
    }
}
