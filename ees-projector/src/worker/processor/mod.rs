//! What a worker runs: a projection or a reactor, behind one trait that hides their types.
//!
//! A worker is compiled once for each database, whatever it runs: the types of a projection's events and tables end here,
//! at the boundary of a batch, which costs one dynamic call a batch.

pub(crate) mod projection;
pub(crate) mod reactor;
mod retry_policy;

use std::collections::HashSet;
use std::time::Duration;

use ees_store::{ChangesetLog, Checkpoint, LogPage, StreamId, Timestamp};
use futures::FutureExt;
use futures::future::BoxFuture;

pub(crate) use self::retry_policy::{RetryPolicy, RetryScope};
use crate::error::BoxError;
use crate::policy::Parking;
use crate::projection::Order;
use crate::projection_state::{ChangesetRef, ParkedStream, ProjectionState};
use crate::reactor::Ledger;
use crate::read_model_id::ReadModelId;
use crate::status::Kind;
use crate::subscription::Subscription;
use crate::worker::batch::Batch;
use crate::worker::error::StepError;
use crate::worker::operations::operation::OperateError;
use crate::worker::reactor::execution::Executed;

/// A projection or a reactor, as its worker runs it: what it does outside of a transaction (a reactor), then what it
/// changes inside of one (a projection).
pub(crate) trait Processor<Tx: Send>: Send + Sync + 'static {
    fn name(&self) -> &str;
    fn kind(&self) -> Kind;
    fn version(&self) -> u32;
    fn order(&self) -> Order;
    fn subscription(&self) -> &Subscription;

    /// Reads a page of the log as its events.
    fn decode(&self, from: Checkpoint, page: LogPage) -> Batch;

    /// How its parked streams are retried.
    fn retry_policy(&self) -> RetryPolicy;

    /// When a changeset is retried that has failed so often, since then; `None` when it is given up.
    fn retry_at(
        &self,
        parking: Parking,
        error: &BoxError,
        attempts: u32,
        since: Timestamp,
    ) -> Option<Timestamp>;

    /// Acts upon a batch with no transaction open, but for the streams that are parked.
    fn act<'a>(
        &'a self,
        batch: &'a Batch,
        parked: &'a HashSet<StreamId>,
        ledger: &'a dyn Ledger,
    ) -> BoxFuture<'a, Executed>;

    /// Changes its tables by some of a batch's events.
    fn apply<'a>(
        &'a self,
        batch: &'a Batch,
        events: &'a [usize],
        tx: &'a mut Tx,
    ) -> BoxFuture<'a, Result<(), BoxError>>;

    fn create_tables<'a>(&'a self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), BoxError>>;

    fn drop_tables<'a>(&'a self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), BoxError>>;

    /// Whether larger batches are faster.
    fn prefers_large_batches(&self) -> bool {
        false
    }

    /// Refuses when it has no read model that could be built anew.
    fn require_read_model(&self) -> Result<(), OperateError> {
        Ok(())
    }

    /// How long what it begins outside of a transaction may take.
    fn effect_timeout(&self) -> Duration {
        Duration::ZERO
    }

    /// The row when it is started for the first time.
    fn initial_state<'a>(
        &'a self,
        log: &'a dyn ChangesetLog,
    ) -> BoxFuture<'a, Result<ProjectionState, StepError>> {
        let _ = log;
        async { Ok(ProjectionState::new(self.version())) }.boxed()
    }

    /// How a parked stream stands after its first changeset has got through; `None` when nothing is to be noted.
    fn parked_after(&self, changeset: &ChangesetRef) -> Option<ParkedStream> {
        let _ = changeset;
        None
    }

    /// Notes that an operator has left out a changeset.
    fn skipped<'a>(
        &'a self,
        tx: &'a mut Tx,
        model: &'a ReadModelId,
        changeset: &'a ChangesetRef,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        let _ = (tx, model, changeset);
        async { Ok(()) }.boxed()
    }

    /// Removes old records of its own; the number removed, at most `limit`.
    fn sweep<'a>(
        &'a self,
        tx: &'a mut Tx,
        model: &'a ReadModelId,
        limit: usize,
    ) -> BoxFuture<'a, Result<usize, BoxError>> {
        let _ = (tx, model, limit);
        async { Ok(0) }.boxed()
    }
}
