//! How parked streams are retried.

/// How parked streams are retried.
pub(crate) struct RetryPolicy {
    pub(crate) streams_at_once: usize,
    /// The most streams before others get their turn.
    pub(crate) streams_max: usize,
    pub(crate) scope: RetryScope,
    /// Whether an operator who has a stream retried waits for what comes of it.
    pub(crate) operator_waits: bool,
}

/// How much of a parked stream is retried before others get their turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryScope {
    OnePortion,
    UntilTheEnd,
}
