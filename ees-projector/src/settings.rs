//! How a projection is run.

use std::time::Duration;

use crate::policy::{OnFailure, Retry};

/// How a projection is run. Every value has a default that suits most.
///
/// ```
/// use ees_projector::{OnFailure, Parking, Settings};
/// let settings = Settings { on_failure: OnFailure::Park(Parking::default()), ..Settings::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The most changesets in one transaction; 5,000 unless set.
    pub batch_changesets_max: usize,
    /// The most bytes of events and metadata in one transaction (a single changeset may be larger); 4 MiB unless
    /// set.
    pub batch_bytes_max: usize,
    /// How long it waits for news before it looks by itself; 20 s unless set, and at most.
    pub poll_interval: Duration,
    /// The pace at which failures are tried again.
    pub retry: Retry,
    /// What happens to a changeset that failed for good.
    pub on_failure: OnFailure,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_changesets_max: 5_000,
            batch_bytes_max: 4 * 1024 * 1024,
            poll_interval: Duration::from_secs(20),
            retry: Retry::default(),
            on_failure: OnFailure::default(),
        }
    }
}
