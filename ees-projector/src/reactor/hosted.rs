//! A reactor as what a worker can run: a projection without tables, whose work is done before the transaction.

use std::error::Error;
use std::panic::AssertUnwindSafe;

use ees_store::Filter;
use ees_store::event::Reading;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::ledger::Ledger;
use super::{Cause, Interrupted, Reactor, Settings};
use crate::event::Recorded;
use crate::projection::{BoxError, Order, Projection};
use crate::worker::error::panicked;

/// The version in a reactor's row. Those of projections count from 1: neither takes the other's row for its own.
const VERSION: u32 = 0;

/// What a worker does outside of the transaction. Not to be named outside of this crate: a reactor is all there is.
pub trait Effects<E>: Send + Sync {
    /// Does what the events call for.
    fn react<'a>(&'a self, events: &'a [Recorded<'a, E>], ledger: &'a dyn Ledger) -> BoxFuture<'a, Reacted>;
    /// How it is run.
    fn settings(&self) -> &Settings;
    /// Whether an error passes by itself.
    fn is_transient(&self, error: &(dyn Error + 'static)) -> bool;
}

/// What came of a batch.
pub(super) type Reacted = Result<(), Interrupted>;

/// A reactor and how it is run.
pub(crate) struct Reacting<R> {
    reactor: R,
    settings: Settings,
}

impl<R: Reactor> Reacting<R> {
    pub(crate) fn new(reactor: R, settings: Settings) -> Self {
        Self { reactor, settings }
    }
}

impl<R: Reactor> Effects<R::Event> for Reacting<R> {
    fn react<'a>(
        &'a self,
        events: &'a [Recorded<'a, R::Event>],
        ledger: &'a dyn Ledger,
    ) -> BoxFuture<'a, Reacted> {
        Box::pin(async move {
            let name = self.reactor.name();
            let causes: Vec<_> = events.iter().map(|event| Cause::new(*event, name, ledger)).collect();
            let reacted = AssertUnwindSafe(self.reactor.react_batch(&causes)).catch_unwind().await;
            reacted
                .unwrap_or_else(|panic| Err(Interrupted { done: 0, error: panicked("the reactor", &*panic) }))
        })
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn is_transient(&self, error: &(dyn Error + 'static)) -> bool {
        self.reactor.is_transient(error)
    }
}

impl<Tx: Send, R: Reactor> Projection<Tx> for Reacting<R> {
    type Event = R::Event;

    fn name(&self) -> &str {
        self.reactor.name()
    }
    fn version(&self) -> u32 {
        VERSION
    }
    fn filter(&self) -> Filter {
        self.reactor.filter()
    }
    fn reading(&self) -> Reading {
        self.reactor.reading()
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    async fn create_tables(&self, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn drop_tables(&self, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn apply(&self, _: Recorded<'_, R::Event>, _: &mut Tx) -> Result<(), BoxError> {
        Err("a reactor has nothing to do in a transaction".into())
    }
    fn effects(&self) -> Option<&dyn Effects<R::Event>> {
        Some(self)
    }
}
