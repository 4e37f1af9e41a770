//! The rows of a read model, what is parked in it, and what each worker goes on with.

use std::collections::BTreeSet;

use crate::models::log::{LOG, is_passed_in, segment_of, stream};
use crate::models::place::Place;
use crate::models::row::Row;
use crate::models::rows::Rows;
use crate::partition::Partition;

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
    pub(super) rows: Rows,
    pub(super) workers: [Work; 2],
    /// By stream.
    pub(super) parked: Vec<BTreeSet<u64>>,
    pub(super) fates: [Fate; LOG.len()],
    pub(super) asked: Option<Asked>,
    /// What was skipped.
    pub(super) skipped: u8,
    pub(super) failures: u8,
    pub(super) operations: u8,
    pub(super) has_failed_again: bool,
    pub(super) out_of_order: bool,
}

impl State {
    pub(super) fn is_parked(&self, changeset: u64) -> bool {
        self.parked.iter().any(|parked| parked.contains(&changeset))
    }

    /// Whether the rows say that a changeset is passed.
    pub(super) fn is_passed(&self, changeset: u64) -> bool {
        let row = match self.rows.whole.0.split {
            None => Some(&self.rows.whole),
            Some(split) => {
                let index = match self.rows.whole.0.segment {
                    Some(_) => segment_of(stream(changeset), split.count),
                    None => Partition::of(stream(changeset), split.count).index,
                };
                self.rows.partitions.get(index as usize)
            }
        };
        row.is_some_and(|Row(row)| match &row.segment {
            Some(progress) => is_passed_in(progress, changeset),
            None => changeset < row.position.next.get(),
        })
    }
}
