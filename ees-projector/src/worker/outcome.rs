//! What comes next, and the results of a step and of a run.

use crate::partition::Split;
use crate::worker::batch::Batch;

/// What a worker does next.
pub(crate) enum Next {
    /// Process this batch, which may be empty.
    Batch(Box<Batch>),
    /// Nothing: it is paused.
    Paused,
    /// Nothing: another worker has the lease.
    Elsewhere,
    /// Run the workers of its partitions.
    Split(Split),
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// The position moved.
    Moved,
    /// There was nothing to apply.
    Idle,
    /// It is paused.
    Paused,
    /// Another worker has the lease.
    Elsewhere,
    /// Its partitions have workers of their own.
    Split(Split),
}

/// How a call of [`OnDemand::drain_until`](crate::OnDemand::drain_until) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Drained {
    /// Everything is applied.
    CaughtUp,
    /// The projection is paused: an operator must look at it.
    Paused,
    /// Another worker has the lease, or another process runs the projection on a database for one process. Or the
    /// read model is not there: the live one is of another version, or there is no standby.
    Elsewhere,
    /// There is more to apply, or a step failed. Call again: the next run goes on, and retries.
    OutOfTime,
}
