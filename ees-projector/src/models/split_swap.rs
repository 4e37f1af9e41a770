//! A swap of two read models while the streams of either are dealt out to another number of partitions.
//!
//! **What is modelled.** The live read model and the standby, each with a row of the whole and rows of its partitions,
//! and tables that say what was applied of each stream. Workers, each of which has read a row of either and goes on with it
//! whenever it likes, or never. Operators deal the streams of the live one out anew, and rebuild it in place by several
//! workers. The standby takes the number of partitions that the live one has or will have. A swap reads the rows of the
//! live one, and exchanges later, as on a database that compares only when a transaction is committed.
//!
//! **What is the product's own**: what the standby must have reached (`Rows::ends`), whether it may replace the live one
//! (`Rows::may_replace`), the rows after a swap (`Rows::exchanged`), how streams are dealt out and joined, what a worker
//! reads and how its row moves.
//!
//! **What is left out.** Plans, comparisons, readers and crashes (`models::side_by_side` has them), segments, what is
//! parked. Partitions do not stand still for the swap, which makes only more possible.
//!
//! **What is promised.** See the properties below.

use std::hash::Hash;

use ees_store::Checkpoint;
use ees_test_models::checker::{holds, is_found, is_large};
use stateright::{Model, Property};

use super::log::{STREAMS, batch, stream_number};
use super::place::Place;
use super::row::{Row, partition_rows};
use super::rows::Rows;
use crate::partition::Split;
use crate::projection_state::{Position, ProjectionState};
use crate::standby::SideBySide;
use crate::worker::side_by_side::rows::Rows as RowsOfModel;
use crate::worker::side_by_side::swap::{Exchanged, RowsAfter};

const LIVE: usize = 0;
const STANDBY: usize = 1;

const APPLIED_ONCE: &str =
    "the tables have each changeset before its row's position once, from their version";
const FORWARD: &str = "no stream of what is live goes back";
const AS_WANTED: &str = "what is live has, or will have, as many partitions as were asked for last";
const ENDS: &str =
    "a partition that stops at a barrier is of a read model whose partitions are being changed";

/// A fault that a program could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// The rows keep their epochs in a swap.
    EpochsKept,
    /// Of partitions of another number, the standby has reached what the slowest of them has.
    LowestReached,
    /// The live rows are replaced, wherever they are by now.
    LiveRowsNotCompared,
    /// The standby is swapped with whatever number of partitions it has.
    NumberIgnored,
    /// Rows of partitions are replaced one by one: those that only one of the two has stay where they are.
    SomeRowsKept,
    /// What was live forgets in the row of the whole that its partitions are being changed.
    ChangeForgotten,
}

impl Mutation {
    /// Each of them, and the property that fails.
    const ALL: [(Self, &str); 6] = [
        (Self::EpochsKept, APPLIED_ONCE),
        (Self::LowestReached, FORWARD),
        (Self::LiveRowsNotCompared, FORWARD),
        (Self::NumberIgnored, AS_WANTED),
        (Self::SomeRowsKept, APPLIED_ONCE),
        (Self::ChangeForgotten, ENDS),
    ];
}

/// The sizes of the model.
#[derive(Clone, Debug)]
struct SplitSwap {
    changesets: u64,
    workers: usize,
    operations: u8,
    swaps: u8,
    mutation: Option<Mutation>,
}

/// What has the name of the live read model, or that of the standby.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Slot {
    rows: Rows,
    tables: Tables,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Tables {
    version: u32,
    /// The changesets that were applied of each stream.
    applied: [Vec<u64>; STREAMS.len()],
    is_of_another: bool,
}

/// A row that a worker has read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    slot: usize,
    place: Place,
    row: Row,
}

/// A swap that has read the live rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Swapping {
    /// That of the standby when the swap was decided.
    epoch: u64,
    live: Rows,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    slots: [Slot; 2],
    workers: Vec<Option<Held>>,
    swapping: Option<Swapping>,
    operations: u8,
    swaps: u8,
    /// How many partitions the live read model is to have.
    wanted: u32,
    /// How many changesets of each stream the live read model has had, since its last rebuild in place.
    furthest: [usize; STREAMS.len()],
    swapped_in_change: bool,
    swapped_in_rebuild: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Read {
        worker: usize,
        slot: usize,
        place: Place,
    },
    Write(usize),
    DealOut(u32),
    Rebuild(u32),
    /// The rebuild by several workers has ended in each partition.
    EndRebuild(usize),
    Join(usize),
    /// The standby takes the number of partitions of the live one.
    Adapt,
    Decide,
    Exchange,
}

impl Slot {
    fn new(whole: ProjectionState) -> Self {
        let tables = Tables { version: whole.version, applied: Default::default(), is_of_another: false };
        let mut rows = Rows::new();
        rows.begin(whole);
        Self { rows, tables }
    }

    /// Whether a rebuild has ended in all rows.
    fn is_complete(&self) -> bool {
        let Rows { whole, partitions, .. } = &self.rows;
        let rows: Vec<_> = if partitions.is_empty() { vec![whole] } else { partitions.iter().collect() };
        rows.iter().all(|row| row.0.rebuild_until.is_none())
    }

    /// Whether the tables have what the rows say.
    fn is_right(&self, changesets: u64) -> bool {
        let is_applied = |number: usize| {
            let name = STREAMS[number].parse().unwrap();
            let Some(row) = self.rows.place_of(&name).and_then(|place| self.rows.at(place)) else {
                return false;
            };
            let expected = (0..changesets.min(row.next())).filter(|at| stream_number(*at) == number);
            self.tables.applied[number].iter().copied().eq(expected)
        };
        let version = self.rows.whole.0.version;
        let is_own = self.tables.version == version && !self.tables.is_of_another;
        is_own && (0..STREAMS.len()).all(is_applied)
    }
}

/// The rows as the product has them.
fn read(rows: &Rows) -> RowsOfModel {
    RowsOfModel { whole: rows.whole.0.clone(), partitions: partition_rows(&rows.partitions) }
}

fn positions(rows: &Rows) -> Vec<Position> {
    std::iter::once(&rows.whole).chain(&rows.partitions).map(|row| row.0.position).collect()
}

impl SplitSwap {
    fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// One transaction: the fence, the next changeset, the position.
    fn write(&self, state: &mut State, worker: usize) -> Option<()> {
        let Held { slot, place, row } = state.workers[worker].take()?;
        let batch = batch(self.changesets, &row.0, place.partition(), 1)?;
        let to = batch.state_before(batch.changesets.len(), &row.0);
        let may_move = row.0.may_be_moved_by(place.partition(), to.position.next);
        let Slot { rows, tables } = &mut state.slots[slot];
        if !may_move || !rows.replace(place, &row.0, to.clone()) {
            return Some(());
        }
        tables.is_of_another |= tables.version != row.0.version;
        for entry in &batch.changesets {
            let changeset = entry.checkpoint.get();
            tables.applied[stream_number(changeset)].push(changeset);
        }
        state.workers[worker] = Some(Held { slot, place, row: Row(to) });
        Some(())
    }

    fn rebuild(&self, state: &mut State, workers: u32) {
        let live = &mut state.slots[LIVE];
        let whole = live.rows.rebuilt(self.changesets, false, Some(workers));
        live.rows.begin(whole);
        live.tables.applied = Default::default();
        state.furthest = Default::default();
    }

    fn decide(&self, state: &mut State) -> Option<()> {
        let [live, standby] = &state.slots;
        let (ours, theirs) = (read(&standby.rows), read(&live.rows));
        let is_split = ours.is_split_as_wanted_of(&theirs) || self.has(Mutation::NumberIgnored);
        if !standby.is_complete() || !is_split {
            return None;
        }
        state.swapping =
            Some(Swapping { epoch: standby.rows.whole.0.position.epoch, live: live.rows.clone() });
        Some(())
    }

    /// The transaction of a swap. It fails if a row of the live one is not as it was read.
    fn exchange(&self, state: &mut State) -> Option<()> {
        let Swapping { epoch, live: seen } = state.swapping.take()?;
        let [live, standby] = &mut state.slots;
        let is_unmoved = positions(&live.rows) == positions(&seen) || self.has(Mutation::LiveRowsNotCompared);
        let (ours, theirs) = (read(&standby.rows), read(&seen));
        let mut ends = ours.ends(&theirs, Checkpoint::new(self.changesets));
        if self.has(Mutation::LowestReached) {
            ends.fill(theirs.lowest());
        }
        let may_replace = match self.has(Mutation::NumberIgnored) {
            false => ours.may_replace(&theirs, epoch, &ends),
            true => ours.positions().iter().zip(&ends).all(|(next, end)| next >= end),
        };
        if !may_replace || !is_unmoved {
            return Some(());
        }
        state.swapped_in_change |= seen.is_changing();
        state.swapped_in_rebuild |= seen.is_changing() && !live.is_complete();
        let Exchanged { to_live, to_standby } = ours.exchanged(&theirs, Vec::new());
        let of_live = self.mistaken(to_live, &seen, &standby.rows);
        let of_standby = self.mistaken(to_standby, &standby.rows, &seen);
        live.rows.become_those(of_live);
        standby.rows.become_those(of_standby);
        std::mem::swap(&mut live.tables, &mut standby.tables);
        state.swaps += 1;
        Some(())
    }

    /// The rows that a faulty program writes in place of `before`, of which those of `from` were.
    fn mistaken(&self, to: RowsAfter, before: &Rows, from: &Rows) -> RowsAfter {
        let RowsAfter { mut whole, mut partitions } = to;
        if self.has(Mutation::EpochsKept) {
            whole.position.epoch = before.whole.0.position.epoch;
            for (row, before) in partitions.iter_mut().zip(&before.partitions) {
                row.position.epoch = before.0.position.epoch;
            }
        }
        if self.has(Mutation::SomeRowsKept) {
            let kept = before.partitions.iter().skip(partitions.len()).map(|row| row.0.clone());
            partitions.truncate(before.partitions.len());
            partitions.extend(kept);
        }
        if self.has(Mutation::ChangeForgotten) && from.is_changing() {
            whole.split = whole.split.map(|split| Split::into(split.count));
        }
        RowsAfter { whole, partitions }
    }
}

impl Model for SplitSwap {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let plan = SideBySide { no_swap: true, ..SideBySide::default() }.into();
        let until = Checkpoint::new(1);
        let split = Some(Split::into(2));
        let live = ProjectionState { split, ..ProjectionState::new(1) };
        let mut standby = ProjectionState::standby(2, until, plan, Vec::new(), split);
        standby.position.epoch = 0;
        vec![State {
            slots: [live, standby].map(Slot::new),
            workers: vec![None; self.workers],
            swapping: None,
            operations: 0,
            swaps: 0,
            wanted: 2,
            furthest: Default::default(),
            swapped_in_change: false,
            swapped_in_rebuild: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for worker in 0..self.workers {
            for slot in [LIVE, STANDBY] {
                let places = state.slots[slot].rows.places().into_iter();
                actions.extend(places.map(|place| Action::Read { worker, slot, place }));
            }
            if state.workers[worker].is_some() {
                actions.push(Action::Write(worker));
            }
        }
        if state.operations < self.operations {
            actions.extend([1, 2, 3].map(Action::DealOut));
            actions.push(Action::Rebuild(3));
        }
        for (slot, Slot { rows, .. }) in state.slots.iter().enumerate() {
            if rows.is_changing() {
                actions.extend([Action::EndRebuild(slot), Action::Join(slot)]);
            }
        }
        actions.push(Action::Adapt);
        if state.swapping.is_some() {
            actions.push(Action::Exchange);
        } else if state.swaps < self.swaps {
            actions.push(Action::Decide);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Read { worker, slot, place } => {
                let row = state.slots[slot].rows.at(place)?.clone();
                state.workers[worker] = Some(Held { slot, place, row });
            }
            Action::Write(worker) => self.write(&mut state, worker)?,
            Action::DealOut(count) => {
                state.operations += 1;
                state.wanted = count;
                state.slots[LIVE].rows.deal_out(count);
            }
            Action::Rebuild(workers) => {
                state.operations += 1;
                self.rebuild(&mut state, workers);
            }
            Action::EndRebuild(slot) => {
                let split = state.slots[slot].rows.whole.0.split?;
                if split.barrier.is_some() || !state.slots[slot].is_complete() {
                    return None;
                }
                state.slots[slot].rows.deal_out(split.next_count?);
            }
            Action::Join(slot) => {
                let whole = state.slots[slot].rows.joined()?;
                state.slots[slot].rows.begin(whole);
            }
            Action::Adapt => {
                let [live, standby] = &mut state.slots;
                let (ours, theirs) = (read(&standby.rows), read(&live.rows));
                let count = theirs.whole.partitions();
                if ours.whole.partitions() == count {
                    return None;
                }
                standby.rows.deal_out(count);
            }
            Action::Decide => self.decide(&mut state)?,
            Action::Exchange => self.exchange(&mut state)?,
        }
        for (furthest, applied) in state.furthest.iter_mut().zip(&state.slots[LIVE].tables.applied) {
            *furthest = applied.len().max(*furthest);
        }
        Some(state).filter(|state| state != before)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(APPLIED_ONCE, |model: &Self, state: &State| {
                state.slots.iter().all(|slot| slot.is_right(model.changesets))
            }),
            Property::always(FORWARD, |_, state: &State| {
                let applied = &state.slots[LIVE].tables.applied;
                state.furthest.iter().zip(applied).all(|(furthest, applied)| applied.len() >= *furthest)
            }),
            Property::always(AS_WANTED, |_, state: &State| {
                state.slots[LIVE].rows.whole.0.partitions() == state.wanted
            }),
            Property::always(ENDS, |_, state: &State| {
                let stops = |row: &Row| row.0.split.is_some_and(|split| split.barrier.is_some());
                let is_ended =
                    |Slot { rows, .. }: &Slot| rows.is_changing() || !rows.partitions.iter().any(stops);
                state.slots.iter().all(is_ended)
            }),
            Property::sometimes(
                "a swap while the partitions of the live one are changed",
                |_, state: &State| state.swapped_in_change,
            ),
            Property::sometimes("a swap while several workers rebuild the live one", |_, state: &State| {
                state.swapped_in_rebuild
            }),
            Property::sometimes("what was live has ended its change", |_, state: &State| {
                state.swapped_in_change && !state.slots[STANDBY].rows.is_changing()
            }),
            Property::sometimes("a swap and one back", |_, state: &State| state.swaps == 2),
        ]
    }
}

fn model() -> SplitSwap {
    SplitSwap { changesets: 2, workers: 1, operations: 1, swaps: 2, mutation: None }
}

#[test]
fn a_swap_loses_nothing_of_read_models_in_partitions_whose_number_changes() {
    holds(model(), 5_000);
    if is_large() {
        holds(SplitSwap { changesets: 3, ..model() }, 5_000);
        holds(SplitSwap { operations: 2, ..model() }, 5_000);
        holds(SplitSwap { workers: 2, swaps: 1, ..model() }, 5_000);
    }
}

#[test]
fn each_mutation_is_found() {
    for (mutation, property) in Mutation::ALL {
        is_found(SplitSwap { mutation: Some(mutation), ..model() }, property);
    }
}
