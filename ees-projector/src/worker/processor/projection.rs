//! The adapter that lets a worker run a projection.

use std::collections::HashSet;

use ees_store::event::types_of;
use ees_store::{Checkpoint, LogPage, StreamId, Timestamp};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Processor, RetryPolicy, RetryScope};
use crate::error::BoxError;
use crate::event_enum::{Objection, objection_to};
use crate::policy::{Parking, in_future};
use crate::projection::{Order, Projection, TablesChecked};
use crate::reactor::Ledger;
use crate::status::Kind;
use crate::subscription::Subscription;
use crate::worker::batch::Batch;
use crate::worker::reactor::execution::Executed;

/// A projection and its subscription.
pub(crate) struct ProjectionAdapter<P> {
    projection: P,
    subscription: Subscription,
}

impl<P> ProjectionAdapter<P> {
    pub(crate) fn new<Tx: Send>(projection: P) -> Self
    where
        P: Projection<Tx>,
    {
        Self { subscription: projection.subscription(), projection }
    }
}

impl<P> ProjectionAdapter<P> {
    pub(crate) fn projection(&self) -> &P {
        &self.projection
    }
}

impl<Tx: Send + 'static, P: Projection<Tx>> Processor<Tx> for ProjectionAdapter<P> {
    fn name(&self) -> &str {
        self.projection.name()
    }

    fn kind(&self) -> Kind {
        Kind::Projection
    }

    fn version(&self) -> u32 {
        self.projection.version()
    }

    fn order(&self) -> Order {
        self.projection.order()
    }

    fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    fn prefers_large_batches(&self) -> bool {
        self.projection.prefers_large_batches()
    }

    fn event_types(&self) -> Option<&'static [&'static str]> {
        types_of::<P::Event>()
    }

    fn objection(&self) -> Option<Objection> {
        objection_to::<P::Event>(&self.subscription.filter)
    }

    fn decode(&self, from: Checkpoint, page: LogPage) -> Batch {
        Batch::decode::<P::Event>(from, page, &self.subscription)
    }

    fn create_tables<'a>(&'a self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), BoxError>> {
        self.projection.create_tables(tx).boxed()
    }

    fn drop_tables<'a>(&'a self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), BoxError>> {
        self.projection.drop_tables(tx).boxed()
    }

    fn check_tables<'a>(
        &'a self,
        tx: &'a mut Tx,
        others: &'a [String],
    ) -> BoxFuture<'a, Result<TablesChecked, BoxError>> {
        self.projection.check_tables(tx, others).boxed()
    }

    fn apply<'a>(
        &'a self,
        batch: &'a Batch,
        events: &'a [usize],
        tx: &'a mut Tx,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        async move { self.projection.apply_batch(&batch.recorded(events), tx).await }.boxed()
    }

    /// A projection does nothing outside of the transaction.
    fn act<'a>(
        &'a self,
        batch: &'a Batch,
        _: &'a HashSet<StreamId>,
        _: &'a dyn Ledger,
    ) -> BoxFuture<'a, Executed> {
        async { Executed::of_projection(batch) }.boxed()
    }

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            streams_at_once: 1,
            streams_max: usize::MAX,
            scope: RetryScope::OnePortion,
            operator_waits: true,
        }
    }

    fn retry_at(&self, parking: Parking, _: &BoxError, attempts: u32, _: Timestamp) -> Option<Timestamp> {
        Some(in_future(parking.retry_after(attempts.saturating_sub(1))))
    }
}
