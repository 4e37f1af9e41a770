//! When it is looked again whether a changeset has its place in the log by now, and is applied.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The first pause of those who wait for many messages.
#[cfg(any(feature = "sqs", feature = "aws-lambda"))]
pub(crate) const AFTER_MIN: Duration = Duration::from_millis(50);
pub(crate) const AFTER_MAX: Duration = Duration::from_secs(1);

/// Soon again at first, since a place is mostly given out a moment after the message that tells of the changeset, or after its
/// commit; then ever later.
pub(crate) fn pauses(after_min: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(after_min)
        .with_max_delay(AFTER_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}
