//! How a reactor is run.

use std::time::Duration;

use ees_store::{Checkpoint, Timestamp};

use crate::policy::{OnFailure, Parking, Retry, in_future};

/// How a reactor is run. Every value has a default that suits most.
///
/// ```
/// use ees_projector::reactor::{Settings, Start};
/// let settings = Settings { start: Start::Beginning, streams_at_once: 16, ..Settings::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Where it begins, the first time it is started.
    pub start: Start,
    /// So many streams are acted upon at the same time, each in its order; 1 unless set, which is the order of the log.
    pub streams_at_once: usize,
    /// After at most so many changesets the checkpoint is stored; 1 unless set, and at least four for each of the streams
    /// at once. A crash repeats so many, apart from effects that the ledger has as done.
    pub batch_changesets_max: usize,
    /// The most bytes of events and metadata in one batch (a single changeset may be larger); 4 MiB unless set.
    pub batch_bytes_max: usize,
    /// How long it waits for news before it looks by itself; 20 s unless set, and at most.
    pub poll_interval: Duration,
    /// How long an [effect](super::Cause::effect) may take before it is dropped, and has failed; 30 s unless set.
    pub effect_timeout: Duration,
    /// The pace at which streams that failed are tried again, and how many may wait: from 1 s to 10 minutes, 1,000 streams
    /// and 100,000 changesets unless set. When more would have to wait, the reactor holds until there is room.
    pub parking: Parking,
    /// How long a changeset is tried again before its stream waits for an operator; 24 h unless set.
    pub give_up_after: Duration,
    /// The pace at which faults of the log, the database and of [transient](super::Reactor::is_transient) errors are tried
    /// again, for ever.
    pub retry: Retry,
    /// How long it is kept what was done; 30 days unless set. What waits is kept however long it takes.
    pub keep_effects: Duration,
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

const HOUR: Duration = Duration::from_secs(60 * 60);

impl Default for Settings {
    fn default() -> Self {
        let ordinary = crate::Settings::default();
        Self {
            start: Start::default(),
            streams_at_once: 1,
            batch_changesets_max: 1,
            batch_bytes_max: ordinary.batch_bytes_max,
            poll_interval: ordinary.poll_interval,
            effect_timeout: Duration::from_secs(30),
            parking: Parking {
                retry_after_min: Duration::from_secs(1),
                retry_after_max: Duration::from_secs(10 * 60),
                ..Parking::default()
            },
            give_up_after: 24 * HOUR,
            retry: ordinary.retry,
            keep_effects: 30 * 24 * HOUR,
            keep_audit: ordinary.keep_audit,
        }
    }
}

impl Settings {
    /// When a stream is retried whose first changeset has failed so often, since then, and is not to be tried before
    /// `earliest`; `None` when it is given up.
    pub(crate) fn retry_at(&self, attempts: u32, since: Timestamp, earliest: Duration) -> Option<Timestamp> {
        // Whoever asks for a year's patience is given up on as anybody else.
        if since.elapsed().saturating_add(earliest) >= self.give_up_after {
            return None;
        }
        // Those that failed together are not all tried together.
        let wait = self.parking.retry_after(attempts.saturating_sub(1)).mul_f64(0.75 + 0.5 * fastrand::f64());
        Some(in_future(wait.max(earliest)))
    }
}

impl From<Settings> for crate::Settings {
    fn from(settings: Settings) -> Self {
        let Settings { streams_at_once, batch_changesets_max, batch_bytes_max, poll_interval, .. } = settings;
        let for_all = if streams_at_once > 1 { streams_at_once.saturating_mul(4) } else { 1 };
        Self {
            batch_changesets_max: batch_changesets_max.max(for_all),
            batch_bytes_max,
            poll_interval,
            retry: settings.retry,
            keep_audit: settings.keep_audit,
            on_failure: OnFailure::Park(settings.parking),
            ..Self::default()
        }
    }
}
