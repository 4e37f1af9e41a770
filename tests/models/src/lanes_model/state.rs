//! What is stored in the table, and what each process remembers.

use std::collections::{BTreeMap, BTreeSet};

use crate::lanes::{Counter, Cut, Generation};

/// A changeset: its stream, and its number there, from 0.
pub type Changeset = (usize, usize);

/// A key of the global index: generation, lane, position.
pub type Key = (usize, usize, u64);

/// The table and all processes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The items of the generations.
    pub(super) generations: Vec<Generation>,
    /// In the item of the newest generation: how many lanes the next one is to have.
    pub(super) next_lanes: Option<usize>,
    /// By generation and lane.
    pub(super) counters: Vec<Vec<Counter>>,
    /// By generation and base.
    pub(super) cuts: Vec<BTreeMap<u64, Cut>>,
    /// The global index.
    pub(super) entries: BTreeMap<Key, Changeset>,
    /// Entries that are in the table already and not in the index yet.
    pub(super) late: BTreeSet<Key>,
    /// By stream and number, whether a changeset has its place.
    pub(super) placed: Vec<Vec<bool>>,
    /// Those that give out places. It makes no difference which of them does what: so they are kept sorted.
    pub(super) indexers: Vec<Indexer>,
    /// Those that write cuts, sorted too.
    pub(super) cutters: Vec<Cutter>,
    /// What has been read in the global order, by checkpoint, each as early as it could be. (`None`: stepped over.)
    pub(super) read: Vec<Option<Changeset>>,
    /// Readers by lane: the next position of each lane of each generation.
    pub(super) positions: Vec<Vec<u64>>,
    /// By stream, how many changesets the readers by lane have applied. `None` if one came out of its order.
    pub(super) applied: Vec<Option<usize>>,
}

/// What an indexer remembers between two calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Indexer {
    Idle,
    /// It has seen a changeset that has no place, and believes that this is the newest generation.
    Reading {
        generation: usize,
        changeset: Changeset,
    },
    /// It has read the counter of the changeset's lane.
    Placing {
        generation: usize,
        lane: usize,
        length: u64,
        changeset: Changeset,
    },
    /// It has moved the counter, and not written the place (only with a [`Mistake`](super::Mistake)).
    Moved {
        key: Key,
        changeset: Changeset,
    },
}

/// What a cutter remembers between two calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Cutter {
    Idle,
    Reading {
        generation: usize,
        next_lanes: Option<usize>,
        /// Whether it reads the last cut before the counters, or after them.
        last_cut_first: bool,
        /// The last cut, once it has asked for it.
        last: Option<Option<Cut>>,
        /// The counters that it has read so far, one by one.
        counters: Vec<Counter>,
    },
}
