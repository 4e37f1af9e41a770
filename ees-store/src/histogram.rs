//! A histogram in plain atomics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets, with the last one for everything that is larger.
const BUCKETS: usize = 19;

/// How large values are: counted in buckets, each of which ends at twice the value of the one before.
///
/// Recording a value costs two additions. Readers may see one of them before the other.
///
/// ```
/// use ees_store::Histogram;
/// let sizes = Histogram::from(1);
/// for size in [1, 2, 3, 1_000] {
///     sizes.record(size);
/// }
/// assert_eq!((sizes.count(), sizes.sum()), (4, 1_006));
/// let (ends_at, values) = sizes.buckets().nth(2).unwrap();
/// assert_eq!((ends_at, values), (Some(4), 1));
/// ```
#[derive(Debug)]
pub struct Histogram {
    first: u64,
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Histogram {
    /// A histogram whose first bucket ends at this value, which is at least 1.
    pub fn from(first: u64) -> Self {
        Self { first: first.max(1), counts: Default::default(), sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn record(&self, value: u64) {
        let doublings = value.div_ceil(self.first).max(1).checked_next_power_of_two();
        let bucket = doublings.map_or(BUCKETS, |doublings| doublings.trailing_zeros() as usize);
        self.counts[bucket.min(BUCKETS - 1)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// The values that were counted.
    pub fn count(&self) -> u64 {
        self.buckets().map(|(_, values)| values).sum()
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }

    /// The largest value that belongs to each bucket, and how many values it has. The last bucket has no end.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        self.counts.iter().enumerate().map(|(bucket, values)| {
            let ends_at = (bucket + 1 < BUCKETS).then(|| self.first << bucket);
            (ends_at, values.load(Relaxed))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bucket_that_reaches_it() {
        for (value, ends_at) in [
            (0, Some(250)),
            (250, Some(250)),
            (251, Some(500)),
            (500, Some(500)),
            (501, Some(1_000)),
            (250 << 17, Some(250 << 17)),
            ((250 << 17) + 1, None),
            (u64::MAX, None),
        ] {
            let times = Histogram::from(250);
            times.record(value);
            let found: Vec<_> = times.buckets().filter(|(_, values)| *values > 0).collect();
            assert_eq!(found, [(ends_at, 1)], "{value}");
        }
    }
}
