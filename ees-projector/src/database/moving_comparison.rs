//! A comparison of two read models where nothing can be held and no snapshot can be taken.

use ees_store::Checkpoint;
use futures::future::BoxFuture;

use crate::error::BoxError;
use crate::standby::Comparison;

/// Compares the live read model with another one while the live one moves on. The other one moves only as the
/// comparison asks.
///
/// Each row is compared at a checkpoint of its own: at the one where the comparison begins, or at a later one.
pub trait MovingComparison: Send {
    /// Goes on as far as it can.
    fn go_on(&mut self) -> BoxFuture<'_, Result<Compared, BoxError>>;
}

/// How far a [`MovingComparison`] has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compared {
    /// The other read model must be at exactly this checkpoint, where the live one is or was. Then it goes on. If
    /// the other one is past it, it goes on once the live one may have caught up.
    Meet(Checkpoint),
    /// The live read model was rebuilt or swapped meanwhile.
    Replaced,
    /// Everything is compared. The result has the last checkpoint.
    Done(Comparison),
}
