//! A worker for hosts that do not stay.

use std::sync::Arc;
use std::time::Instant;

use ees_store::Checkpoint;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::clock::Clock;
use crate::database::{Database, Transaction};
use crate::status::Failure;
use crate::worker::error::StepError;
use crate::worker::operations::operation::OperateError;
use crate::worker::outcome::Drained;
use crate::worker::runner::Runner;

/// A worker with its database's type hidden from the host.
pub(crate) trait OnDemandWorker: Send {
    fn drain_until(&mut self, deadline: Instant) -> BoxFuture<'_, Drained>;
    /// Returns the checkpoint that the projection reads next, whichever worker moved it there.
    fn checkpoint(&mut self) -> BoxFuture<'_, Result<Checkpoint, OperateError>>;
    fn last_error(&self) -> Option<Failure>;
    fn set_clock(&mut self, clock: Clock);
}

impl<D: Database> OnDemandWorker for Runner<D> {
    fn drain_until(&mut self, deadline: Instant) -> BoxFuture<'_, Drained> {
        async move {
            // The last call may have been cut short, and other hosts may have run since: the cache may be
            // outdated.
            self.state.forget();
            self.timers.unread();
            Runner::drain_until(self, deadline).await
        }
        .boxed()
    }

    fn checkpoint(&mut self) -> BoxFuture<'_, Result<Checkpoint, OperateError>> {
        self.position().boxed()
    }

    fn last_error(&self) -> Option<Failure> {
        self.status.snapshot().failure
    }

    fn set_clock(&mut self, clock: Clock) {
        self.core = Arc::new(self.core.with_clock(clock));
    }
}

impl<D: Database> Runner<D> {
    async fn position(&mut self) -> Result<Checkpoint, OperateError> {
        let state = match self.reload().await {
            Err(StepError::ClaimedElsewhere(_)) => self.stored().await?,
            read => read?,
        };
        if state.split.is_none() {
            return Ok(state.position.next);
        }
        let core = self.core.clone();
        let rows =
            self.core.read(move |tx| async move { Ok(tx.partitions(core.id(), false).await?) }.boxed());
        let last = rows.await?.iter().map(|row| row.state.position.next).min();
        Ok(last.unwrap_or(state.position.next))
    }
}
