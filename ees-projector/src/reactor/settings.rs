//! How a reactor is run.

use std::time::Duration;

use ees_store::Checkpoint;

use crate::policy::{OnFailure, Retry};

/// How a reactor is run. Every value has a default that suits most.
///
/// ```
/// use ees_projector::reactor::{Settings, Start};
/// let settings = Settings { start: Start::Beginning, ..Settings::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Where it begins, the first time it is started.
    pub start: Start,
    /// After at most so many changesets the checkpoint is stored: so many may be repeated after a crash. 1 unless set.
    pub batch_changesets_max: usize,
    /// The most bytes of events and metadata in one batch (a single changeset may be larger); 4 MiB unless set.
    pub batch_bytes_max: usize,
    /// How long it waits for news before it looks by itself; 20 s unless set, and at most.
    pub poll_interval: Duration,
    /// How often, and at which pace, what fails is tried again before the reactor is paused.
    pub retry: Retry,
    /// How long it is kept what operators did; 90 days unless set.
    pub keep_audit: Duration,
}

/// Where a reactor begins that was never started before. Later starts go on where it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the end of the log as it is then: what lies before has been acted upon by other means, or never will be.
    #[default]
    Now,
    /// With the first changeset there is.
    Beginning,
    /// At this checkpoint; not past the end of the log.
    At(Checkpoint),
}

impl Default for Settings {
    fn default() -> Self {
        let ordinary = crate::Settings::default();
        Self {
            start: Start::default(),
            batch_changesets_max: 1,
            batch_bytes_max: ordinary.batch_bytes_max,
            poll_interval: ordinary.poll_interval,
            retry: ordinary.retry,
            keep_audit: ordinary.keep_audit,
        }
    }
}

impl From<Settings> for crate::Settings {
    fn from(settings: Settings) -> Self {
        let Settings { start: _, batch_changesets_max, batch_bytes_max, poll_interval, retry, keep_audit } =
            settings;
        Self {
            batch_changesets_max,
            batch_bytes_max,
            poll_interval,
            retry,
            keep_audit,
            on_failure: OnFailure::Pause,
            ..Self::default()
        }
    }
}
