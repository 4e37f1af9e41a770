//! One running projection, as others of its process see it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::control::{AuditEntry, ParkedStream};
use crate::live::Live;
use crate::operation::{OperateError, Operation};
use crate::projection::BoxError;
use crate::reactor::{Effect, EffectQuery};
use crate::slot::Slot;
use crate::standby::Comparison;
use crate::status::{Kind, Status};
use crate::verification::{Estimate, Verifier};

pub(crate) type Reading<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

pub(crate) type Verifying<T> = Pin<Box<dyn Future<Output = Result<T, OperateError>> + Send>>;

/// What a running projection lets others read from its database.
pub(crate) trait Inspect: Send + Sync {
    fn parked(&self, slot: Slot) -> Reading<Vec<ParkedStream>>;
    fn audit(&self, limit: usize) -> Reading<Vec<AuditEntry>>;
    fn effects(&self, wanted: EffectQuery) -> Reading<Vec<Effect>>;
    fn verify(&self, progress: Arc<Live>) -> Verifying<Comparison>;
    fn estimate(&self) -> Verifying<Estimate>;
}

/// One running projection, seen from outside.
pub(crate) struct Member {
    pub(crate) kind: Kind,
    pub(crate) version: u32,
    pub(crate) live: Arc<Live>,
    pub(crate) operations: mpsc::Sender<Operation>,
    pub(crate) inspect: Box<dyn Inspect>,
    /// The read model beside it, where the database can keep one.
    pub(crate) standby: Option<Beside>,
    pub(crate) verifier: Verifier,
}

/// What works on the read model beside the live one.
pub(crate) struct Beside {
    pub(crate) live: Arc<Live>,
    pub(crate) operations: mpsc::Sender<Operation>,
}

impl Member {
    pub(crate) fn status(&self, name: &str, stalled_after: Duration) -> Status {
        let live = self.live.snapshot();
        let stalled = live.stalled(stalled_after);
        Status {
            name: name.to_owned(),
            kind: self.kind,
            version: self.version,
            state: live.state,
            owner: live.owner.clone(),
            checkpoint: live.checkpoint(),
            head: live.head,
            lag_changesets: live.lag_changesets(),
            lag_seconds: live.lag.as_secs_f64(),
            rate: live.rate(),
            rebuild: live.rebuild(),
            stalled,
            partitions: live.partitions.clone(),
            standby: self.standby.as_ref().and_then(|standby| standby.live.snapshot().as_standby()),
            pause: live.pause().cloned(),
            parked_streams: live.parked_streams,
            given_up_streams: live.given_up_streams,
            effects: (self.kind == Kind::Reactor).then_some(live.effects),
            last_error: live.failure,
        }
    }
}
