//! A worker for hosts that do not stay.

use std::sync::Arc;
use std::time::Instant;

use ees_store::Checkpoint;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::clock::Clock;
use crate::database::{Database, Transaction};
use crate::status::Failure;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::operations::operation::OperateError;
use crate::worker::outcome::Drained;
use crate::worker::runner::Runner;
use crate::worker::worker_status::WorkerStatus;

/// A worker with its database's type hidden from the host.
pub(crate) trait OnDemandWorker: Send {
    fn drain_until(&mut self, deadline: Instant) -> BoxFuture<'_, Drained>;
    fn drain_standby_until(&mut self, deadline: Instant) -> BoxFuture<'_, Drained>;
    /// Returns the checkpoint that the projection reads next, whichever worker moved it there.
    fn checkpoint(&mut self) -> BoxFuture<'_, Result<Checkpoint, OperateError>>;
    /// Returns how many streams are parked.
    #[cfg(feature = "aws-lambda")]
    fn parked_streams(&mut self) -> BoxFuture<'_, Result<usize, OperateError>>;
    fn last_error(&self) -> Option<Failure>;
    fn set_clock(&mut self, clock: Clock);
}

/// The workers of the live read model and of its standby.
pub(crate) struct OnDemandRunners<D: Database> {
    live: Runner<D>,
    /// `None` if the projection can't have one.
    standby: Option<Runner<D>>,
}

impl<D: Database> OnDemandRunners<D> {
    pub(crate) fn new(live: Arc<Core<D>>, standby: Option<Arc<Core<D>>>) -> Self {
        let runner = |core| Runner::new(core, Arc::new(WorkerStatus::new()));
        Self { live: runner(live), standby: standby.map(runner) }
    }
}

impl<D: Database> OnDemandWorker for OnDemandRunners<D> {
    fn drain_until(&mut self, deadline: Instant) -> BoxFuture<'_, Drained> {
        self.live.drain_anew_until(deadline).boxed()
    }

    fn drain_standby_until(&mut self, deadline: Instant) -> BoxFuture<'_, Drained> {
        async move {
            match &mut self.standby {
                Some(standby) => standby.drain_anew_until(deadline).await,
                None => Drained::Elsewhere,
            }
        }
        .boxed()
    }

    fn checkpoint(&mut self) -> BoxFuture<'_, Result<Checkpoint, OperateError>> {
        self.live.position().boxed()
    }

    #[cfg(feature = "aws-lambda")]
    fn parked_streams(&mut self) -> BoxFuture<'_, Result<usize, OperateError>> {
        async move { Ok(self.live.core.parked().await?.len()) }.boxed()
    }

    fn last_error(&self) -> Option<Failure> {
        self.live.status.snapshot().failure
    }

    fn set_clock(&mut self, clock: Clock) {
        self.live.core = Arc::new(self.live.core.with_clock(clock));
    }
}

impl<D: Database> Runner<D> {
    async fn drain_anew_until(&mut self, deadline: Instant) -> Drained {
        // The last call may have been cut short, and other hosts may have run since: the cache may be outdated.
        self.state.forget();
        self.timers.unread();
        self.drain_until(deadline).await
    }

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
