//! A running projection, as the rest of its process sees it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::verification::Verifier;
use crate::projection_state::{AuditEntry, ParkedStream};
use crate::reactor::{Effect, EffectQuery};
use crate::read_model_id::Slot;
use crate::standby::Comparison;
use crate::status::{Kind, Status};
use crate::worker::operations::operation::{OperateError, Operation};
use crate::worker::side_by_side::estimate::Estimate;
use crate::worker::worker_status::WorkerStatus;

pub(crate) type Inspecting<T> = BoxFuture<'static, Result<T, OperateError>>;

/// The queries of a running projection's database.
pub(crate) trait Inspect: Send + Sync {
    fn parked(&self, slot: Slot) -> Inspecting<Vec<ParkedStream>>;
    fn audit(&self, limit: usize) -> Inspecting<Vec<AuditEntry>>;
    fn effects(&self, wanted: EffectQuery) -> Inspecting<Vec<Effect>>;
    fn verify(&self, progress: Arc<WorkerStatus>) -> Inspecting<Comparison>;
    fn estimate(&self) -> Inspecting<Estimate>;
}

/// A running projection, as the rest of its process sees it.
pub(crate) struct RunningProjection {
    pub(crate) kind: Kind,
    pub(crate) version: u32,
    pub(crate) status: Arc<WorkerStatus>,
    pub(crate) operations: mpsc::Sender<Operation>,
    pub(crate) inspect: Box<dyn Inspect>,
    /// `None` if the database can't build side by side.
    pub(crate) standby: Option<StandbyWorker>,
    pub(crate) verifier: Verifier,
}

/// The worker of the standby.
pub(crate) struct StandbyWorker {
    pub(crate) status: Arc<WorkerStatus>,
    pub(crate) operations: mpsc::Sender<Operation>,
}

impl RunningProjection {
    pub(crate) fn describe(&self, name: &str, stalled_after: Duration) -> Status {
        let seen = self.status.snapshot();
        let stalled = seen.stalled(stalled_after);
        Status {
            name: name.to_owned(),
            kind: self.kind,
            version: self.version,
            state: seen.state,
            owner: seen.owner.clone(),
            checkpoint: seen.checkpoint(),
            head: seen.head,
            lag_changesets: seen.lag_changesets(),
            lag_seconds: seen.lag.as_secs_f64(),
            rate: seen.rate(),
            rebuild: seen.rebuild(),
            stalled,
            partitions: seen.partitions.clone(),
            standby: self.standby.as_ref().and_then(|standby| standby.status.snapshot().as_standby()),
            pause: seen.pause().cloned(),
            parked_streams: seen.parked_streams,
            given_up_streams: seen.given_up_streams,
            skipped: seen.skipped(),
            events: seen.events.counts,
            effects: (self.kind == Kind::Reactor).then_some(seen.effects),
            last_error: seen.failure,
        }
    }
}
