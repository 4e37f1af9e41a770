//! How many changesets an import has stored.

use std::time::Duration;

use crate::exit::{Exit, Failure};
use crate::plural::counted;

/// Only for failures that the same file does not meet again.
const AGAIN: &str = "run the import again: it adds the rest";

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
        let failure = match failure.exit() {
            Exit::Interrupted | Exit::Unavailable | Exit::TimedOut => failure.with_hint(AGAIN),
            Exit::BadInput => failure.or_hint(format!("mend the line and {AGAIN}")),
            _ => failure,
        };
        failure
            .with_detail(format!(
                "{} stored",
                if stored == 1 { "1 line is".to_owned() } else { format!("{stored} lines are") }
            ))
            .with_member("stored", &stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_or_can_be_mended_is_to_be_run_again() {
        let told = |failure: Failure| {
            let counts = Counts { imported: 1, already_there: 1 };
            format!("{:?}", counts.broken_off(failure))
        };
        for (exit, code) in [
            (Exit::Interrupted, "INTERRUPTED"),
            (Exit::Unavailable, "UNAVAILABLE"),
            (Exit::TimedOut, "TIMEOUT"),
            (Exit::BadInput, "BAD_INPUT"),
        ] {
            let told = told(Failure::new(exit, code, "why"));
            assert!(told.contains(AGAIN) && told.contains("2 lines are stored"), "{told}");
            assert_eq!(told.contains("mend the line"), exit == Exit::BadInput, "{told}");
        }
        for (exit, code, hint) in [
            (Exit::Refused, "ANOTHER_LOG", "None"),
            (Exit::Refused, "OPTIMISTIC_CONCURRENCY_EXCEPTION", "None"),
            (Exit::Refused, "STREAM_TYPE_MISMATCH", "--stream-type"),
            (Exit::Unauthorized, "UNAUTHORIZED", "--api-key"),
        ] {
            let told = told(Failure::new(exit, code, "why"));
            assert!(!told.contains(AGAIN) && told.contains(hint), "{told}");
        }
        let told = told(Failure::bad_input("why").with_hint("export it again"));
        assert!(!told.contains(AGAIN) && told.contains("export it again"), "a line's own hint stays: {told}");
    }
}
