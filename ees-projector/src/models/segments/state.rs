//! The rows of a read model that is rebuilt, its tables, and what each worker goes on with.

use crate::models::leased::LeasedRows;
use crate::models::place::Place;
use crate::models::row::{Asked, Row, partition_rows};
use crate::projection_state::ProjectionState;

/// What a worker goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Work {
    Nothing,
    /// The row as it has read or written it.
    Has {
        place: Place,
        row: Row,
    },
    /// It has written rows, and moves its own row next (with a mutation only).
    Applied {
        place: Place,
        row: Row,
        to: Box<Row>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// Where the log ends.
    pub(super) head: u64,
    pub(super) rows: LeasedRows,
    pub(super) workers: [Work; 2],
    pub(super) asked: Option<Asked>,
    /// The rows of the read model: by stream, which changesets were applied, and by which version.
    pub(super) applied: Vec<Vec<(u64, u32)>>,
    /// What was skipped before it was passed.
    pub(super) left_out: u8,
    /// What was skipped in this read model.
    pub(super) skipped: u8,
    /// The head that the rebuild has noted.
    pub(super) until: u64,
    /// The next epoch that was never used.
    pub(super) epoch: u64,
    pub(super) takeovers: u8,
    pub(super) operations: u8,
    /// Whether an operator has paused it.
    pub(super) is_paused: bool,
    pub(super) was_joined: bool,
    pub(super) was_begun_anew: bool,
    pub(super) wrote_without_lease: bool,
    pub(super) wrote_while_paused: bool,
}

impl State {
    /// The rows that have positions.
    pub(super) fn positions(&self) -> Vec<&Row> {
        self.rows.positions().into_iter().map(|(_, row)| row).collect()
    }

    pub(super) fn is_reading_segments(&self) -> bool {
        self.positions().iter().any(|row| row.0.segment.is_some()) || self.rows.whole.row.0.segment.is_some()
    }

    /// The row as it is shown to readers and operators.
    pub(super) fn shown(&self) -> ProjectionState {
        let whole = self.rows.whole.row.0.clone();
        let Some(split) = whole.split else { return whole };
        let rows = partition_rows(self.rows.partitions.iter().map(|leased| &leased.row));
        whole.with_partitions(split, &rows)
    }

    pub(super) fn times_applied(&self, changeset: u64) -> usize {
        self.applied.iter().flatten().filter(|(applied, _)| *applied == changeset).count()
    }
}
