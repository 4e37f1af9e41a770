//! A projection as what a worker runs.

use std::sync::Arc;

use ees_store::{Checkpoint, LogPage};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::Processor;
use crate::database::{Database, ParkedRows};
use crate::error::BoxError;
use crate::policy::in_future;
use crate::projection::{Order, Projection};
use crate::projection_state::{ChangesetRef, ParkedStream, ProjectionState};
use crate::status::Kind;
use crate::subscription::Subscription;
use crate::worker::batch::Batch;
use crate::worker::error::StepError;
use crate::worker::held_state::HeldState;
use crate::worker::parked::{Retried, RetryPolicy, RetryScope};
use crate::worker::runner::Runner;

/// A projection and what it subscribes to.
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

impl<D: Database, P: Projection<D::Tx>> Processor<D> for ProjectionAdapter<P> {
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

    fn decode(&self, from: Checkpoint, page: LogPage) -> Batch {
        Batch::decode::<P::Event>(from, page, &self.subscription)
    }

    fn create_tables<'a>(&'a self, tx: &'a mut D::Tx) -> BoxFuture<'a, Result<(), BoxError>> {
        self.projection.create_tables(tx).boxed()
    }

    fn drop_tables<'a>(&'a self, tx: &'a mut D::Tx) -> BoxFuture<'a, Result<(), BoxError>> {
        self.projection.drop_tables(tx).boxed()
    }

    fn apply<'a>(
        &'a self,
        batch: &'a Batch,
        events: &'a [usize],
        tx: &'a mut D::Tx,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        async move { self.projection.apply_batch(&batch.recorded(events), tx).await }.boxed()
    }

    fn process<'a>(
        &'a self,
        runner: &'a mut Runner<D>,
        state: ProjectionState,
        batch: Batch,
    ) -> BoxFuture<'a, Result<(), StepError>> {
        runner.apply_batch(state, batch).boxed()
    }

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            streams_at_once: 1,
            streams_max: usize::MAX,
            scope: RetryScope::OnePortion,
            operator_waits: true,
        }
    }

    fn retry<'a>(
        &'a self,
        held: &'a HeldState<D>,
        stream: &'a ParkedStream,
        batch: Batch,
        changeset: ChangesetRef,
    ) -> BoxFuture<'a, Result<Retried, StepError>> {
        async move {
            let applied = match batch.unreadable.get(&0) {
                Some(error) => Err(error.to_string()),
                None => apply_parked(held, batch, changeset).await?,
            };
            Ok(match applied {
                Ok(()) => Retried::Succeeded(stream.clone()),
                Err(error) => Retried::Failed(ParkedStream {
                    attempts: stream.attempts.saturating_add(1),
                    error,
                    retry_at: Some(in_future(held.core().settings.parking().retry_after(stream.attempts))),
                    ..stream.clone()
                }),
            })
        }
        .boxed()
    }
}

/// Applies a parked changeset in the transaction that takes it off the list; or what it failed with.
async fn apply_parked<D: Database>(
    held: &HeldState<D>,
    batch: Batch,
    changeset: ChangesetRef,
) -> Result<Result<(), String>, StepError> {
    let (core, at) = (held.core().clone(), held.position().await);
    let (batch, parked) = (Arc::new(batch), changeset.clone());
    let applied = held.change(Some(changeset), move |tx| {
        async move {
            if !tx.unpark(core.id(), &parked.stream_id, parked.checkpoint).await? {
                return Err(StepError::Fenced);
            }
            let events: Vec<_> = batch.events_of(0..1).collect();
            core.apply_events(&batch, &events, at, parked, tx).await
        }
        .boxed()
    });
    match applied.await {
        Ok(()) => Ok(Ok(())),
        Err(StepError::Failed { error, .. } | StepError::TooLarge { error, .. }) => Ok(Err(error)),
        Err(other) => Err(other),
    }
}
