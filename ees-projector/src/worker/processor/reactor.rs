//! A reactor as what a worker runs: what it does, it does before the transaction.

use std::collections::HashSet;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use ees_store::{Checkpoint, LogPage, Timestamp};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::Processor;
use crate::database::{Database, LedgerRows, ParkedRows};
use crate::error::{BoxError, cause_of, chain, is_caused_by, panicked};
use crate::policy::in_past;
use crate::projection::Order;
use crate::projection_state::{ChangesetRef, ParkedStream, ProjectionState};
use crate::reactor::{
    Cause, EffectState, Interrupted, Ledger, PermanentError, Reactor, RetryAfter, Settings, Start, Unfinished,
};
use crate::status::Kind;
use crate::subscription::Subscription;
use crate::worker::batch::Batch;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::held_state::HeldState;
use crate::worker::operations::operation::OperateError;
use crate::worker::parked::{Retried, RetryPolicy, RetryScope};
use crate::worker::reactor::execution::execute;
use crate::worker::runner::Runner;

/// The version in a reactor's row. Those of projections count from 1: neither takes the other's row for its own.
const VERSION: u32 = 0;

/// What a reactor does outside of the transaction.
pub(crate) trait Effects: Send + Sync {
    /// Acts upon some of a batch's events.
    fn react<'a>(
        &'a self,
        batch: &'a Batch,
        events: &'a [usize],
        ledger: &'a dyn Ledger,
    ) -> BoxFuture<'a, Result<(), Interrupted>>;

    /// How it is run.
    fn settings(&self) -> &Settings;

    /// Whether an error passes by itself.
    fn is_transient(&self, error: &(dyn Error + 'static)) -> bool;

    /// When a changeset is retried that has failed so often, since then; `None` when it is given up.
    fn retry_at(&self, error: &BoxError, attempts: u32, since: Timestamp) -> Option<Timestamp> {
        if is_caused_by::<PermanentError>(&**error) {
            return None;
        }
        let earliest = cause_of::<RetryAfter>(&**error).map(|refused| refused.wait).unwrap_or_default();
        self.settings().retry_at(attempts, since, earliest)
    }
}

/// A reactor and how it is run.
pub(crate) struct ReactorAdapter<R> {
    reactor: R,
    subscription: Subscription,
    settings: Settings,
}

impl<R: Reactor> ReactorAdapter<R> {
    pub(crate) fn new(reactor: R, settings: Settings) -> Self {
        Self { subscription: reactor.subscription(), reactor, settings }
    }
}

impl<R: Reactor> Effects for ReactorAdapter<R> {
    fn react<'a>(
        &'a self,
        batch: &'a Batch,
        events: &'a [usize],
        ledger: &'a dyn Ledger,
    ) -> BoxFuture<'a, Result<(), Interrupted>> {
        async move {
            let name = self.reactor.name();
            let events = batch.recorded::<R::Event>(events);
            let causes: Vec<_> = events.iter().map(|event| Cause::new(*event, name, ledger)).collect();
            let reacted = AssertUnwindSafe(self.reactor.react_batch(&causes)).catch_unwind().await;
            reacted
                .unwrap_or_else(|panic| Err(Interrupted { done: 0, error: panicked("the reactor", &*panic) }))
        }
        .boxed()
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn is_transient(&self, error: &(dyn Error + 'static)) -> bool {
        self.reactor.is_transient(error)
    }
}

impl<D: Database, R: Reactor> Processor<D> for ReactorAdapter<R> {
    fn name(&self) -> &str {
        self.reactor.name()
    }

    fn kind(&self) -> Kind {
        Kind::Reactor
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn order(&self) -> Order {
        Order::Stream
    }

    fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    fn decode(&self, from: Checkpoint, page: LogPage) -> Batch {
        Batch::decode::<R::Event>(from, page, &self.subscription)
    }

    /// Where [`Settings::start`] says.
    fn initial_state<'a>(&'a self, core: &'a Core<D>) -> BoxFuture<'a, Result<ProjectionState, StepError>> {
        async move {
            let state = ProjectionState::new(VERSION);
            let head = core.log.head().await?;
            let from = match self.settings.start {
                Start::Now => head.checkpoint,
                Start::Beginning => state.position.next,
                Start::At(checkpoint) if checkpoint > head.checkpoint => {
                    return Err(StepError::Setup(format!(
                        "it can't start at checkpoint {checkpoint}: the log ends before {}",
                        head.checkpoint
                    )));
                }
                Start::At(checkpoint) => checkpoint,
            };
            tracing::info!(reactor = core.name(), checkpoint = from.get(), "a new reactor begins");
            Ok(state.advanced(from, head.log_id, None))
        }
        .boxed()
    }

    /// What was done outside can't be taken back, and is not done again because somebody wants a table anew.
    fn require_read_model(&self) -> Result<(), OperateError> {
        Err(OperateError::IsReactor { name: self.reactor.name().to_owned() })
    }

    fn process<'a>(
        &'a self,
        runner: &'a mut Runner<D>,
        state: ProjectionState,
        batch: Batch,
    ) -> BoxFuture<'a, Result<(), StepError>> {
        runner.react(self, state, batch).boxed()
    }

    fn retry_policy(&self) -> RetryPolicy {
        let streams_at_once = self.settings.streams_at_once.max(1);
        RetryPolicy {
            streams_at_once,
            // So that what is new gets its turn in between.
            streams_max: streams_at_once,
            scope: RetryScope::UntilTheEnd,
            // What it does may take long.
            operator_waits: false,
        }
    }

    fn effect_timeout(&self) -> Duration {
        self.settings.effect_timeout
    }

    fn retry<'a>(
        &'a self,
        held: &'a HeldState<D>,
        stream: &'a ParkedStream,
        batch: Batch,
        changeset: ChangesetRef,
    ) -> BoxFuture<'a, Result<Retried, StepError>> {
        async move {
            let executed = execute(self, &batch, &HashSet::new(), held).await;
            held.interruption()?;
            if let Some(failed) = executed.failed.into_values().next() {
                let attempts = stream.attempts.saturating_add(1);
                let (error, retry_at) = (&failed.error, self.retry_at(&failed.error, attempts, stream.since));
                let failed = ParkedStream { attempts, error: chain(&**error), retry_at, ..stream.clone() };
                return Ok(Retried::Failed(failed));
            }
            if let Some(error) = executed.error {
                return Err(error);
            }
            if executed.end == 0 {
                return Err(StepError::Outside(Unfinished.into()));
            }
            // What comes next in the stream has not failed yet.
            let next = ParkedStream::fresh(stream.stream_id.clone(), changeset.changeset_id);
            let (core, after) = (held.core().clone(), next.clone());
            held.change(None, move |tx| {
                async move {
                    if !tx.unpark(core.id(), &changeset.stream_id, changeset.checkpoint).await? {
                        return Err(StepError::Fenced);
                    }
                    Ok(tx.update_parked(core.id(), &after).await?)
                }
                .boxed()
            })
            .await?;
            Ok(Retried::Succeeded(next))
        }
        .boxed()
    }

    /// What the changeset calls for is not done any more; the stream's next changeset gets its turn.
    fn skipped<'a>(
        &'a self,
        tx: &'a mut D::Tx,
        core: &'a Core<D>,
        changeset: &'a ChangesetRef,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        async move {
            let ChangesetRef { stream_id, changeset_id, .. } = changeset;
            tx.settle_effects(core.id(), stream_id, *changeset_id, EffectState::Discarded).await?;
            let next = ParkedStream::fresh(stream_id.clone(), *changeset_id);
            tx.update_parked(core.id(), &next).await
        }
        .boxed()
    }

    fn sweep<'a>(
        &'a self,
        tx: &'a mut D::Tx,
        core: &'a Core<D>,
        limit: usize,
    ) -> BoxFuture<'a, Result<usize, BoxError>> {
        async move { tx.sweep_effects(core.id(), in_past(self.settings.keep_effects), limit).await }.boxed()
    }
}
