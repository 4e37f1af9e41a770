//! Which row of a read model.

use std::collections::BTreeSet;

use ees_store::StreamId;

use super::log::STREAMS;
use crate::partition::Partition;

/// A row of a read model: that of the whole, or of the partition with this number of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Whole,
    Partition { index: u32, count: u32 },
}

impl Place {
    /// Those of all partitions, if there are `count`.
    pub(super) fn of_partitions(count: usize) -> impl Iterator<Item = Self> {
        let count = count as u32;
        (0..count).map(move |index| Self::Partition { index, count })
    }

    pub(super) fn partition(self) -> Option<Partition> {
        match self {
            Self::Whole => None,
            Self::Partition { index, count } => Some(Partition { index, count }),
        }
    }

    /// Whether its worker applies this stream.
    pub(super) fn owns(self, stream: &StreamId) -> bool {
        self.partition().is_none_or(|partition| partition.owns(stream))
    }

    /// Those of the parked streams that belong to its worker.
    pub(super) fn parked_of(self, parked: &[BTreeSet<u64>]) -> BTreeSet<usize> {
        let is_own =
            |number: &usize| !parked[*number].is_empty() && self.owns(&STREAMS[*number].parse().unwrap());
        (0..STREAMS.len()).filter(is_own).collect()
    }
}
