//! How many changesets an import has stored.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) imported: u64,
    pub(super) already_there: u64,
}

impl Counts {
    /// Total and rate, for the progress bar.
    pub(super) fn progress(self, elapsed: Duration) -> String {
        let total = self.imported + self.already_there;
        format!("{total} changesets, {:.0}/s", total as f64 / elapsed.as_secs_f64().max(0.001))
    }
}
