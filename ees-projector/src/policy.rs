//! What happens when a changeset can't be applied.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use ees_store::Timestamp;

/// How often and at which pace a failing changeset is tried before the [`OnFailure`] policy decides.
///
/// Exponential with jitter. Faults of a connection or a disk are tried at the same pace, but for ever.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// How often it is tried again; 5 unless set.
    pub times: usize,
    /// The first wait; 100 ms unless set.
    pub delay_min: Duration,
    /// The longest wait; 10 s unless set.
    pub delay_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { times: 5, delay_min: Duration::from_millis(100), delay_max: Duration::from_secs(10) }
    }
}

impl Retry {
    /// The waits of a failing changeset; it has failed for good when they run out.
    pub(crate) fn delays(self) -> ExponentialBackoff {
        self.builder().with_max_times(self.times).build()
    }

    /// The waits of a fault that is nobody's but the machine's.
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

/// What happens to a changeset that failed for good.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum OnFailure {
    /// The projection stops before it, says which and why, and waits for an operator. Nothing is applied out of
    /// order, nothing is lost.
    #[default]
    Pause,
    /// Its stream waits, this changeset and all later ones in order; the other streams go on. Only for projections
    /// that declare [`Order::Stream`](crate::Order::Stream).
    Park(Parking),
}

/// How streams are parked, and tried again.
///
/// A parked changeset is kept until it is applied, skipped, or the read model is built anew, however long that takes:
/// nothing else knows that it is missing. What bounds them is the two maxima.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parking {
    /// The most streams that may wait, in each partition; one more pauses it. 1,000 unless set.
    pub streams_max: usize,
    /// The most changesets that may wait, in each partition; one more pauses it. 100,000 unless set.
    pub changesets_max: u64,
    /// How long a stream waits before it is tried again, doubled with every failure; 30 s unless set.
    pub retry_after_min: Duration,
    /// The longest such wait; 1 h unless set.
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
    /// The wait after so many failures.
    pub(crate) fn retry_after(self, attempts: u32) -> Duration {
        let doubled = self.retry_after_min.saturating_mul(2_u32.saturating_pow(attempts.min(30)));
        doubled.min(self.retry_after_max)
    }
}

/// The moment after so long.
pub(crate) fn in_future(wait: Duration) -> Timestamp {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(Timestamp::now().as_micros().saturating_add(micros))
}

/// The moment so long ago.
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
