//! What a worker needs of a reactor, with its events' type hidden.

use std::error::Error;
use std::time::Duration;

use ees_store::Timestamp;
use futures::future::BoxFuture;

use crate::error::{BoxError, cause_of, is_caused_by};
use crate::reactor::{Interrupted, Ledger, PermanentError, RetryAfter, Settings, Timer, with_jitter};
use crate::worker::batch::Batch;

/// What a worker needs of a reactor.
pub(crate) trait Effects: Send + Sync {
    /// Acts on some of a batch's events.
    fn react<'a>(
        &'a self,
        batch: &'a Batch,
        events: &'a [usize],
        ledger: &'a dyn Ledger,
    ) -> BoxFuture<'a, Result<(), Interrupted>>;

    /// Acts on a timer that is due.
    fn fire<'a>(
        &'a self,
        timer: &'a Timer,
        ledger: &'a dyn Ledger,
    ) -> BoxFuture<'a, Result<Option<Timer>, BoxError>>;

    /// Returns the settings.
    fn settings(&self) -> &Settings;

    /// Returns `true` for an error that passes by itself.
    fn is_transient(&self, error: &(dyn Error + 'static)) -> bool;

    /// Returns the time of the next retry of a changeset that failed `attempts` times since `since`, or
    /// `None` if its stream is given up.
    fn retry_at(&self, error: &BoxError, attempts: u32, since: Timestamp) -> Option<Timestamp> {
        if is_caused_by::<PermanentError>(&**error) {
            return None;
        }
        let earliest = cause_of::<RetryAfter>(&**error).map(|refused| refused.wait).unwrap_or_default();
        self.settings().retry_at(attempts, since, earliest)
    }

    /// Returns the delay before the next attempt of a timer that failed `attempts` times. It is never given up.
    fn retry_after(&self, error: &BoxError, attempts: u32) -> Duration {
        let Settings { parking, .. } = self.settings();
        let earliest = cause_of::<RetryAfter>(&**error).map(|refused| refused.wait).unwrap_or_default();
        let wait = match is_caused_by::<PermanentError>(&**error) {
            true => parking.retry_after_max,
            false => with_jitter(parking.retry_after(attempts.saturating_sub(1))),
        };
        wait.max(earliest)
    }
}
