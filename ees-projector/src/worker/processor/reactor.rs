//! The adapter that lets a worker run a reactor, which acts before the transaction.

use std::collections::HashSet;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::PoisonError;
use std::time::Duration;

use ees_store::event::types_of;
use ees_store::{ChangesetLog, Checkpoint, LogPage, StreamId, Timestamp, checkpoint_since};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Processor, RetryPolicy, RetryScope};
use crate::database::Transaction;
use crate::error::{BoxError, panicked};
use crate::event_enum::{Objection, objection_to};
use crate::policy::{Parking, in_past};
use crate::projection::Order;
use crate::projection_state::{ChangesetRef, ParkedStream, ProjectionState};
use crate::reactor::{
    Cause, EffectState, Firing, Interrupted, Ledger, NextTimer, Reactor, Settings, Start, Timer,
};
use crate::read_model_id::ReadModelId;
use crate::status::Kind;
use crate::subscription::Subscription;
use crate::worker::batch::Batch;
use crate::worker::error::StepError;
use crate::worker::operations::operation::OperateError;
use crate::worker::reactor::effects::Effects;
use crate::worker::reactor::execution::{Executed, execute};
use crate::worker::reactor::firing::fire;

/// The version in a reactor's row. Versions of projections start at 1, so neither takes the other's row for
/// its own.
const VERSION: u32 = 0;

/// An effect may take as long, whatever the settings say: clocks and databases can add it to a time.
const EFFECT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A reactor, its subscription and its settings.
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

    fn fire<'a>(
        &'a self,
        timer: &'a Timer,
        ledger: &'a dyn Ledger,
    ) -> BoxFuture<'a, Result<Option<Timer>, BoxError>> {
        async move {
            let next = NextTimer::default();
            let firing = Firing::new(timer, self.reactor.name(), ledger, next.clone());
            let acted = AssertUnwindSafe(self.reactor.on_timer(firing)).catch_unwind().await;
            acted.unwrap_or_else(|panic| Err(panicked("the reactor", &*panic)))?;
            Ok(next.lock().unwrap_or_else(PoisonError::into_inner).take())
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

impl<Tx: Transaction, R: Reactor> Processor<Tx> for ReactorAdapter<R> {
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

    fn event_types(&self) -> Option<&'static [&'static str]> {
        types_of::<R::Event>()
    }

    fn objection(&self) -> Option<Objection> {
        objection_to::<R::Event>(&self.subscription.filter)
    }

    fn decode(&self, from: Checkpoint, page: LogPage) -> Batch {
        Batch::decode::<R::Event>(from, page, &self.subscription)
    }

    /// Starts where [`Settings::start`] says.
    fn initial_state<'a>(
        &'a self,
        log: &'a dyn ChangesetLog,
    ) -> BoxFuture<'a, Result<ProjectionState, StepError>> {
        async move {
            let state = ProjectionState::new(VERSION);
            let head = log.head().await?;
            let from = match self.settings.start {
                Start::Now => head.checkpoint,
                Start::Beginning => state.position.next,
                Start::At(checkpoint) if checkpoint > head.checkpoint => {
                    return Err(StepError::Setup(format!(
                        "the reactor can't start at checkpoint {checkpoint}: the log ends before checkpoint \
                         {}",
                        head.checkpoint
                    )));
                }
                Start::At(checkpoint) => checkpoint,
                Start::Since(time) => checkpoint_since(log, time).await.map_err(|error| match error {
                    ees_store::Error::InvalidRequest(why) => {
                        StepError::Setup(format!("the reactor can't start at this time: {why}"))
                    }
                    other => other.into(),
                })?,
            };
            tracing::info!(
                reactor = self.reactor.name(),
                checkpoint = from.get(),
                "new reactor: starting at this checkpoint"
            );
            Ok(state.advanced(from, head.log_id, None))
        }
        .boxed()
    }

    /// Refuses a rebuild: effects can't be undone, and must not be repeated because an operator wants a table
    /// rebuilt.
    fn require_read_model(&self) -> Result<(), OperateError> {
        Err(OperateError::IsReactor { name: self.reactor.name().to_owned() })
    }

    fn ledger_keeps(&self) -> Result<Duration, OperateError> {
        if self.reactor.acts_in_effects_only() {
            return Ok(self.settings.keep_effects);
        }
        Err(OperateError::NotSupported(
            "the reactor does not say that all it does is in effects, so a preview might do it: see \
             `Reactor::acts_in_effects_only`",
        ))
    }

    fn retry_policy(&self) -> RetryPolicy {
        let streams_at_once = self.settings.streams_at_once.max(1);
        RetryPolicy {
            streams_at_once,
            // So that new changesets get their turn in between.
            streams_max: streams_at_once,
            scope: RetryScope::UntilTheEnd,
            // Effects may take long.
            operator_waits: false,
        }
    }

    fn effect_timeout(&self) -> Duration {
        self.settings.effect_timeout.min(EFFECT_MAX)
    }

    fn retry_at(&self, _: Parking, error: &BoxError, attempts: u32, since: Timestamp) -> Option<Timestamp> {
        Effects::retry_at(self, error, attempts, since)
    }

    fn act<'a>(
        &'a self,
        batch: &'a Batch,
        parked: &'a HashSet<StreamId>,
        ledger: &'a dyn Ledger,
    ) -> BoxFuture<'a, Executed> {
        execute(self, batch, parked, ledger).boxed()
    }

    fn fire<'a>(&'a self, timers: Vec<Timer>, ledger: &'a dyn Ledger) -> BoxFuture<'a, bool> {
        fire(self, timers, ledger).boxed()
    }

    /// A reactor has no tables to change.
    fn apply<'a>(
        &'a self,
        _: &'a Batch,
        _: &'a [usize],
        _: &'a mut Tx,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        async { Ok(()) }.boxed()
    }

    fn create_tables<'a>(&'a self, _: &'a mut Tx) -> BoxFuture<'a, Result<(), BoxError>> {
        async { Ok(()) }.boxed()
    }

    fn drop_tables<'a>(&'a self, _: &'a mut Tx) -> BoxFuture<'a, Result<(), BoxError>> {
        async { Ok(()) }.boxed()
    }

    /// The next changeset of the stream has not failed yet.
    fn parked_after(&self, changeset: &ChangesetRef) -> Option<ParkedStream> {
        Some(ParkedStream::fresh(changeset.stream_id.clone(), changeset.changeset_id))
    }

    /// Discards the effects of the changeset, so that the stream's next changeset gets its turn.
    fn skipped<'a>(
        &'a self,
        tx: &'a mut Tx,
        model: &'a ReadModelId,
        changeset: &'a ChangesetRef,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        async move {
            let ChangesetRef { stream_id, changeset_id, .. } = changeset;
            tx.settle_effects(model, stream_id, *changeset_id, EffectState::Discarded).await?;
            let next = ParkedStream::fresh(stream_id.clone(), *changeset_id);
            tx.update_parked(model, &next).await
        }
        .boxed()
    }

    fn sweep<'a>(
        &'a self,
        tx: &'a mut Tx,
        model: &'a ReadModelId,
        limit: usize,
    ) -> BoxFuture<'a, Result<usize, BoxError>> {
        async move { tx.sweep_effects(model, in_past(self.settings.keep_effects), limit).await }.boxed()
    }
}
