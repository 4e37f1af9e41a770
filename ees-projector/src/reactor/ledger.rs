//! The ledger, as the code that runs effects sees it.

use std::time::Duration;

use ees_store::Timestamp;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::timer::{Timer, TimerChange};
use super::{Effect, EffectId, Ended};

/// The ledger can't be written, or another worker has taken over. No further effect may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the effect can't be recorded at the moment; it is retried")]
pub(crate) struct Unrecorded;

/// The record of a reactor's effects, in the reactor's database.
pub(crate) trait Ledger: Send + Sync {
    /// Records the start of an attempt, unless the effect is done. Returns the effect, and until when the attempt may
    /// go on: afterwards, another worker may begin the effect. The record is durable when this returns.
    fn begin<'a>(&'a self, id: &'a EffectId) -> BoxFuture<'a, Result<(Effect, Instant), Unrecorded>>;
    /// Records how the attempt ended.
    fn end<'a>(&'a self, id: &'a EffectId, ended: Ended) -> BoxFuture<'a, Result<(), Unrecorded>>;
    /// Changes a timer of the effect's stream and records the effect as done, in one transaction, unless it is
    /// done. Returns the effect. The result of a cancellation is whether there was a timer.
    fn change_timer<'a>(
        &'a self,
        id: &'a EffectId,
        change: TimerChange,
    ) -> BoxFuture<'a, Result<Effect, Unrecorded>>;
    /// Records the start of a firing, unless it is done. Returns `None` if the timer is no longer set.
    fn begin_firing<'a>(&'a self, timer: &'a Timer) -> BoxFuture<'a, Result<Option<Effect>, Unrecorded>>;
    /// Records how a firing ended, and writes or removes the timer, in one transaction: `left` is what there is
    /// under its key from then on. Leaves a timer alone that has taken its place. Records nothing once an effect
    /// could not be recorded: the firing may be done without it.
    fn end_firing<'a>(
        &'a self,
        timer: &'a Timer,
        ended: Ended,
        left: Option<Timer>,
    ) -> BoxFuture<'a, Result<(), Unrecorded>>;
    /// Returns the time by the worker's clock.
    fn now(&self) -> Timestamp;
    /// Returns the longest time that an effect may take.
    fn timeout(&self) -> Duration;
}
