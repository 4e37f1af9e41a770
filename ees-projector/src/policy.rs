//! What happens when a changeset can't be applied.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use ees_store::Timestamp;

/// How often and how fast a failing changeset is retried before the [`OnFailure`] policy decides.
///
/// The delays grow exponentially, with jitter. Transient faults (a lost connection, a full disk) use the same
/// delays, and are retried for ever.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// How many times a changeset is retried. Default: 5.
    pub times: usize,
    /// The first delay. Default: 100 ms.
    pub delay_min: Duration,
    /// The longest delay. Default: 10 s.
    pub delay_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { times: 5, delay_min: Duration::from_millis(100), delay_max: Duration::from_secs(10) }
    }
}

impl Retry {
    /// Returns the delays for a failing changeset. When they run out, the policy decides.
    pub(crate) fn delays(self) -> ExponentialBackoff {
        self.builder().with_max_times(self.times).build()
    }

    /// Returns the delays for a transient fault. They never run out.
    pub(crate) fn delays_without_end(self) -> ExponentialBackoff {
        self.builder().without_max_times().build()
    }

    fn builder(self) -> ExponentialBuilder {
        ExponentialBuilder::new()
            .with_factor(3.0)
            .with_min_delay(self.delay_min)
            .with_max_delay(self.delay_max)
            .with_jitter()
    }
}

/// What happens to a changeset that still fails after the last retry.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum OnFailure {
    /// Pauses the projection before the changeset until an operator resumes it. Nothing is applied out of
    /// order and nothing is lost. The default.
    #[default]
    Pause,
    /// Parks the stream: this changeset and all later ones of the stream wait, in order, and are retried. The
    /// other streams go on. Only for projections with [`Order::Stream`](crate::Order::Stream).
    Park(Parking),
}

/// How streams are parked and retried.
///
/// A parked changeset is kept until it is applied or skipped, or the read model is rebuilt, however long that
/// takes: nothing else records that it is missing. The two maxima bound what is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parking {
    /// The most parked streams in each partition. One more pauses the projection. Default: 1,000.
    pub streams_max: usize,
    /// The most parked changesets in each partition. One more pauses the projection. Default: 100,000.
    pub changesets_max: u64,
    /// The delay before the first retry of a parked stream. It doubles with every failure. Default: 30 s.
    pub retry_after_min: Duration,
    /// The longest delay. Default: 1 h.
    pub retry_after_max: Duration,
}

impl Default for Parking {
    fn default() -> Self {
        Self {
            streams_max: 1_000,
            changesets_max: 100_000,
            retry_after_min: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(60 * 60),
        }
    }
}

impl Parking {
    /// Returns the delay after this many failures.
    pub(crate) fn retry_after(self, attempts: u32) -> Duration {
        let doubled = self.retry_after_min.saturating_mul(2_u32.saturating_pow(attempts.min(30)));
        doubled.min(self.retry_after_max)
    }
}

/// Returns the time after this delay.
pub(crate) fn in_future(wait: Duration) -> Timestamp {
    Timestamp::now() + wait
}

/// Returns the time before this delay.
pub(crate) fn in_past(ago: Duration) -> Timestamp {
    let micros = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(Timestamp::now().as_micros().saturating_sub(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_changeset_is_tried_a_bounded_number_of_times_and_a_fault_for_ever() {
        let retry = Retry::default();
        assert_eq!(retry.delays().count(), 5);
        assert_eq!(retry.delays_without_end().take(1_000).count(), 1_000);
        assert!(retry.delays_without_end().take(1_000).all(|wait| wait <= 2 * retry.delay_max));
    }

    #[test]
    fn a_parked_stream_waits_longer_each_time_up_to_a_limit() {
        let parking = Parking::default();
        assert_eq!(parking.retry_after(0), Duration::from_secs(30));
        assert_eq!(parking.retry_after(2), Duration::from_secs(120));
        assert_eq!(parking.retry_after(u32::MAX), Duration::from_secs(3_600));
    }
}
