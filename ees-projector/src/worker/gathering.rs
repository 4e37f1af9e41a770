//! Changesets that arrive quickly share a transaction of the projection.

use std::time::{Duration, Instant};

/// The time over which arriving changesets are counted.
const WINDOW: Duration = Duration::from_millis(50);
/// From so many changesets a second on, a transaction for each group of commits is waste.
const QUICKLY: f64 = 4_000.0;
/// How long a projection then lets changesets gather. Its lag grows by this much, and its transactions have 40 changesets
/// and more.
const PAUSE: Duration = Duration::from_millis(10);

/// How quickly changesets arrive at a projection that has caught up.
#[derive(Default)]
pub(super) struct Gathering {
    window: Option<(Instant, usize)>,
    is_quick: bool,
    pause: Duration,
}

impl Gathering {
    /// Counts the changesets of a step that ended at the end of the log.
    pub(super) fn count(&mut self, changesets: usize, now: Instant) {
        let (begun, before) = self.window.unwrap_or((now, 0));
        let (age, arrived) = (now.saturating_duration_since(begun), before + changesets);
        self.window = if age < WINDOW {
            Some((begun, arrived))
        } else {
            self.is_quick = arrived as f64 / age.as_secs_f64() >= QUICKLY;
            Some((now, 0))
        };
        self.pause = if self.is_quick { PAUSE } else { Duration::ZERO };
    }

    /// Returns how long to wait before the step after the one that was counted; zero when that was asked already.
    pub(super) fn take_pause(&mut self) -> Duration {
        std::mem::take(&mut self.pause)
    }

    /// Forgets what has arrived: the last step did not end at the end of the log.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last pause, when so many changesets arrive in each of several steps, at this distance.
    fn pause_after(steps: u32, changesets: usize, distance: Duration) -> Duration {
        let (mut gathering, begun) = (Gathering::default(), Instant::now());
        (0..steps).for_each(|step| gathering.count(changesets, begun + distance * step));
        gathering.take_pause()
    }

    #[test]
    fn only_changesets_that_arrive_quickly_are_waited_for() {
        let millis = Duration::from_millis;
        assert_eq!(pause_after(1_000, 1, millis(1)), Duration::ZERO, "a caller who waits for each");
        assert_eq!(pause_after(1_000, 1, Duration::from_micros(100)), PAUSE);
        assert_eq!(pause_after(100, 64, millis(6)), PAUSE, "group commits");
        assert_eq!(pause_after(100, 100, PAUSE), PAUSE, "and it stays so while they go on");
        assert_eq!(pause_after(3, 1_000, millis(1_000)), Duration::ZERO);
    }

    #[test]
    fn it_ends_when_they_become_fewer() {
        let (mut gathering, begun) = (Gathering::default(), Instant::now());
        let mut at = |millis: u64, changesets| {
            gathering.count(changesets, begun + Duration::from_millis(millis));
            gathering.take_pause()
        };
        assert_eq!([at(0, 0), at(50, 1_000), at(60, 1_000)], [Duration::ZERO, PAUSE, PAUSE]);
        assert_eq!([at(2_000, 1), at(2_010, 1)], [Duration::ZERO; 2]);
    }
}
