//! What a worker runs: a projection or a reactor, behind one trait that hides their types.
//!
//! A worker is compiled once for each database, whatever it runs: the types of a projection's events and tables end here,
//! at the boundary of a batch, which costs one dynamic call a batch.

mod projection;
mod reactor;

use std::time::Duration;

use ees_store::{Checkpoint, LogPage};
use futures::FutureExt;
use futures::future::BoxFuture;

pub(crate) use self::projection::ProjectionAdapter;
pub(crate) use self::reactor::{Effects, ReactorAdapter};
use crate::database::Database;
use crate::error::BoxError;
use crate::projection::Order;
use crate::projection_state::{ChangesetRef, ParkedStream, ProjectionState};
use crate::status::Kind;
use crate::subscription::Subscription;
use crate::worker::batch::Batch;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::held_state::HeldState;
use crate::worker::operations::operation::OperateError;
use crate::worker::parked::{Retried, RetryPolicy};
use crate::worker::runner::Runner;

/// A projection or a reactor, as its worker runs it.
pub(crate) trait Processor<D: Database>: Send + Sync + 'static {
    fn name(&self) -> &str;
    fn kind(&self) -> Kind;
    fn version(&self) -> u32;
    fn order(&self) -> Order;
    fn subscription(&self) -> &Subscription;

    /// Reads a page of the log as its events.
    fn decode(&self, from: Checkpoint, page: LogPage) -> Batch;

    /// Applies a batch, or acts upon it, and moves the position past what was done.
    fn process<'a>(
        &'a self,
        runner: &'a mut Runner<D>,
        state: ProjectionState,
        batch: Batch,
    ) -> BoxFuture<'a, Result<(), StepError>>;

    /// How its parked streams are retried.
    fn retry_policy(&self) -> RetryPolicy;

    /// How long what it begins outside of a transaction may take.
    fn effect_timeout(&self) -> Duration {
        Duration::ZERO
    }

    /// Retries the first changeset of a parked stream. When it succeeds, the changeset is taken off the list in the same
    /// transaction.
    fn retry<'a>(
        &'a self,
        held: &'a HeldState<D>,
        stream: &'a ParkedStream,
        batch: Batch,
        changeset: ChangesetRef,
    ) -> BoxFuture<'a, Result<Retried, StepError>>;

    /// Whether larger batches are faster.
    fn prefers_large_batches(&self) -> bool {
        false
    }

    /// The row when it is started for the first time.
    fn initial_state<'a>(&'a self, core: &'a Core<D>) -> BoxFuture<'a, Result<ProjectionState, StepError>> {
        let _ = core;
        async { Ok(ProjectionState::new(self.version())) }.boxed()
    }

    /// Refuses when it has no read model that could be built anew.
    fn require_read_model(&self) -> Result<(), OperateError> {
        Ok(())
    }

    fn create_tables<'a>(&'a self, tx: &'a mut D::Tx) -> BoxFuture<'a, Result<(), BoxError>> {
        let _ = tx;
        async { Ok(()) }.boxed()
    }

    fn drop_tables<'a>(&'a self, tx: &'a mut D::Tx) -> BoxFuture<'a, Result<(), BoxError>> {
        let _ = tx;
        async { Ok(()) }.boxed()
    }

    /// Changes the tables by some of a batch's events.
    fn apply<'a>(
        &'a self,
        batch: &'a Batch,
        events: &'a [usize],
        tx: &'a mut D::Tx,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        let _ = (batch, events, tx);
        async { Ok(()) }.boxed()
    }

    /// Notes that an operator has left out a changeset.
    fn skipped<'a>(
        &'a self,
        tx: &'a mut D::Tx,
        core: &'a Core<D>,
        changeset: &'a ChangesetRef,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        let _ = (tx, core, changeset);
        async { Ok(()) }.boxed()
    }

    /// Removes old records of its own; the number removed, at most `limit`.
    fn sweep<'a>(
        &'a self,
        tx: &'a mut D::Tx,
        core: &'a Core<D>,
        limit: usize,
    ) -> BoxFuture<'a, Result<usize, BoxError>> {
        let _ = (tx, core, limit);
        async { Ok(0) }.boxed()
    }
}
