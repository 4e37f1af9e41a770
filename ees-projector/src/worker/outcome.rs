//! What comes next, and what a step and a run came to.

use crate::partition::Split;
use crate::worker::batch::Batch;

/// What there is to do.
pub(crate) enum Next {
    /// To process this, which may be empty.
    Batch(Batch),
    /// Nothing, as long as it is paused.
    Paused,
    /// Nothing, as long as another worker has the lease.
    Elsewhere,
    /// Nothing but to keep its partitions at work.
    Split(Split),
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// The position moved.
    Moved,
    /// There was nothing new.
    Idle,
    /// It is paused.
    Paused,
    /// Another worker is at work in it.
    Elsewhere,
    /// Its partitions are worked on each by itself.
    Split(Split),
}

/// How far [`OnDemand::drain_until`](crate::OnDemand::drain_until) came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything is applied.
    CaughtUp,
    /// The projection is paused: somebody must look at it.
    Paused,
    /// Another worker is at work in it.
    Elsewhere,
    /// There is more to do, or something failed and is retried at the next run.
    OutOfTime,
}
