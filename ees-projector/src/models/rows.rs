//! The rows that say how far a read model is: one of the whole, and one of each partition.

use std::collections::{BTreeSet, HashSet};

use ees_store::{Checkpoint, StreamId};

use super::log::STREAMS;
use super::place::Place;
use super::row::Row;
use crate::partition::Partition;
use crate::projection_state::ProjectionState;
use crate::worker::operations::transition::{Transition, transition};
use crate::worker::partitions::DealtOut;
use crate::worker::side_by_side::swap::RowsAfter;

/// The names of these streams.
pub(super) fn names(streams: &BTreeSet<usize>) -> HashSet<StreamId> {
    streams.iter().map(|number| STREAMS[*number].parse().unwrap()).collect()
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rows {
    pub(super) whole: Row,
    pub(super) partitions: Vec<Row>,
    /// The next epoch that was never used.
    epoch: u64,
}

impl Rows {
    /// Those of a read model that has not begun.
    pub(super) fn new() -> Self {
        Self { whole: Row(ProjectionState::new(1)), partitions: Vec::new(), epoch: 100 }
    }

    /// The rows that workers move.
    pub(super) fn places(&self) -> Vec<Place> {
        match self.whole.0.split {
            None => vec![Place::Whole],
            Some(_) => Place::of_partitions(self.partitions.len()).collect(),
        }
    }

    /// The row that says what was applied of a stream.
    pub(super) fn place_of(&self, stream: &StreamId) -> Option<Place> {
        self.places().into_iter().find(|place| place.owns(stream))
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

    /// Moves a row, if it is where somebody believes it to be.
    pub(super) fn replace(&mut self, place: Place, believed: &ProjectionState, to: ProjectionState) -> bool {
        let Some(stored) = self.at_mut(place) else { return false };
        let is_same = stored.0.position == believed.position;
        if is_same {
            *stored = Row(to);
        }
        is_same
    }

    /// The row of the whole with what was skipped in the partitions.
    pub(super) fn with_skips(&self) -> ProjectionState {
        let mut whole = self.whole.0.clone();
        whole.add_skips(self.partitions.iter().flat_map(|row| row.0.skips.clone()));
        whole
    }

    /// Whether the number of partitions is about to change.
    pub(super) fn is_changing(&self) -> bool {
        self.whole.0.split.is_some_and(|split| split.next_count.is_some())
    }

    /// Sets the row of the whole, and the rows of the partitions that it asks for.
    pub(super) fn begin(&mut self, whole: ProjectionState) {
        self.partitions.clear();
        if let Some(split) = whole.split {
            let epoch = self.epoch;
            // Those of the one before never come so far.
            self.epoch += 100;
            let row = |partition: Partition| Row(whole.partition(split, partition.index, epoch));
            self.partitions = Partition::all(split.count).map(row).collect();
        }
        self.whole = Row(whole);
    }

    /// Sets the rows that a swap leaves here.
    pub(super) fn become_those(&mut self, RowsAfter { whole, partitions }: RowsAfter) {
        let epochs = partitions.iter().map(|row| row.position.epoch + 100);
        self.epoch = epochs.max().unwrap_or(0).max(self.epoch);
        (self.whole, self.partitions) = (Row(whole), partitions.into_iter().map(Row).collect());
    }

    /// The row of the whole when a rebuild of so many changesets begins.
    pub(super) fn rebuilt(
        &self,
        changesets: u64,
        by_segments: bool,
        workers: Option<u32>,
    ) -> ProjectionState {
        let known = self.with_skips();
        let rebuild = Transition::Rebuild {
            version: known.version,
            until: Checkpoint::new(changesets),
            keeps_skips: true,
            by_segments,
            workers,
            fingerprint: None,
        };
        transition(&known, &rebuild).unwrap()
    }

    /// Moves the whole back to the start of a log of so many changesets, if that may be.
    pub(super) fn go_back(&mut self, changesets: u64) -> Option<()> {
        let (believed, head) = (self.whole.0.position.next, Checkpoint::new(changesets));
        let back = Transition::SetCheckpoint { believed, wanted: Checkpoint::START, head };
        self.whole = Row(transition(&self.whole.0, &back).ok()?);
        Some(())
    }

    pub(super) fn deal_out(&mut self, count: u32) {
        let rows: Vec<_> = self.partitions.iter().map(|row| &row.0).collect();
        match self.whole.0.dealt_out(&rows, count, true) {
            DealtOut::AtOnce(whole) => self.begin(whole),
            DealtOut::AtBarrier(whole, moved) => {
                self.whole = Row(whole);
                self.partitions = moved.into_iter().map(Row).collect();
            }
        }
    }

    /// The row of the whole, once all partitions have come to where they wait for each other.
    pub(super) fn joined(&self) -> Option<ProjectionState> {
        self.whole.0.joined(&self.partitions.iter().map(|row| &row.0).collect::<Vec<_>>())
    }
}
