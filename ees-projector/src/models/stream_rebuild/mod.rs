//! The rebuild of the rows of some streams, while a projection goes on.
//!
//! **What is modelled.** A log with a few changesets of two streams, and a read model that applies it, as a whole or in
//! partitions. Workers, each of which has read its row, what is parked, and then the rows of streams, and writes whenever it
//! likes. A process that replays one stream, as far as the read model has it, again whenever that has moved, and then
//! replaces the row of the stream: it reads where the read model is, and writes later, as on a database that compares only when
//! a transaction is committed. Somebody changes the row of the stream by hand. Changesets fail, and are retried. Operators
//! skip, move the read model back, rebuild all of it, and deal the streams out anew.
//!
//! **What is the product's own**: whether a replay goes on from where it was (`goes_on_from`, `is_at`), what it leaves out
//! (`became`, `leaves_out`), which row says what was applied of a stream (`partition_of`), what becomes of a changeset in a step,
//! how rows move ([`transition`], `moved`, `past`), how streams are dealt out.
//!
//! **What is left out.** What the fold makes of events: a row is the changesets that made it, in their order. Rebuilds of
//! several streams at once, and dry runs. A retry reads and writes the row in one action. Which rows are fenced, and in which
//! order a replay reads, is written here once more (`fence_streams`, `run_to`): the laws hold the product to it
//! (`laws::stream_rebuilds`).
//!
//! **What is promised.** See the properties below.

mod mutation;
mod operator;
mod properties;
mod rebuild;
mod state;
mod tests;
mod worker;

use std::collections::BTreeSet;

use stateright::{Model, Property};

use crate::models::log::{LOG, STREAMS, stream_number};
use crate::models::place::Place;
use crate::models::rows::Rows;
use mutation::Mutation;
use rebuild::Rebuild;
use state::{Fate, State, Work};

/// The stream whose row is rebuilt. It is the first of [`STREAMS`].
const REBUILT: usize = 0;

/// The sizes of the model.
#[derive(Clone, Debug)]
struct StreamRebuild {
    changesets: u64,
    workers: usize,
    /// How often a changeset fails.
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
    /// It has a page of so many changesets, and reads the rows of their streams.
    Load {
        worker: usize,
        page: usize,
    },
    Write(usize),
    Fail(usize),
    Retry {
        worker: usize,
        stream: usize,
    },
    /// Somebody changes the row of the stream by hand.
    Damage,
    Replay,
    BeginToReplace,
    Replace,
    Skip(u64),
    GoBack,
    RebuildAll,
    DealOut(u32),
    Join,
}

impl StreamRebuild {
    fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn actions_of(&self, state: &State, worker: usize, actions: &mut Vec<Action>) {
        actions.extend(state.rows.places().into_iter().map(|place| Action::Read { worker, place }));
        match &state.workers[worker] {
            Work::Nothing => {}
            Work::Has { row, .. } => {
                if !row.0.is_at_barrier() {
                    actions.extend([1, 2].map(|page| Action::Load { worker, page }));
                    if state.failures < self.failures {
                        actions.push(Action::Fail(worker));
                    }
                }
                let streams = (0..STREAMS.len()).filter(|stream| !state.parked[*stream].is_empty());
                actions.extend(streams.map(|stream| Action::Retry { worker, stream }));
            }
            Work::Loaded { .. } => actions.push(Action::Write(worker)),
        }
    }
}

impl Model for StreamRebuild {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            rows: Rows::new(),
            workers: vec![Work::Nothing; self.workers],
            rebuild: Rebuild::Nothing,
            made: vec![Vec::new(); STREAMS.len()],
            parked: vec![BTreeSet::new(); STREAMS.len()],
            fates: [Fate::Ahead; LOG.len()],
            was_damaged: false,
            is_damaged: false,
            failures: 0,
            operations: 0,
            has_mended: false,
            has_begun_again: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for worker in 0..self.workers {
            self.actions_of(state, worker, actions);
        }
        match &state.rebuild {
            Rebuild::Nothing => actions.push(Action::Replay),
            Rebuild::Replayed(_) => actions.extend([Action::Replay, Action::BeginToReplace]),
            Rebuild::Replaces { .. } => actions.push(Action::Replace),
        }
        // No fence notices what is changed by hand between the two.
        if !state.was_damaged && !matches!(state.rebuild, Rebuild::Replaces { .. }) {
            actions.push(Action::Damage);
        }
        if state.rows.joined().is_some() {
            actions.push(Action::Join);
        }
        self.operations(state, actions);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Read { worker, place } => Self::read(&mut state, worker, place)?,
            Action::Load { worker, page } => self.load(&mut state, worker, page)?,
            Action::Write(worker) => self.write(&mut state, worker)?,
            Action::Fail(worker) => self.fail(&mut state, worker)?,
            Action::Retry { worker, stream } => Self::retry(&mut state, worker, stream)?,
            Action::Damage => state.damage(),
            Action::Replay => self.replay(&mut state)?,
            Action::BeginToReplace => self.begin_to_replace(&mut state)?,
            Action::Replace => self.replace(&mut state)?,
            Action::Skip(changeset) => Self::skip(&mut state, changeset)?,
            Action::GoBack => self.go_back(&mut state)?,
            Action::RebuildAll => self.rebuild_all(&mut state),
            Action::DealOut(count) => state.rows.deal_out(count),
            Action::Join => Self::join(&mut state)?,
        }
        state.operations += u8::from(is_operation(action));
        Some(state).filter(|state| state != before)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.all_properties()
    }
}

fn is_operation(action: Action) -> bool {
    matches!(action, Action::Skip(_) | Action::GoBack | Action::RebuildAll | Action::DealOut(_))
}

/// The changesets of a stream.
fn changesets_of(number: usize) -> impl Iterator<Item = u64> {
    (0..LOG.len() as u64).filter(move |changeset| stream_number(*changeset) == number)
}
