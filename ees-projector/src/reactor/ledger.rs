//! The ledger, as the code that runs effects sees it.

use std::time::Duration;

use futures::future::BoxFuture;

use super::{Effect, EffectId, Ended};

/// The ledger can't be written, or another worker has taken over. No further effect may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the effect can't be recorded at the moment; it is retried")]
pub(crate) struct Unrecorded;

/// The record of a reactor's effects, in the reactor's database.
pub(crate) trait Ledger: Send + Sync {
    /// Records the start of an attempt, unless the effect is done, and returns the effect. The record is
    /// durable when this returns.
    fn begin<'a>(&'a self, id: &'a EffectId) -> BoxFuture<'a, Result<Effect, Unrecorded>>;
    /// Records how the attempt ended.
    fn end<'a>(&'a self, id: &'a EffectId, ended: Ended) -> BoxFuture<'a, Result<(), Unrecorded>>;
    /// Returns the longest time that an effect may take.
    fn timeout(&self) -> Duration;
}
