//! What a reactor does outside of a transaction, its events' type hidden.

use std::error::Error;

use ees_store::Timestamp;
use futures::future::BoxFuture;

use crate::error::{BoxError, cause_of, is_caused_by};
use crate::reactor::{Interrupted, Ledger, PermanentError, RetryAfter, Settings};
use crate::worker::batch::Batch;

/// What a reactor does outside of the transaction.
pub(crate) trait Effects: Send + Sync {
    /// Acts upon some of a batch's events.
    fn react<'a>(
        &'a self,
        batch: &'a Batch,
        events: &'a [usize],
        ledger: &'a dyn Ledger,
    ) -> BoxFuture<'a, Result<(), Interrupted>>;

    /// How it is run.
    fn settings(&self) -> &Settings;

    /// Whether an error passes by itself.
    fn is_transient(&self, error: &(dyn Error + 'static)) -> bool;

    /// When a changeset is retried that has failed so often, since then; `None` when it is given up.
    fn retry_at(&self, error: &BoxError, attempts: u32, since: Timestamp) -> Option<Timestamp> {
        if is_caused_by::<PermanentError>(&**error) {
            return None;
        }
        let earliest = cause_of::<RetryAfter>(&**error).map(|refused| refused.wait).unwrap_or_default();
        self.settings().retry_at(attempts, since, earliest)
    }
}
