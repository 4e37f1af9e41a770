//! What a worker runs: a projection or a reactor, behind one trait that hides their types.
//!
//! A worker is compiled once for each database, whatever it runs. The types of a projection's events and
//! tables end at this trait, which costs one dynamic call for each batch.

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
use crate::event_enum::Objection;
use crate::policy::Parking;
use crate::projection::{Order, TablesChecked};
use crate::projection_state::{ChangesetRef, ParkedStream, ProjectionState};
use crate::reactor::{Ledger, Timer};
use crate::read_model_id::ReadModelId;
use crate::status::Kind;
use crate::subscription::Subscription;
use crate::worker::batch::Batch;
use crate::worker::error::StepError;
use crate::worker::operations::operation::OperateError;
use crate::worker::reactor::execution::Executed;

/// A projection or a reactor, as its worker runs it. A reactor acts outside of a transaction; a projection
/// writes inside of it.
pub(crate) trait Processor<Tx: Send>: Send + Sync + 'static {
    fn name(&self) -> &str;
    fn kind(&self) -> Kind;
    fn version(&self) -> u32;
    fn order(&self) -> Order;
    fn subscription(&self) -> &Subscription;

    /// Returns the event types that it knows; `None` if it takes every event.
    fn event_types(&self) -> Option<&'static [&'static str]>;

    /// Returns why its event type does not tell events apart, if that is so.
    fn objection(&self) -> Option<Objection>;

    /// Decodes a page of the log as its events.
    fn decode(&self, from: Checkpoint, page: LogPage) -> Batch;

    /// Returns how its parked streams are retried.
    fn retry_policy(&self) -> RetryPolicy;

    /// Returns the time of the next retry of a changeset that failed `attempts` times since `since`, or
    /// `None` if its stream is given up.
    fn retry_at(
        &self,
        parking: Parking,
        error: &BoxError,
        attempts: u32,
        since: Timestamp,
    ) -> Option<Timestamp>;

    /// Acts on a batch with no transaction open, except on parked streams.
    fn act<'a>(
        &'a self,
        batch: &'a Batch,
        parked: &'a HashSet<StreamId>,
        ledger: &'a dyn Ledger,
    ) -> BoxFuture<'a, Executed>;

    /// Fires timers with no transaction open, those of a stream in their order. Only a reactor has any.
    fn fire<'a>(&'a self, timers: Vec<Timer>, ledger: &'a dyn Ledger) -> BoxFuture<'a, bool> {
        let _ = (timers, ledger);
        async { true }.boxed()
    }

    /// Changes its tables by some of a batch's events.
    fn apply<'a>(
        &'a self,
        batch: &'a Batch,
        events: &'a [usize],
        tx: &'a mut Tx,
    ) -> BoxFuture<'a, Result<(), BoxError>>;

    fn create_tables<'a>(&'a self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), BoxError>>;

    fn drop_tables<'a>(&'a self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), BoxError>>;

    /// Compares its tables with those that it would create.
    fn check_tables<'a>(
        &'a self,
        tx: &'a mut Tx,
        others: &'a [String],
    ) -> BoxFuture<'a, Result<TablesChecked, BoxError>> {
        let _ = (tx, others);
        async { Ok(TablesChecked::default()) }.boxed()
    }

    /// Returns `true` if larger batches are faster.
    fn prefers_large_batches(&self) -> bool {
        false
    }

    /// Returns an error if it has no read model that could be rebuilt.
    fn require_read_model(&self) -> Result<(), OperateError> {
        Ok(())
    }

    /// Returns the longest time that an effect may take.
    fn effect_timeout(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns how far back its ledger goes, or why its effects can't be previewed. Only a reactor has any.
    fn ledger_keeps(&self) -> Result<Duration, OperateError> {
        Ok(Duration::ZERO)
    }

    /// Returns the row for its first start.
    fn initial_state<'a>(
        &'a self,
        log: &'a dyn ChangesetLog,
    ) -> BoxFuture<'a, Result<ProjectionState, StepError>> {
        let _ = log;
        async { Ok(ProjectionState::new(self.version())) }.boxed()
    }

    /// Returns the parked stream after its first changeset has succeeded, or `None` if there is nothing
    /// to record.
    fn parked_after(&self, changeset: &ChangesetRef) -> Option<ParkedStream> {
        let _ = changeset;
        None
    }

    /// Records that an operator skipped a changeset.
    fn skipped<'a>(
        &'a self,
        tx: &'a mut Tx,
        model: &'a ReadModelId,
        changeset: &'a ChangesetRef,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        let _ = (tx, model, changeset);
        async { Ok(()) }.boxed()
    }

    /// Deletes up to `limit` old records of its own. Returns their number.
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
