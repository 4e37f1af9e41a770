//! A worker that works when it is told to.

use std::time::Instant;

use ees_store::Checkpoint;
use futures::future::BoxFuture;

use crate::database::{Database, Transaction};
use crate::operation::OperateError;
use crate::projection::Projection;
use crate::status::Failure;
use crate::worker::error::StepError;
use crate::worker::runner::{Drained, Runner};

/// A worker whose types are of no interest to the host.
pub(crate) trait Drains: Send {
    fn drain_until(&mut self, deadline: Instant) -> BoxFuture<'_, Drained>;
    /// How far the projection got, whoever took it there.
    fn stands_at(&mut self) -> BoxFuture<'_, Result<Checkpoint, OperateError>>;
    fn last_error(&self) -> Option<Failure>;
}

impl<P, D> Drains for Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    fn drain_until(&mut self, deadline: Instant) -> BoxFuture<'_, Drained> {
        Box::pin(async move {
            // A call that was cut short, or another host: what is remembered may be the past.
            self.control = None;
            Runner::drain_until(self, deadline).await
        })
    }

    fn stands_at(&mut self) -> BoxFuture<'_, Result<Checkpoint, OperateError>> {
        Box::pin(async move {
            self.control = None;
            let control = self.load().await?;
            if control.split.is_none() {
                return Ok(control.position.next);
            }
            let mut tx = self.core.begin().await?;
            let rows = tx.partitions(self.core.name(), false).await.map_err(StepError::Database)?;
            let last = rows.iter().map(|row| row.control.position.next).min();
            Ok(last.unwrap_or(control.position.next))
        })
    }

    fn last_error(&self) -> Option<Failure> {
        self.live.snapshot().failure
    }
}
