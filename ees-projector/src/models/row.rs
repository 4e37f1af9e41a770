//! The rows of a read model and of its partitions, as the models of workers compare and keep them.

use std::hash::{Hash, Hasher};

use ees_store::{Checkpoint, Timestamp};

use super::place::Place;
use crate::database::PartitionRow;
use crate::projection_state::{Pause, PausedBy, Position, ProjectionState};
use crate::read_model_id::ReadModelId;
use crate::segment_progress::SegmentProgress;

/// A row, hashed by what workers and operators move. `stateright` takes states of the same hash for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row(pub(super) ProjectionState);

impl Hash for Row {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let ProjectionState {
            version,
            position: Position { next, epoch },
            rebuild_until,
            pause,
            split,
            skips,
            segment,
            ..
        } = &self.0;
        (version, next.get(), epoch, rebuild_until.map(Checkpoint::get), pause.is_some()).hash(hasher);
        split.map(|split| (split.count, split.next_count, split.barrier.map(Checkpoint::get))).hash(hasher);
        for skipped in skips {
            skipped.checkpoint.get().hash(hasher);
        }
        let progress = |SegmentProgress { segment, until, after, passed }: &SegmentProgress| {
            let after = after.as_ref().map(|place| (place.stream_id().to_owned(), place.changeset_id()));
            (segment.index, segment.count, until.get(), after, *passed)
        };
        segment.as_ref().map(progress).hash(hasher);
    }
}

impl Row {
    pub(super) fn next(&self) -> u64 {
        self.0.position.next.get()
    }
}

/// The rows of a read model's partitions, in order, as a database returns them.
pub(super) fn partition_rows<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<PartitionRow> {
    let id = ReadModelId::live("balances");
    let row = |(index, row): (u32, &Row)| PartitionRow {
        id: id.with_partition(index),
        owner: None,
        state: row.0.clone(),
    };
    (0..).zip(rows).map(row).collect()
}

/// A skip that an operator has decided on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) place: Place,
    pub(super) from: u64,
    pub(super) epoch: u64,
    pub(super) version: u32,
    pub(super) changeset: u64,
}

pub(super) fn pause() -> Pause {
    Pause { by: PausedBy::Operator, reason: String::new(), since: Timestamp::from_micros(0), failure: None }
}
