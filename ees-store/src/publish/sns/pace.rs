//! When a stream's next message may be tried: pure but for the clock.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// What may pass is tried again after so long, and then ever later.
const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// When a group may go on.
#[derive(Default)]
pub(super) enum Pace {
    #[default]
    Now,
    /// After a failure.
    At(Instant, ExponentialBackoff),
    /// Not in this call any more.
    Stopped,
}

impl Pace {
    pub(super) fn may_go(&self, now: Instant) -> bool {
        match self {
            Self::Now => true,
            Self::At(at, _) => *at <= now,
            Self::Stopped => false,
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        match self {
            Self::At(at, _) => Some(*at),
            Self::Now | Self::Stopped => None,
        }
    }

    /// Waits once more, if that ends before the deadline.
    pub(super) fn wait(&mut self, deadline: Instant) -> bool {
        let mut delays = match std::mem::take(self) {
            Self::At(_, delays) => delays,
            Self::Now | Self::Stopped => ExponentialBuilder::new()
                .with_min_delay(DELAY_MIN)
                .with_max_delay(DELAY_MAX)
                .with_jitter()
                .without_max_times()
                .build(),
        };
        let at = Instant::now() + delays.next().unwrap_or(DELAY_MAX);
        *self = Self::At(at, delays);
        at < deadline
    }
}
