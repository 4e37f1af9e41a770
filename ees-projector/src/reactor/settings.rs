//! How a reactor runs.

use std::time::Duration;

use ees_store::{Checkpoint, Timestamp};

use crate::policy::{OnFailure, Parking, Retry, in_future};

/// How a reactor runs. The defaults suit most reactors.
///
/// ```
/// use ees_projector::reactor::{Settings, Start};
/// let settings = Settings { start: Start::Beginning, streams_at_once: 16, ..Settings::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Where a new reactor starts. Default: at the end of the log.
    pub start: Start,
    /// How many streams it acts on at the same time, each in its order. Default: 1, which keeps the order of
    /// the log.
    pub streams_at_once: usize,
    /// The most changesets between two writes of the checkpoint. Default: 1. With several
    /// [`streams_at_once`](Self::streams_at_once), at least four for each of them. A crash repeats at most
    /// this many, without the effects that the ledger has as done.
    pub batch_changesets_max: usize,
    /// The most bytes of events and metadata in one batch. A single changeset may be larger. Default: 4 MiB.
    pub batch_bytes_max: usize,
    /// The longest time between two reads of the log, if nothing announces new changesets. Default: 20 s.
    /// Longer values count as 20 s.
    pub poll_interval: Duration,
    /// The longest time that an attempt of an [effect](super::Cause::effect) may take. Then it is dropped and
    /// has failed. Default: 30 s.
    pub effect_timeout: Duration,
    /// The delays between retries of parked streams, and how many may be parked. When there is no room for
    /// another, the reactor waits until there is. Default: 1 s to 10 minutes, 1,000 streams, 100,000
    /// changesets.
    pub parking: Parking,
    /// How long a failing changeset is retried before its stream is given up. Default: 24 h.
    pub give_up_after: Duration,
    /// The delays between retries of faults of the log and the database, and of
    /// [transient](super::Reactor::is_transient) errors. These are retried for ever.
    pub retry: Retry,
    /// How long effects are kept after they were done or discarded. Parked effects are kept for as long as
    /// they are parked. Default: 30 days.
    pub keep_effects: Duration,
    /// How long the audit of operators' actions is kept. Default: 90 days.
    pub keep_audit: Duration,
}

/// Where a new reactor starts. A reactor that ran before continues at its checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the current end of the log. Earlier events are never acted on. The default.
    #[default]
    Now,
    /// At the first changeset of the log.
    Beginning,
    /// At this checkpoint, which must not lie past the end of the log.
    At(Checkpoint),
    /// Where the log reaches this time, which must not lie in the future: see
    /// [`ChangesetLog::checkpoint_at`](ees_store::ChangesetLog::checkpoint_at). The time counts at the first start
    /// only: it becomes a checkpoint then. A time before the first changeset is the beginning.
    Since(Timestamp),
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
    /// Returns the time of the next retry of a stream, or `None` if it is given up. Its first changeset has
    /// failed `attempts` times since `since`, and must not be retried before `earliest` has passed.
    pub(crate) fn retry_at(&self, attempts: u32, since: Timestamp, earliest: Duration) -> Option<Timestamp> {
        // A delay that a receiver asked for counts too: otherwise it could postpone the decision for ever.
        if since.elapsed().saturating_add(earliest) >= self.give_up_after {
            return None;
        }
        let wait = with_jitter(self.parking.retry_after(attempts.saturating_sub(1)));
        Some(in_future(wait.max(earliest)))
    }
}

/// A little shorter or longer: streams that failed together are not all retried together.
pub(crate) fn with_jitter(wait: Duration) -> Duration {
    wait.mul_f64(0.75 + 0.5 * fastrand::f64())
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
