//! The clock by which timers are due.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use ees_store::Timestamp;
use tokio::sync::watch;

/// The clock by which the timers of reactors are due: this machine's, by default.
///
/// A test takes a clock that stands still and moves it:
///
/// ```
/// use std::time::Duration;
/// use ees_projector::Clock;
///
/// let clock = Clock::stopped();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(30 * 60));
/// assert_eq!(clock.now(), before + Duration::from_secs(30 * 60));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<watch::Sender<Timestamp>>>);

impl Clock {
    /// Creates a clock that stands still at the current time. Clones show the same time.
    pub fn stopped() -> Self {
        Self(Some(Arc::new(watch::Sender::new(Timestamp::now()))))
    }

    /// Returns the time.
    pub fn now(&self) -> Timestamp {
        self.0.as_ref().map_or_else(Timestamp::now, |stopped| *stopped.borrow())
    }

    /// Moves a stopped clock forward and wakes the workers that wait for it. Does nothing to this machine's
    /// clock.
    pub fn advance(&self, by: Duration) {
        if let Some(stopped) = &self.0 {
            stopped.send_modify(|now| *now = *now + by);
        }
    }

    pub(crate) fn moves(&self) -> ClockMoves {
        ClockMoves(self.0.as_ref().map(|stopped| stopped.subscribe()))
    }
}

/// Tells when somebody has moved the clock.
pub(crate) struct ClockMoves(Option<watch::Receiver<Timestamp>>);

impl ClockMoves {
    /// Waits until somebody moves the clock.
    pub(crate) async fn next(&mut self) {
        if let Some(stopped) = &mut self.0
            && stopped.changed().await.is_ok()
        {
            return;
        }
        pending::<()>().await;
    }
}
