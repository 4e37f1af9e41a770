//! How many changesets an import has stored.

use std::time::Duration;

use crate::exit::{Exit, Failure};
use crate::plural::counted;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) imported: u64,
    pub(super) already_there: u64,
}

impl Counts {
    /// Total and rate, for the progress bar.
    pub(super) fn progress(self, elapsed: Duration) -> String {
        let total = self.imported + self.already_there;
        let rate = total as f64 / elapsed.as_secs_f64().max(0.001);
        format!("{}, {rate:.0}/s", counted(total, "changeset"))
    }

    /// The failure that ended the import, with what is stored and what to do.
    pub(super) fn broken_off(self, failure: Failure) -> Failure {
        let stored = self.imported + self.already_there;
        let mend = if failure.exit() == Exit::BadInput { "mend the line and " } else { "" };
        failure
            .with_detail(format!(
                "{} stored",
                if stored == 1 { "1 line is".to_owned() } else { format!("{stored} lines are") }
            ))
            .with_hint(format!("{mend}run the import again: it adds the rest"))
            .with_member("stored", &stored)
    }
}
