//! How parked streams are retried.

/// How parked streams are retried.
pub(crate) struct RetryPolicy {
    pub(crate) streams_at_once: usize,
    /// The most streams that are retried before new changesets get their turn.
    pub(crate) streams_max: usize,
    pub(crate) scope: RetryScope,
    /// Whether an operator's request to retry waits for the result.
    pub(crate) operator_waits: bool,
}

/// How much of a parked stream is retried before others get their turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryScope {
    OnePortion,
    UntilTheEnd,
}
