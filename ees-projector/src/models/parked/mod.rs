//! Parked streams of a projection: a changeset that fails waits with those that follow it, while other streams go on.
//!
//! **What is modelled.** A log with a few changesets of two streams, and a standby that applies it: as a whole, in
//! partitions, or by one segment. Two workers, each of which has read a row, and what was parked then, at some time, and goes on
//! with it whenever it likes. Changesets fail, also when they are retried. Operators skip what waits, here and in the live
//! read model; rebuild; move the read model back; take it over; and deal the streams out anew.
//!
//! **What is the product's own**: what becomes of a changeset (`what_becomes_of`), how a row moves past one that fails
//! (`past`), who may park (`may_park`) and retry (`may_retry`), [`transition`], which streams a partition has, how they are dealt
//! out and joined, which rows note a skip (`may_come_to`).
//!
//! **What is left out.** Leases: any worker may act at any time, which is more than leases allow. When a retry is due, and how
//! much may be parked. What a reactor does outside of the transaction: the model of its ledger has one parked stream.
//!
//! **What is promised.** See the properties below.

mod mutation;
mod operator;
mod properties;
mod state;
mod tests;
mod worker;

use std::collections::BTreeSet;

use stateright::{Model, Property};

use crate::models::log::{LOG, STREAMS};
use crate::models::place::Place;
use crate::models::row::Row;
use crate::models::rows::Rows;
use mutation::Mutation;
use state::{Fate, State, Work};

/// The sizes of the model.
#[derive(Clone, Debug)]
struct Parked {
    changesets: u64,
    /// Whether it begins with a rebuild by one segment.
    by_segments: bool,
    /// How often a changeset fails, for the first time or again.
    failures: u8,
    /// How often an operator acts.
    operations: u8,
    mutation: Option<Mutation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Read {
        worker: usize,
        place: Place,
    },
    /// A page of so many changesets is read, and so many of them are passed.
    Step {
        worker: usize,
        page: usize,
        part: usize,
    },
    Fail(usize),
    /// It parks what it has passed (with a mutation only).
    ParkLate(usize),
    BeginToRetry {
        worker: usize,
        stream: usize,
    },
    Retry {
        worker: usize,
        succeeds: bool,
    },
    DecideToSkip(u64),
    SkipParked,
    SkipInLive(u64),
    TakeOver,
    Rebuild,
    GoBack,
    DealOut(u32),
    Join,
}

impl Parked {
    fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn actions_of(&self, state: &State, worker: usize, actions: &mut Vec<Action>) {
        actions.extend(state.rows.places().into_iter().map(|place| Action::Read { worker, place }));
        let may_fail = state.failures < self.failures;
        match &state.workers[worker] {
            Work::Nothing => {}
            Work::Has { row, .. } => {
                if !row.0.is_at_barrier() {
                    let sizes = [(1, 1), (2, 2), (2, 1)];
                    actions.extend(sizes.map(|(page, part)| Action::Step { worker, page, part }));
                    if may_fail {
                        actions.push(Action::Fail(worker));
                    }
                }
                let streams = (0..STREAMS.len()).filter(|stream| !state.parked[*stream].is_empty());
                actions.extend(streams.map(|stream| Action::BeginToRetry { worker, stream }));
            }
            Work::Retries { .. } => {
                actions.push(Action::Retry { worker, succeeds: true });
                if may_fail {
                    actions.push(Action::Retry { worker, succeeds: false });
                }
            }
            Work::Parks { .. } => actions.push(Action::ParkLate(worker)),
        }
    }
}

impl Model for Parked {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            rows: Rows::new(),
            workers: [Work::Nothing, Work::Nothing],
            parked: vec![BTreeSet::new(); STREAMS.len()],
            fates: [Fate::default(); LOG.len()],
            asked: None,
            skipped: 0,
            failures: 0,
            operations: 0,
            has_failed_again: false,
            out_of_order: false,
        };
        self.rebuild(&mut state);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for worker in 0..state.workers.len() {
            self.actions_of(state, worker, actions);
        }
        if state.rows.joined().is_some() {
            actions.push(Action::Join);
        }
        self.operations(state, actions);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        state.operations += u8::from(is_operation(action));
        match action {
            Action::Read { worker, place } => self.read(&mut state, worker, place)?,
            Action::Step { worker, page, part } => self.step(&mut state, worker, page, part)?,
            Action::Fail(worker) => self.fail(&mut state, worker)?,
            Action::ParkLate(worker) => Self::park_late(&mut state, worker)?,
            Action::BeginToRetry { worker, stream } => Self::begin_to_retry(&mut state, worker, stream)?,
            Action::Retry { worker, succeeds } => self.retry(&mut state, worker, succeeds)?,
            Action::DecideToSkip(changeset) => Self::decide_to_skip(&mut state, changeset)?,
            Action::SkipParked => self.skip_parked(&mut state)?,
            Action::SkipInLive(changeset) => self.skip_in_live(&mut state, changeset)?,
            Action::TakeOver => {
                for place in state.rows.places() {
                    let row = state.rows.at_mut(place)?;
                    *row = Row(row.0.moved(|_| {}));
                }
            }
            Action::Rebuild => self.rebuild(&mut state),
            Action::GoBack => self.go_back(&mut state)?,
            Action::DealOut(count) => state.rows.deal_out(count),
            Action::Join => self.join(&mut state)?,
        }
        for changeset in 0..self.changesets {
            // What waits already, and is passed again, waits once.
            let waited = before.is_parked(changeset) && action != Action::Rebuild;
            let is_new = !before.is_passed(changeset) && state.is_passed(changeset) && !waited;
            state.fates[changeset as usize].passed += u8::from(is_new);
        }
        Some(state).filter(|state| state != before)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.all_properties()
    }
}

fn is_operation(action: Action) -> bool {
    matches!(
        action,
        Action::DecideToSkip(_)
            | Action::SkipInLive(_)
            | Action::TakeOver
            | Action::Rebuild
            | Action::GoBack
            | Action::DealOut(_)
    )
}
