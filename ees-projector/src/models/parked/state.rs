//! The rows of a read model, what is parked in it, and what each worker goes on with.

use std::collections::{BTreeSet, HashSet};

use ees_store::StreamId;

use crate::models::log::{LOG, STREAMS, is_passed_in, segment_of, stream};
use crate::models::row::Row;
use crate::partition::Partition;
use crate::projection_state::ProjectionState;

/// A row of the read model: that of the whole, or of the partition with this number of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Whole,
    Partition { index: u32, count: u32 },
}

impl Place {
    pub(super) fn partition(self) -> Option<Partition> {
        match self {
            Self::Whole => None,
            Self::Partition { index, count } => Some(Partition { index, count }),
        }
    }
}

/// What a worker goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Work {
    Nothing,
    /// The row as it has read or written it, and the streams that were parked then.
    Has {
        place: Place,
        row: Row,
        parked: BTreeSet<usize>,
    },
    /// It retries these changesets of a stream, one after the other.
    Retries {
        place: Place,
        row: Row,
        changesets: Vec<u64>,
    },
    /// It has passed a changeset, and parks it next (with a mutation only).
    Parks {
        changeset: u64,
    },
}

/// A skip of a parked changeset, on which an operator has decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) place: Place,
    pub(super) epoch: u64,
    pub(super) version: u32,
    pub(super) changeset: u64,
}

/// What has become of a changeset. The numbers are above 1 only if an operator has moved the read model back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Fate {
    pub(super) passed: u8,
    pub(super) applied: u8,
    pub(super) left_out: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) whole: Row,
    pub(super) partitions: Vec<Row>,
    pub(super) workers: [Work; 2],
    /// By stream.
    pub(super) parked: Vec<BTreeSet<u64>>,
    pub(super) fates: [Fate; LOG.len()],
    pub(super) asked: Option<Asked>,
    /// What was skipped.
    pub(super) skipped: u8,
    /// The next epoch that was never used.
    pub(super) epoch: u64,
    pub(super) failures: u8,
    pub(super) operations: u8,
    pub(super) has_failed_again: bool,
    pub(super) out_of_order: bool,
}

impl State {
    pub(super) fn places(&self) -> Vec<Place> {
        let count = self.partitions.len() as u32;
        match self.whole.0.split {
            None => vec![Place::Whole],
            Some(_) => (0..count).map(|index| Place::Partition { index, count }).collect(),
        }
    }

    /// The row at a place. Of partitions, there may be another number by now.
    pub(super) fn at(&self, place: Place) -> Option<&Row> {
        match place {
            Place::Whole => Some(&self.whole),
            Place::Partition { index, .. } => self.partitions.get(index as usize),
        }
    }

    pub(super) fn at_mut(&mut self, place: Place) -> Option<&mut Row> {
        match place {
            Place::Whole => Some(&mut self.whole),
            Place::Partition { index, .. } => self.partitions.get_mut(index as usize),
        }
    }

    /// The parked streams that belong to a worker.
    pub(super) fn parked_of(&self, place: Place) -> BTreeSet<usize> {
        let is_own = |number: &usize| {
            place.partition().is_none_or(|partition| partition.owns(&STREAMS[*number].parse().unwrap()))
        };
        (0..STREAMS.len()).filter(|number| !self.parked[*number].is_empty()).filter(is_own).collect()
    }

    pub(super) fn is_parked(&self, changeset: u64) -> bool {
        self.parked.iter().any(|parked| parked.contains(&changeset))
    }

    /// Whether the rows say that a changeset is passed.
    pub(super) fn is_passed(&self, changeset: u64) -> bool {
        let row = match self.whole.0.split {
            None => Some(&self.whole),
            Some(split) => {
                let index = match self.whole.0.segment {
                    Some(_) => segment_of(stream(changeset), split.count),
                    None => Partition::of(stream(changeset), split.count).index,
                };
                self.partitions.get(index as usize)
            }
        };
        row.is_some_and(|Row(row)| match &row.segment {
            Some(progress) => is_passed_in(progress, changeset),
            None => changeset < row.position.next.get(),
        })
    }

    pub(super) fn partition_states(&self) -> Vec<ProjectionState> {
        self.partitions.iter().map(|row| row.0.clone()).collect()
    }

    /// The row of the whole with what was skipped in the partitions.
    pub(super) fn with_skips(&self) -> ProjectionState {
        let mut whole = self.whole.0.clone();
        whole.add_skips(self.partitions.iter().flat_map(|row| row.0.skips.clone()));
        whole
    }
}

/// The names of these streams.
pub(super) fn names(streams: &BTreeSet<usize>) -> HashSet<StreamId> {
    streams.iter().map(|number| STREAMS[*number].parse().unwrap()).collect()
}
