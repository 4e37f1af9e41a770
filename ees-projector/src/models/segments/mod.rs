//! A rebuild that reads the log by segments: its workers, the join at the noted head, and what operators do meanwhile.
//!
//! **What is modelled.** A read model that is built side by side with the live one, by one worker or by several, each with
//! a segment of the log. Streams are in other segments than partitions. A page of a segment may be applied in part, and a
//! full one does not tell whether it is the last. Workers go on with a row that they have read at some time, whenever they
//! like: those are slow, frozen, or have lost their lease without knowing it. The log grows. Operators pause, resume, skip
//! (here, and in the live read model), try to set the checkpoint, and begin the rebuild anew, by segments or not.
//!
//! **What is the product's own**: where a rebuild begins ([`transition`]), the rows of its partitions
//! (`ProjectionState::partition`), how far a batch leads (`Batch::state_before`, `follows`), where a row may be moved to
//! (`may_be_moved_by`), how the partitions are joined (`joined`), what is shown (`with_partitions`), which rows note a skip
//! (`may_come_to`), and whether it may be swapped ([`check_swap`](crate::worker::operations::transition::check_swap)).
//!
//! **What is left out.** How a store finds what is before the noted head, and that it misses nothing. Parked streams: their
//! model begins with a segment, too. The fingerprint. A transaction is one action.
//!
//! **What is promised.** See the properties below. Where leases don't raise epochs (DynamoDB), anybody reads any row.

mod mutation;
mod operator;
mod properties;
mod state;
mod tests;
mod worker;

use stateright::{Model, Property};

use crate::models::leased::LeasedRows;
use crate::models::log::STREAMS;
use crate::models::place::Place;
use crate::models::row::{Row, pause};
use crate::partition::Split;
use crate::projection_state::ProjectionState;
use crate::standby::SideBySide;
use crate::worker::operations::transition::Transition;
use mutation::Mutation;
use state::{State, Work};

/// The sizes of the model.
#[derive(Clone, Debug)]
struct Segments {
    /// How many changesets the log has when the rebuild begins, and at most.
    begun: u64,
    log_max: u64,
    /// How many partitions there are when it has ended.
    partitions: u32,
    /// How many workers share it.
    workers: u32,
    has_leases: bool,
    /// How often a lease is taken over from a worker.
    takeovers: u8,
    /// How often an operator acts.
    operations: u8,
    mutation: Option<Mutation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Commit,
    TakeLease {
        worker: usize,
        place: Place,
    },
    Read {
        worker: usize,
        place: Place,
    },
    /// A page of so many changesets is read, and so many of them are applied.
    Step {
        worker: usize,
        page: usize,
        part: usize,
    },
    /// Its own row follows the rows that it has written (with a mutation only).
    MoveOn(usize),
    Die(usize),
    /// A changeset fails for the last time.
    Fail(usize),
    Join,
    Pause,
    Resume,
    DecideToSkip(Place),
    Skip,
    SkipInLive(u64),
    Rebuild {
        by_segments: bool,
        workers: Option<u32>,
    },
    SetCheckpoint,
    /// The streams are dealt out to another number of partitions (with a mutation only).
    DealOut,
}

impl Segments {
    fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn actions_of(&self, state: &State, worker: usize, actions: &mut Vec<Action>) {
        for place in state.rows.places() {
            match state.rows.at(place).and_then(|stored| stored.owner) {
                _ if !self.has_leases => actions.push(Action::Read { worker, place }),
                Some(owner) if owner == worker => actions.push(Action::Read { worker, place }),
                Some(_) if state.takeovers == self.takeovers => {}
                _ => actions.push(Action::TakeLease { worker, place }),
            }
        }
        match &state.workers[worker] {
            Work::Nothing => {}
            Work::Has { row, .. } => {
                if row.0.pause.is_none() && !row.0.is_at_barrier() {
                    let sizes = [(1, 1), (2, 2), (2, 1)];
                    actions.extend(sizes.map(|(page, part)| Action::Step { worker, page, part }));
                    if self.operations > 0 {
                        actions.push(Action::Fail(worker));
                    }
                }
            }
            Work::Applied { .. } => {
                actions.push(Action::MoveOn(worker));
                actions.push(Action::Die(worker));
            }
        }
    }
}

impl Model for Segments {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let plan = SideBySide { keep_skips: Some(true), ..SideBySide::default() };
        let split = Split::for_rebuild(self.partitions, self.partitions);
        let row = ProjectionState { standby: Some(plan.into()), split, ..ProjectionState::new(0) };
        let mut state = State {
            head: self.begun,
            rows: LeasedRows::new(row),
            workers: [Work::Nothing, Work::Nothing],
            asked: None,
            applied: vec![Vec::new(); STREAMS.len()],
            left_out: 0,
            skipped: 0,
            until: 0,
            epoch: 100,
            takeovers: 0,
            operations: 0,
            is_paused: false,
            was_joined: false,
            was_begun_anew: false,
            wrote_without_lease: false,
            wrote_while_paused: false,
        };
        self.rebuild(&mut state, true, Some(self.workers));
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for worker in 0..state.workers.len() {
            self.actions_of(state, worker, actions);
        }
        if state.head < self.log_max {
            actions.push(Action::Commit);
        }
        if self.joined(state).is_some() {
            actions.push(Action::Join);
        }
        self.operations(state, actions);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        state.operations += u8::from(is_operation(action));
        match action {
            Action::Commit => state.head += 1,
            Action::TakeLease { worker, place } => self.take_lease(&mut state, worker, place)?,
            Action::Read { worker, place } => self.read(&mut state, worker, place)?,
            Action::Step { worker, page, part } => self.step(&mut state, worker, page, part)?,
            Action::MoveOn(worker) => Self::move_on(&mut state, worker)?,
            Action::Die(worker) => state.workers[worker] = Work::Nothing,
            Action::Fail(worker) => Self::fail(&mut state, worker)?,
            Action::Join => {
                state.rows.whole.row = Row(self.joined(&state)?);
                state.was_joined = true;
                self.create_partitions(&mut state);
            }
            Action::Pause => Self::pause_all(&mut state, &Transition::Pause(pause())),
            Action::Resume => Self::pause_all(&mut state, &Transition::Resume),
            Action::DecideToSkip(place) => self.decide_to_skip(&mut state, place)?,
            Action::Skip => self.skip(&mut state)?,
            Action::SkipInLive(changeset) => self.skip_in_live(&mut state, changeset),
            Action::Rebuild { by_segments, workers } => {
                self.rebuild(&mut state, by_segments, workers);
                state.was_begun_anew = true;
            }
            Action::SetCheckpoint => Self::set_checkpoint(&mut state)?,
            Action::DealOut => self.deal_out(&mut state),
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
        Action::Pause
            | Action::Resume
            | Action::DecideToSkip(_)
            | Action::SkipInLive(_)
            | Action::Rebuild { .. }
            | Action::SetCheckpoint
            | Action::DealOut
    )
}
