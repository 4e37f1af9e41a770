//! Which streams belong to which partition.

use std::ops::Range;

use ees_store::{Checkpoint, StreamId};
use serde::{Deserialize, Serialize};

/// The number of buckets. A stream belongs to one bucket for ever; a partition is a range of buckets.
pub(crate) const BUCKETS: u32 = 256;

/// One partition of a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) index: u32,
    pub(crate) count: u32,
}

impl Partition {
    /// Returns all partitions, if there are `count`.
    pub(crate) fn all(count: u32) -> impl Iterator<Item = Self> {
        (0..count).map(move |index| Self { index, count })
    }

    /// Returns the partition of a stream, if there are `count`.
    pub(crate) fn of(stream_id: &StreamId, count: u32) -> Self {
        let bucket = u32::try_from(hash(stream_id.as_str().as_bytes()) % u64::from(BUCKETS)).unwrap_or(0);
        Self { index: bucket * count / BUCKETS, count }
    }

    pub(crate) fn owns(self, stream_id: &StreamId) -> bool {
        Self::of(stream_id, self.count) == self
    }

    /// Returns `true` if some stream can belong to this partition and to `other`, whatever the number of partitions of each.
    pub(crate) fn shares_streams_with(self, other: Self) -> bool {
        let [own, others] = [self, other].map(Self::buckets);
        own.start.max(others.start) < own.end.min(others.end)
    }

    fn buckets(self) -> Range<u32> {
        let first_of = |index: u32| (index * BUCKETS).div_ceil(self.count);
        first_of(self.index)..first_of(self.index + 1)
    }
}

/// How a projection is split into partitions, each with a row and a position of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The number of partitions.
    pub count: u32,
    /// The new number of partitions, while it is being changed. It applies once all partitions are at the
    /// barrier.
    pub next_count: Option<u32>,
    /// The checkpoint at which all partitions stop for that. `None` with a new number: it is set when the rebuild
    /// ends, for which the streams are dealt out. In the row of one partition, without a new number: it stands still
    /// for a comparison or a swap.
    pub barrier: Option<Checkpoint>,
}

impl Split {
    pub(crate) fn into(count: u32) -> Self {
        Self { count, next_count: None, barrier: None }
    }

    /// Deals the streams out to `workers` for the time of a rebuild. Then there are `count` partitions.
    pub(crate) fn for_rebuild(workers: u32, count: u32) -> Option<Self> {
        let split = Self { next_count: Some(count).filter(|count| *count != workers), ..Self::into(workers) };
        (workers > 1 || count > 1).then_some(split)
    }

    /// Lets the partitions stop at a checkpoint and be replaced there.
    pub(crate) fn joining_at(self, barrier: Checkpoint) -> Self {
        Self { next_count: Some(self.settled()), barrier: Some(barrier), ..self }
    }

    /// Returns the number of partitions that there will be when no change is in progress.
    pub(crate) fn settled(self) -> u32 {
        self.next_count.unwrap_or(self.count)
    }

    /// Lets go on what stands still for a comparison or a swap. A change of the number of partitions goes on, too.
    pub(crate) fn going_on(self) -> Self {
        if self.next_count.is_some() { self } else { Self::into(self.count) }
    }
}

/// FNV-1a with the final mix of MurmurHash3. The result never changes, on any machine and in any version:
/// stored partitions depend on it.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn stream(number: u32) -> StreamId {
        format!("account-{number}").parse().unwrap()
    }

    #[test]
    fn every_stream_belongs_to_one_partition_and_all_get_some() {
        for count in [1, 2, 3, 7, 16, BUCKETS] {
            let mut shares = vec![0; count as usize];
            for number in 0..20_000 {
                let owners: Vec<_> = Partition::all(count).filter(|it| it.owns(&stream(number))).collect();
                assert_eq!(owners, [Partition::of(&stream(number), count)]);
                shares[owners[0].index as usize] += 1;
            }
            let fair = 20_000 / count;
            assert!(shares.iter().all(|share| (fair / 2..=fair * 2).contains(share)), "{count}: {shares:?}");
        }
    }

    #[test]
    fn partitions_of_other_numbers_share_streams_where_their_buckets_do() {
        for (count, other) in [(1, 1), (2, 3), (3, 3), (7, 16), (4, BUCKETS), (255, BUCKETS)] {
            let mut sharing = HashSet::new();
            for bucket in 0..BUCKETS {
                sharing.insert((bucket * count / BUCKETS, bucket * other / BUCKETS));
            }
            for own in Partition::all(count) {
                for their in Partition::all(other) {
                    let is_shared = sharing.contains(&(own.index, their.index));
                    assert_eq!(own.shares_streams_with(their), is_shared, "{own:?} {their:?}");
                }
            }
        }
    }

    #[test]
    fn a_stream_stays_in_its_bucket_for_ever() {
        let buckets: Vec<_> = (0..4).map(|number| Partition::of(&stream(number), BUCKETS).index).collect();
        assert_eq!(buckets, KNOWN, "stored partitions depend on these buckets");
    }

    const KNOWN: [u32; 4] = [16, 71, 245, 172];
}
