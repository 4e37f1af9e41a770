//! The rows of a read model, what made them, and what each worker goes on with.

use std::collections::{BTreeSet, HashMap};

use super::rebuild::Rebuild;
use super::{REBUILT, changesets_of};
use crate::models::log::{LOG, reference};
use crate::models::place::Place;
use crate::models::row::{Row, partition_rows};
use crate::models::rows::Rows;
use crate::worker::stream_rebuild::standing::Standing;

/// What is not in the log, and in a row that somebody has changed by hand.
const DAMAGE: u64 = 99;

/// The changesets that made a row, in their order.
pub(super) type Made = Vec<u64>;

/// What a worker goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Work {
    Nothing,
    /// The row as it has read it, and the streams that were parked then.
    Has {
        place: Place,
        row: Row,
        parked: BTreeSet<usize>,
    },
    /// It has the rows of all streams too, and writes what this page makes of them.
    Loaded {
        place: Place,
        row: Row,
        parked: BTreeSet<usize>,
        page: usize,
        made: Vec<Made>,
    },
}

/// What has become of a changeset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Ahead,
    Applied,
    /// Also one that waits, until it is applied.
    LeftOut,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) rows: Rows,
    pub(super) workers: Vec<Work>,
    pub(super) rebuild: Rebuild,
    /// The rows of the read model, by stream.
    pub(super) made: Vec<Made>,
    /// By stream.
    pub(super) parked: Vec<BTreeSet<u64>>,
    pub(super) fates: [Fate; LOG.len()],
    pub(super) was_damaged: bool,
    /// Whether the row of the stream may be anything.
    pub(super) is_damaged: bool,
    pub(super) failures: u8,
    pub(super) operations: u8,
    /// A row that was changed by hand is right again.
    pub(super) has_mended: bool,
    pub(super) has_begun_again: bool,
}

impl State {
    /// What the row of a stream is made of, if nobody has changed it by hand.
    pub(super) fn expected(&self, number: usize) -> Made {
        changesets_of(number).filter(|changeset| self.fates[*changeset as usize] == Fate::Applied).collect()
    }

    pub(super) fn damage(&mut self) {
        self.made[REBUILT].insert(0, DAMAGE);
        (self.was_damaged, self.is_damaged) = (true, true);
    }

    /// Where the read model is, as a transaction reads it.
    pub(super) fn seen(&self) -> Seen {
        Seen {
            whole: Row(self.rows.with_skips()),
            partitions: self.rows.partitions.clone(),
            parked: self.parked.clone(),
        }
    }

    /// Whether a rebuild of all is not yet where it was begun.
    pub(super) fn is_being_rebuilt(&self) -> bool {
        let Rows { whole, partitions, .. } = &self.rows;
        let whole = (partitions.is_empty() || self.rows.is_changing()).then_some(whole);
        partitions.iter().chain(whole).any(|row| row.0.rebuild_until.is_some())
    }
}

/// Where a read model was, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    pub(super) whole: Row,
    pub(super) partitions: Vec<Row>,
    parked: Vec<BTreeSet<u64>>,
}

impl Seen {
    pub(super) fn standing(&self) -> Standing {
        let first = |parked: &BTreeSet<u64>| parked.first().map(|first| reference(*first));
        let parked = self.parked.iter().filter_map(first);
        Standing {
            state: self.whole.0.clone(),
            partitions: partition_rows(&self.partitions),
            parked: parked.map(|first| (first.stream_id, first.changeset_id)).collect::<HashMap<_, _>>(),
        }
    }
}
