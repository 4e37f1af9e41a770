//! Which streams are whose, when several workers share a projection.

use ees_store::{Checkpoint, StreamId};
use serde::{Deserialize, Serialize};

/// Streams are dealt out to so many slots, for ever; partitions are ranges of slots.
pub(crate) const SLOTS: u32 = 256;

/// A part of a projection's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) index: u32,
    pub(crate) count: u32,
}

impl Partition {
    /// All of so many partitions.
    pub(crate) fn all(count: u32) -> impl Iterator<Item = Self> {
        (0..count).map(move |index| Self { index, count })
    }

    /// The one that a stream belongs to.
    pub(crate) fn of(stream_id: &StreamId, count: u32) -> Self {
        let slot = u32::try_from(hash(stream_id.as_str().as_bytes()) % u64::from(SLOTS)).unwrap_or(0);
        Self { index: slot * count / SLOTS, count }
    }

    pub(crate) fn owns(self, stream_id: &StreamId) -> bool {
        Self::of(stream_id, self.count) == self
    }
}

/// That a projection's streams are split over several rows, each with a position of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Into how many partitions.
    pub count: u32,
    /// Into how many they are to be split anew, once all have come to the barrier.
    pub next_count: Option<u32>,
    /// Where all of them stop.
    pub barrier: Option<Checkpoint>,
}

impl Split {
    pub(crate) fn into(count: u32) -> Self {
        Self { count, next_count: None, barrier: None }
    }
}

/// FNV-1a, with its bits mixed once more (as MurmurHash3 ends): the same on every machine and in every version of this
/// program.
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
    use super::*;

    fn stream(number: u32) -> StreamId {
        format!("account-{number}").parse().unwrap()
    }

    #[test]
    fn every_stream_belongs_to_one_partition_and_all_get_some() {
        for count in [1, 2, 3, 7, 16, SLOTS] {
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
    fn a_stream_stays_in_its_slot_for_ever() {
        let slots: Vec<_> = (0..4).map(|number| Partition::of(&stream(number), SLOTS).index).collect();
        assert_eq!(slots, KNOWN, "what is stored was dealt out so");
    }

    const KNOWN: [u32; 4] = [16, 71, 245, 172];
}
