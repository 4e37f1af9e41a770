//! How old idempotency keys are, whatever the clocks say.

use std::time::{Duration, Instant};

use crate::Timestamp;

/// Keys that are looked at in one go.
pub(crate) const KEYS_AT_ONCE: i64 = 1_000;

/// Time as it matters to keys: it goes on as fast as this process sees it pass, and no faster. So a clock that
/// jumps forward makes no key old.
pub(crate) struct KeyAges {
    keep: Duration,
    start: Timestamp,
    since: Instant,
}

impl KeyAges {
    /// Begins at what the clock says. But if that is long after the newest key, nobody knows whether so much
    /// time has passed or the clock has jumped: then half of the time that keys are kept has passed.
    pub(crate) fn new(keep: Duration, clock: Timestamp, newest: Option<Timestamp>) -> Self {
        let start = newest.map_or(clock, |newest| clock.min(later(newest, keep / 2)));
        Self { keep, start, since: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        later(self.start, self.since.elapsed())
    }

    /// Keys up to this moment are forgotten.
    pub(crate) fn forgotten_up_to(&self) -> Timestamp {
        Timestamp::from_micros(self.now().as_micros().saturating_sub(micros(self.keep)))
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(time.as_micros().saturating_add(micros(by)))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A part of the keys, in the order of their checkpoints.
pub(crate) struct Part {
    /// The last checkpoint; `None` for no keys.
    pub(crate) last: Option<i64>,
    pub(crate) keys: i64,
    /// Whether one is certainly young: neither old nor from the future, as another clock may have it.
    pub(crate) has_young: bool,
}

impl Part {
    /// Where the next part begins, if old keys may be in it: keys follow each other in time, except for those
    /// whose time no clock has reached.
    pub(crate) fn rest_after(&self) -> Option<i64> {
        self.last.filter(|_| self.keys == KEYS_AT_ONCE && !self.has_young)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    #[test]
    fn a_clock_that_jumps_forward_makes_no_key_old() {
        let stored = Timestamp::from_micros(1_795_253_400_000_000);
        for hours in [0, 1, 24, 24 * 365] {
            let clock = later(stored, Duration::from_secs(hours * 3_600));
            let ages = KeyAges::new(WEEK, clock, Some(stored));
            assert!(ages.forgotten_up_to() < stored, "{hours} hours");
            assert!(ages.now() >= later(stored, Duration::from_secs(hours * 3_600).min(WEEK / 2)));
        }
    }

    #[test]
    fn a_clock_that_went_back_is_believed() {
        let clock = Timestamp::from_micros(1_795_253_400_000_000);
        let ages = KeyAges::new(WEEK, clock, Some(later(clock, WEEK)));
        assert!(ages.now() < later(clock, Duration::from_secs(3_600)));
    }
}
