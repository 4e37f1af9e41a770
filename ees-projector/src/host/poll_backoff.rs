//! The delays between looks whether a changeset has a checkpoint and is applied.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The first delay of callers that wait for many messages.
#[cfg(any(feature = "sqs", feature = "aws-lambda"))]
pub(crate) const AFTER_MIN: Duration = Duration::from_millis(50);
pub(crate) const AFTER_MAX: Duration = Duration::from_secs(1);

/// Returns delays that grow: a changeset mostly gets its checkpoint a moment after its commit, or after the
/// message about it.
pub(crate) fn pauses(after_min: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(after_min)
        .with_max_delay(AFTER_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}
