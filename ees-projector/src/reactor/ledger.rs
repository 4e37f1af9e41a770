//! Where effects are recorded, as whoever does them sees it.

use std::time::Duration;

use futures::future::BoxFuture;

use super::{Effect, EffectId, Ended};

/// The ledger can't be written, or is another worker's by now: nothing more is to be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the effect can't be recorded at the moment; it is tried again")]
pub(crate) struct Unrecorded;

/// Where effects are recorded: beside the reactor's checkpoint.
pub(crate) trait Ledger: Send + Sync {
    /// Notes that an effect is begun, unless it is done already; how it stands then. On disk when it comes back.
    fn begin<'a>(&'a self, id: &'a EffectId) -> BoxFuture<'a, Result<Effect, Unrecorded>>;
    /// Notes how it ended.
    fn end<'a>(&'a self, id: &'a EffectId, ended: Ended) -> BoxFuture<'a, Result<(), Unrecorded>>;
    /// How long an effect may take.
    fn timeout(&self) -> Duration;
}
