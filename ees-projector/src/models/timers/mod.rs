//! A reactor's timers: set, replaced, cancelled, fired, repeated, and set anew by what fires.
//!
//! **What is modelled.** One stream, whose events set and cancel timers under two keys. Two workers, each of which knows the
//! row, what is parked and when the next timer is due as of some moment, and goes on whenever it likes; so it is slow, frozen, or
//! has been overtaken without knowing it. A firing is begun in one transaction and ended in another one, and what it does
//! happens between them. Events and firings may fail. Workers crash and start again, or never again; their database may not
//! take the end of a firing. The log grows. Operators take the row over, cancel, and move
//! the position.
//!
//! **What is the product's own**: what a worker knows of timers (`Timers`: when they are read again, until when the log is acted
//! on, which may fire), which of them fire (`DueTimers`), whether one is still set (`Timer::is_still`), what is set after a
//! firing (`Fired::change`) and after a failure (`postponed`), the ledger's [`Effect`](crate::reactor::Effect), how a row moves.
//!
//! **What is left out.** Clocks that differ. Leases: any worker may act at any time, as on DynamoDB, which is more than leases allow. Partitions.
//! The effects of a firing: the model of the ledger has them. Here a firing does one thing.
//!
//! **What is promised.** See the properties below.

mod firing;
mod mutation;
mod operator;
mod properties;
mod state;
mod tests;
mod worker;

use ees_store::Checkpoint;
use stateright::{Model, Property};

use crate::models::log_id;
use crate::projection_state::ProjectionState;
use mutation::Mutation;
use state::{KEYS, Phase, Row, State, Step, Worker};

/// How long an attempt to fire may take, in ticks of the clock.
const TIMEOUT: i64 = 1;

/// What an event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// It sets the timer with this key, due one tick later.
    Set(u8),
    Cancel(u8),
}

/// The sizes of the model.
#[derive(Clone, Debug)]
struct Timed {
    events: Vec<Does>,
    /// How many of them are in the log when the reactor starts, at the end of the log.
    passed: u8,
    /// How many more timers of its key each one sets, one when it fires.
    series: u8,
    /// How often the clock ticks.
    ticks: i64,
    /// How often an event or a firing fails.
    failures: u8,
    /// How often a worker crashes, dies, or does not reach the database at the end of a firing.
    crashes: u8,
    /// How often an operator acts.
    interventions: u8,
    mutation: Option<Mutation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    Commit,
    /// It reads the log.
    Read(usize),
    FollowUp(usize),
    /// It retries what is parked.
    Retry(usize),
    Act(usize),
    FailToAct(usize),
    /// It sets the timer that the ledger has as set (with a mutation only).
    SetLate(usize),
    Pass(usize),
    /// It reads which timers are due.
    Fire(usize),
    Begin(usize),
    Send(usize),
    Complete {
        worker: usize,
        is_done: bool,
    },
    End(usize),
    /// The database does not answer, however often it is asked.
    EndFails(usize),
    Crash(usize),
    Die(usize),
    TakeOver,
    Cancel(u8),
    MoveTo(u8),
}

impl Timed {
    fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn actions_of(&self, state: &State, number: usize, actions: &mut Vec<Action>) {
        let worker = &state.workers[number];
        let may_fail = state.failures < self.failures;
        match &worker.phase {
            Phase::Idle => {
                actions.push(Action::Read(number));
                if state.parked.is_some() {
                    actions.push(Action::Retry(number));
                }
                if self.due(state, number).is_some() {
                    actions.push(Action::Fire(number));
                }
            }
            Phase::HasRead { .. } => actions.push(Action::FollowUp(number)),
            Phase::Acting { .. } => {
                actions.push(Action::Act(number));
                if may_fail {
                    actions.push(Action::FailToAct(number));
                }
            }
            Phase::Setting { .. } => actions.push(Action::SetLate(number)),
            Phase::Passing { .. } => actions.push(Action::Pass(number)),
            Phase::Firing(firing) => match firing.step {
                Step::Beginning => actions.push(Action::Begin(number)),
                Step::Acting { sent, deadline, .. } => {
                    if sent {
                        actions.push(Action::Complete { worker: number, is_done: true });
                    } else {
                        actions.push(Action::Send(number));
                    }
                    if may_fail || deadline <= state.now {
                        actions.push(Action::Complete { worker: number, is_done: false });
                    }
                }
                Step::Ending { .. } => {
                    actions.push(Action::End(number));
                    if state.crashes < self.crashes {
                        actions.push(Action::EndFails(number));
                    }
                }
            },
        }
        if state.crashes < self.crashes {
            actions.push(Action::Crash(number));
            actions.push(Action::Die(number));
        }
    }
}

impl Model for Timed {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let worker = |id| Worker {
            id,
            is_dead: false,
            row: None,
            is_parked: false,
            known: worker::nothing(),
            phase: Phase::Idle,
        };
        let end = Checkpoint::new(self.passed.into());
        vec![State {
            now: 0,
            committed: vec![0; usize::from(self.passed)],
            row: Row(ProjectionState::new(0).advanced(end, log_id(), None)),
            parked: None,
            acted: vec![false; self.events.len()],
            timers: [const { None }; KEYS.len()],
            firings: Vec::new(),
            workers: [worker(0), worker(1)],
            ids: 2,
            failures: 0,
            crashes: 0,
            interventions: 0,
            was_set: Vec::new(),
            dropped: Vec::new(),
            sent: Vec::new(),
            is_faultless: true,
            set_twice: false,
            began_early: false,
            began_out_of_turn: false,
            began_while_parked: false,
            began_though_gone: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for number in (0..state.workers.len()).filter(|number| !state.workers[*number].is_dead) {
            self.actions_of(state, number, actions);
        }
        if state.now < self.ticks {
            actions.push(Action::Tick);
        }
        if usize::from(state.head()) < self.events.len() {
            actions.push(Action::Commit);
        }
        if state.interventions < self.interventions {
            self.interventions(state, actions);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Tick => state.tick(),
            Action::Commit => state.committed.push(state.now),
            Action::Read(worker) => self.read(&mut state, worker),
            Action::FollowUp(worker) => self.follow_up(&mut state, worker)?,
            Action::Retry(worker) => self.retry(&mut state, worker)?,
            Action::Act(worker) => self.act(&mut state, worker)?,
            Action::FailToAct(worker) => Self::fail_to_act(&mut state, worker)?,
            Action::SetLate(worker) => self.set_late(&mut state, worker)?,
            Action::Pass(worker) => Self::pass(&mut state, worker)?,
            Action::Fire(worker) => self.fire(&mut state, worker)?,
            Action::Begin(worker) => self.begin(&mut state, worker)?,
            Action::Send(worker) => Self::send(&mut state, worker)?,
            Action::Complete { worker, is_done } => Self::complete(&mut state, worker, is_done)?,
            Action::End(worker) => self.end(&mut state, worker)?,
            Action::EndFails(worker) => {
                Self::give_up(&mut state, worker);
                (state.crashes, state.is_faultless) = (state.crashes + 1, false);
            }
            Action::Crash(number) => {
                Self::give_up(&mut state, number);
                let worker = &mut state.workers[number];
                (worker.id, worker.known) = (state.ids, worker::nothing());
                state.ids += 1;
                (state.crashes, state.is_faultless) = (state.crashes + 1, false);
            }
            Action::Die(number) => {
                Self::give_up(&mut state, number);
                let worker = &mut state.workers[number];
                (worker.is_dead, worker.known) = (true, worker::nothing());
                (state.crashes, state.is_faultless) = (state.crashes + 1, false);
            }
            intervention => Self::intervene(&mut state, intervention)?,
        }
        Some(state).filter(|state| state != before)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.all_properties()
    }
}
