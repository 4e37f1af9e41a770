//! How long a call is repeated, and who is told of it.

use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBuilder;

/// An attempt of a call that failed, and that is followed by another one.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Retry<'a> {
    /// Why the attempt failed, with the server's URL.
    pub why: &'a str,
    /// The pause before the next attempt.
    pub pause: Duration,
    /// The time since the first attempt began.
    pub elapsed: Duration,
}

pub(super) type OnRetry = Arc<dyn Fn(&Retry<'_>) + Send + Sync>;

#[derive(Clone)]
pub(super) struct RetryLimits {
    pub(super) backoff: ExponentialBuilder,
    pub(super) retry_for: Option<Duration>,
    pub(super) on_retry: Option<OnRetry>,
}

impl RetryLimits {
    /// The pause, unless the time for retries is over by its end.
    pub(super) fn admitted(&self, pause: Duration, elapsed: Duration) -> Option<Duration> {
        let is_over = self.retry_for.is_some_and(|limit| elapsed.saturating_add(pause) > limit);
        (!is_over).then_some(pause)
    }

    pub(super) fn report(&self, retry: &Retry<'_>) {
        if let Some(on_retry) = &self.on_retry {
            on_retry(retry);
        }
    }
}
