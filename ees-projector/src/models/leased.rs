//! The rows of a read model, each with who has its lease.

use super::place::Place;
use super::row::Row;
use crate::projection_state::ProjectionState;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leased {
    pub(super) row: Row,
    /// Who has the lease.
    pub(super) owner: Option<usize>,
}

impl Leased {
    /// A row of which nobody has the lease.
    pub(super) fn free(row: ProjectionState) -> Self {
        Self { row: Row(row), owner: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LeasedRows {
    pub(super) whole: Leased,
    pub(super) partitions: Vec<Leased>,
}

impl LeasedRows {
    pub(super) fn new(whole: ProjectionState) -> Self {
        Self { whole: Leased::free(whole), partitions: Vec::new() }
    }

    /// The row at a place. Of partitions, there may be another number by now.
    pub(super) fn at(&self, place: Place) -> Option<&Leased> {
        match place {
            Place::Whole => Some(&self.whole),
            Place::Partition { index, .. } => self.partitions.get(index as usize),
        }
    }

    pub(super) fn at_mut(&mut self, place: Place) -> Option<&mut Leased> {
        match place {
            Place::Whole => Some(&mut self.whole),
            Place::Partition { index, .. } => self.partitions.get_mut(index as usize),
        }
    }

    /// The rows that have positions.
    pub(super) fn places(&self) -> Vec<Place> {
        match self.whole.row.0.split {
            None => vec![Place::Whole],
            Some(_) => Place::of_partitions(self.partitions.len()).collect(),
        }
    }

    /// The rows that have positions, each with its place.
    pub(super) fn positions(&self) -> Vec<(Place, &Row)> {
        self.places().into_iter().filter_map(|place| Some((place, &self.at(place)?.row))).collect()
    }

    pub(super) fn of_partitions(&self) -> Vec<ProjectionState> {
        self.partitions.iter().map(|leased| leased.row.0.clone()).collect()
    }

    /// The row of the whole with what was skipped in the partitions.
    pub(super) fn with_skips(&self) -> ProjectionState {
        let mut whole = self.whole.row.0.clone();
        whole.add_skips(self.partitions.iter().flat_map(|leased| leased.row.0.skips.clone()));
        whole
    }

    /// The row of the whole, once all partitions have come to where they wait for each other.
    pub(super) fn joined(&self) -> Option<ProjectionState> {
        self.joined_of(|_| true)
    }

    /// By mistake: once one of them has.
    pub(super) fn joined_by_the_first(&self) -> Option<ProjectionState> {
        let barrier = self.whole.row.0.split?.barrier?;
        self.joined_of(|row| row.position.next == barrier)
    }

    fn joined_of(&self, is_asked: impl Fn(&ProjectionState) -> bool) -> Option<ProjectionState> {
        let rows: Vec<_> =
            self.partitions.iter().map(|leased| &leased.row.0).filter(|row| is_asked(row)).collect();
        self.whole.row.0.joined(&rows)
    }
}
