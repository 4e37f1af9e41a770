//! A reactor's ledger: how often an effect is begun, done and recorded.
//!
//! **What is modelled.** One stream with two changesets of one effect each, two workers, and the three transactions of an
//! effect: its beginning (under the reactor's row), its end, and the move of the position, which parks what failed. The
//! receiver may act and say that it failed. A worker can crash anywhere, freeze and wake up, take the lease over from a
//! live one, run out of time, or not reach the database after an effect. Streams are dealt out anew at a barrier.
//! Operators discard, skip, retry and move the position back. The two workers have different `effect_timeout`s, as in a
//! deployment that changes it.
//!
//! **What is the product's own**: `Effect::record_begin`, `Effect::record_end`, `Effect::may_be_in_progress`, the
//! operators' [`transition`], and how a row moves ([`ProjectionState`]). The databases say the same in SQL; the laws
//! compare them.
//!
//! **What is left out.** There are no leases: any worker may act at any time, which is more than leases allow. The clocks
//! of the workers and of the ledger are one. What a receiver does with a request after its sender has given up is not
//! seen: the key is for that.
//!
//! **What is promised.**
//! - Two workers never attempt an effect at the same time, also when one is frozen, fenced off or dealt out anew.
//! - No attempt begins once the ledger has the effect as done, or an operator has discarded it.
//! - An effect is done twice only after a fault that left its outcome unknown: a crash, a frozen process, a time that ran
//!   out, a failure that the receiver reported though it had acted, a database that did not record the end in time. A lease or a
//!   partition that changes hands is no fault.
//! - The ledger has at least as many attempts as the receiver was asked.
//! - Effects of a stream begin in its order, and no changeset is passed before its effect is done, unless it is parked or
//!   an operator left it out.

use std::hash::{Hash, Hasher};

use ees_store::{ChangesetId, Checkpoint, EventId};
use ees_test_models::checker::{holds, is_found, size};
use stateright::{Model, Property};

use super::ledger::{Entry, at, ticks};
use super::log_id;
use crate::partition::Split;
use crate::projection_state::{ChangesetRef, Position, ProjectionState};
use crate::reactor::{EffectId, EffectState, Ended};
use crate::worker::operations::transition::{Transition, transition};

const CHANGESETS_MAX: usize = 2;
/// The longest time of an attempt of each of the workers, in ticks of the clock.
const TIMEOUTS: [i64; 2] = [2, 1];

const NEVER_AT_ONCE: &str = "no effect is attempted twice at the same time";
const NOT_AFTER_ITS_END: &str = "no attempt begins after the outcome is known";
const IN_TIME: &str = "nothing is sent when the time of the attempt is over";
const ONCE: &str = "without a fault, nothing is done twice";
const COUNTED: &str = "the ledger has as many attempts as requests were sent";
const IN_ORDER: &str = "the effects of a stream begin in its order";
const NOTHING_LOST: &str = "what is passed is done, parked or left out";

/// A fault that a program could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// The attempt of another worker is not waited for.
    AttemptsOfOthersIgnored,
    /// A failure ends whichever attempt is the last.
    FailureEndsAnothersAttempt,
    /// An attempt has its time from when the ledger has answered.
    TimeFromTheAnswer,
    /// A worker believes that the attempts of others take as long as its own.
    OwnTimeTakenForAnothers,
    /// A worker that wakes up takes one more step.
    StepAfterTheTime,
    /// An effect that an operator has discarded counts as ended, though an attempt is in progress.
    DiscardedTakenForEnded,
    /// An effect begins without a look at the row.
    BeginsWithoutFence,
    /// An effect that is done begins again.
    DoneBeginsAgain,
    /// An operator discards also what is done.
    DoneIsDiscarded,
    /// The end of an effect is not recorded.
    EndNotRecorded,
    /// The position moves before the effect is done.
    PositionMovesFirst,
    /// What failed is passed, and not parked.
    FailureNotParked,
    /// A parked stream goes on.
    FollowersNotParked,
}

impl Mistake {
    /// Each mistake, the property that fails, and a size at which it does: ticks, faults, interventions.
    const ALL: [(Self, &str, (i64, u8, u8)); 13] = [
        (Self::AttemptsOfOthersIgnored, NEVER_AT_ONCE, (1, 0, 0)),
        (Self::FailureEndsAnothersAttempt, NEVER_AT_ONCE, (3, 0, 0)),
        (Self::TimeFromTheAnswer, NEVER_AT_ONCE, (3, 0, 0)),
        (Self::OwnTimeTakenForAnothers, NEVER_AT_ONCE, (2, 0, 0)),
        (Self::StepAfterTheTime, IN_TIME, (2, 1, 0)),
        (Self::DiscardedTakenForEnded, NEVER_AT_ONCE, (1, 0, 2)),
        (Self::BeginsWithoutFence, NOT_AFTER_ITS_END, (0, 0, 1)),
        (Self::DoneBeginsAgain, NOT_AFTER_ITS_END, (0, 0, 0)),
        (Self::DoneIsDiscarded, NOT_AFTER_ITS_END, (0, 0, 2)),
        (Self::EndNotRecorded, ONCE, (3, 0, 1)),
        (Self::PositionMovesFirst, NOTHING_LOST, (0, 0, 0)),
        (Self::FailureNotParked, NOTHING_LOST, (0, 0, 0)),
        (Self::FollowersNotParked, IN_ORDER, (0, 0, 0)),
    ];
}

/// The sizes of the model.
#[derive(Clone, Debug)]
struct Reactor {
    changesets: u64,
    /// How often the clock ticks.
    ticks: i64,
    attempts_max: u32,
    /// How often workers crash or freeze.
    faults: u8,
    /// How often an operator acts, a lease is taken over, or the streams are dealt out anew.
    interventions: u8,
    mistake: Option<Mistake>,
}

/// The row, compared by what the model moves.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row(ProjectionState);

impl Hash for Row {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Position { next, epoch } = self.0.position;
        (next.get(), epoch, self.0.is_at_barrier(), self.0.split.is_some()).hash(hasher);
    }
}

/// Where a worker is with an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    /// It has read the row, and begins the effect next.
    Asking,
    /// The beginning is in the ledger. The answer is on its way: the attempt, or that the effect is done.
    Begun {
        attempt: Option<u32>,
    },
    /// It may ask the receiver, until its time is over.
    Acting {
        attempt: u32,
        sent: bool,
    },
    /// It knows how the attempt ended.
    Acted {
        attempt: u32,
        done: bool,
    },
    /// The ledger knows it, too.
    Recorded {
        done: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Worker {
    /// A new one after each crash.
    id: u8,
    is_frozen: bool,
    phase: Phase,
    /// The position of the row that it has read.
    next: u64,
    epoch: u64,
    changeset: u64,
    /// Whether the changeset is parked, and this a retry.
    is_retry: bool,
    deadline: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: i64,
    row: Row,
    /// The first changeset that is parked. All up to the position wait behind it.
    parked: Option<u64>,
    is_given_up: bool,
    ledger: [Option<Entry>; CHANGESETS_MAX],
    workers: [Worker; 2],
    ids: u8,
    faults: u8,
    interventions: u8,
    /// How often the receiver has acted.
    sent: [u8; CHANGESETS_MAX],
    /// What an operator left out.
    left_out: [bool; CHANGESETS_MAX],
    /// What the ledger has had as done at some time.
    was_done: [bool; CHANGESETS_MAX],
    is_faultless: bool,
    was_redealt: bool,
    has_waited: bool,
    began_late: bool,
    sent_late: bool,
    out_of_order: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    Read {
        worker: usize,
        retry: bool,
    },
    Begin(usize),
    Answer(usize),
    Send(usize),
    /// The receiver answers; also that it failed, whatever it did.
    Complete {
        worker: usize,
        done: bool,
    },
    Record(usize),
    /// The database does not answer, however often it is asked.
    RecordFails(usize),
    Pass {
        worker: usize,
        give_up: bool,
    },
    ParkFollower,
    Crash(usize),
    Freeze(usize),
    Wake(usize),
    TakeOver,
    /// All partitions get a barrier: where this one is, or one changeset further.
    DealOut {
        further: u64,
    },
    Join,
    Discard,
    SkipNext,
    Retry,
    GoBack,
}

fn id_of(changeset: u64) -> EffectId {
    EffectId {
        stream_id: "a".parse().unwrap(),
        changeset_id: ChangesetId::new(changeset),
        event_id: EventId::new(changeset),
        effect: "mail".to_owned(),
    }
}

fn reference_to(changeset: u64) -> ChangesetRef {
    let EffectId { stream_id, changeset_id, .. } = id_of(changeset);
    ChangesetRef { checkpoint: Checkpoint::new(changeset), stream_id, changeset_id, timestamp: at(0) }
}

impl State {
    fn next(&self) -> u64 {
        self.row.0.position.next.get()
    }

    fn entry(&self, changeset: u64) -> Option<&Entry> {
        self.ledger[changeset as usize].as_ref()
    }

    fn is_done(&self, changeset: u64) -> bool {
        self.entry(changeset).is_some_and(|entry| entry.is(EffectState::Done))
    }

    fn are_all_done(&self, changesets: u64) -> bool {
        (0..changesets).all(|changeset| self.is_done(changeset))
    }

    fn is_parked(&self, changeset: u64) -> bool {
        self.parked.is_some_and(|first| (first..self.next()).contains(&changeset))
    }

    /// Changes the row without its position, as an operator does and a worker that takes over.
    fn touch(&mut self) {
        self.row = Row(self.row.0.moved(|_| {}));
    }

    fn advance(&mut self) {
        let next = Checkpoint::new(self.next() + 1);
        self.row = Row(self.row.0.advanced(next, log_id(), None));
    }

    /// Takes the first changeset out of what is parked.
    fn unpark(&mut self, first: u64) {
        self.parked = Some(first + 1).filter(|parked| *parked < self.next());
        self.is_given_up = false;
    }

    /// An attempt whose time is over is dropped, if its worker is not frozen. What it sent may be done. An end that is not
    /// recorded in time does not hold up others.
    fn drop_what_is_late(&mut self) {
        for worker in &mut self.workers {
            if worker.is_frozen || worker.deadline > self.now {
                continue;
            }
            if let Phase::Acting { attempt, .. } = worker.phase {
                worker.phase = Phase::Acted { attempt, done: false };
            }
            self.is_faultless &= !matches!(worker.phase, Phase::Acted { .. });
        }
    }
}

impl Reactor {
    fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn begin(&self, state: &mut State, at_work: usize) {
        let Worker { id, next, epoch, changeset, .. } = state.workers[at_work];
        let believed = Position { next: Checkpoint::new(next), epoch };
        if state.row.0.position != believed && !self.has(Mistake::BeginsWithoutFence) {
            state.workers[at_work].phase = Phase::Idle;
            return;
        }
        let known = state.entry(changeset).cloned();
        let is_done = state.is_done(changeset);
        if is_done && !self.has(Mistake::DoneBeginsAgain) {
            state.workers[at_work].phase = Phase::Begun { attempt: None };
            return;
        }
        if let Some(known) = known.as_ref().filter(|known| known.worker != id) {
            let own = self.has(Mistake::OwnTimeTakenForAnothers);
            let within = ticks(if own { TIMEOUTS[at_work] } else { known.within });
            let ended = known.is(EffectState::Discarded) && self.has(Mistake::DiscardedTakenForEnded);
            let in_progress =
                known.effect(&id_of(changeset)).may_be_in_progress(within, at(state.now)) && !ended;
            if in_progress && !self.has(Mistake::AttemptsOfOthersIgnored) {
                state.has_waited = true;
                state.workers[at_work].phase = Phase::Idle;
                return;
            }
        }
        state.began_late |= state.was_done[changeset as usize] || state.left_out[changeset as usize];
        state.out_of_order |=
            (0..changeset).any(|earlier| !state.is_done(earlier) && !state.left_out[earlier as usize]);
        let mut effect = known
            .as_ref()
            .map_or_else(|| id_of(changeset).unstarted(at(state.now)), |it| it.effect(&id_of(changeset)));
        effect.record_begin(at(state.now));
        let entry = Entry {
            state: "",
            attempts: 0,
            began_at: 0,
            ended_at: None,
            worker: id,
            within: TIMEOUTS[at_work],
        };
        state.ledger[changeset as usize] = Some(entry.with(&effect));
        state.workers[at_work].phase = Phase::Begun { attempt: Some(effect.attempts) };
    }

    fn answer(&self, state: &mut State, at_work: usize) {
        let worker = &mut state.workers[at_work];
        let Phase::Begun { attempt } = worker.phase else { return };
        let Some(attempt) = attempt else {
            worker.phase = Phase::Recorded { done: true };
            return;
        };
        if self.has(Mistake::TimeFromTheAnswer) {
            worker.deadline = state.now + TIMEOUTS[at_work];
        }
        worker.phase = Phase::Acting { attempt, sent: false };
        state.drop_what_is_late();
    }

    fn record(&self, state: &mut State, at_work: usize) {
        let Worker { changeset, phase, .. } = state.workers[at_work];
        let Phase::Acted { attempt, done } = phase else { return };
        state.workers[at_work].phase = Phase::Recorded { done };
        if self.has(Mistake::EndNotRecorded) {
            return;
        }
        let Some(entry) = state.ledger[changeset as usize].take() else { return };
        let mut effect = entry.effect(&id_of(changeset));
        let last = self.has(Mistake::FailureEndsAnothersAttempt);
        effect.record_end(Ended {
            attempt: if last { effect.attempts } else { attempt },
            at: at(state.now),
            state: if done { EffectState::Done } else { EffectState::Failed },
            error: None,
            result: None,
        });
        state.was_done[changeset as usize] |= effect.state == EffectState::Done;
        state.ledger[changeset as usize] = Some(entry.with(&effect));
    }

    /// The transaction after the effect: moves the position past the changeset, and parks it if it failed. After a retry,
    /// the position stays and the epoch rises.
    fn pass(&self, state: &mut State, at_work: usize, give_up: bool) {
        let Worker { next, epoch, changeset, is_retry, phase, .. } = state.workers[at_work];
        let Phase::Recorded { done } = phase else { return };
        state.workers[at_work].phase = Phase::Idle;
        let found = state.row.0.position;
        if is_retry {
            // Its position may have moved: the row is locked, and only its epoch must be the same.
            if found.epoch != epoch || state.parked != Some(changeset) {
                return;
            }
            match done {
                true => {
                    state.unpark(changeset);
                    state.touch();
                }
                false => state.is_given_up = give_up,
            }
        } else {
            if found != (Position { next: Checkpoint::new(next), epoch }) {
                return;
            }
            if !self.has(Mistake::PositionMovesFirst) {
                state.advance();
            }
            if !done && !self.has(Mistake::FailureNotParked) {
                state.parked = Some(changeset);
                state.is_given_up = give_up;
            }
        }
        if !done && give_up {
            self.settle(state, changeset, EffectState::GivenUp);
        }
    }

    /// As the databases do it: what is done stays so.
    fn settle(&self, state: &mut State, changeset: u64, to: EffectState) {
        if let Some(entry) = &mut state.ledger[changeset as usize]
            && (!entry.is(EffectState::Done) || self.has(Mistake::DoneIsDiscarded))
        {
            entry.state = to.as_str();
        }
    }

    /// An operator leaves a changeset out. A refusal changes nothing.
    fn leave_out(&self, state: &mut State, changeset: u64, step: &Transition) {
        let Ok(moved) = transition(&state.row.0, step) else { return };
        state.row = Row(moved);
        if state.parked == Some(changeset) {
            state.unpark(changeset);
        }
        self.settle(state, changeset, EffectState::Discarded);
        state.left_out[changeset as usize] = true;
    }

    /// Who has which turn: the actions of one worker.
    fn actions_of(&self, state: &State, number: usize, actions: &mut Vec<Action>) {
        let worker = &state.workers[number];
        if worker.is_frozen {
            actions.push(Action::Wake(number));
            return;
        }
        match worker.phase {
            Phase::Idle => {
                let is_waiting = state.parked.is_some() && !self.has(Mistake::FollowersNotParked);
                if state.next() < self.changesets && !is_waiting && !state.row.0.is_at_barrier() {
                    actions.push(Action::Read { worker: number, retry: false });
                }
                if state.parked.is_some() && !state.is_given_up {
                    actions.push(Action::Read { worker: number, retry: true });
                }
                return;
            }
            Phase::Asking => {
                let attempts = state.entry(worker.changeset).map_or(0, |entry| entry.attempts);
                if attempts < self.attempts_max {
                    actions.push(Action::Begin(number));
                }
            }
            Phase::Begun { .. } => actions.push(Action::Answer(number)),
            Phase::Acting { sent: false, .. } => {
                actions.push(Action::Send(number));
                actions.push(Action::Complete { worker: number, done: false });
            }
            Phase::Acting { sent: true, .. } => {
                actions.push(Action::Complete { worker: number, done: true });
                actions.push(Action::Complete { worker: number, done: false });
            }
            Phase::Acted { .. } => {
                actions.push(Action::Record(number));
                actions.push(Action::RecordFails(number));
            }
            Phase::Recorded { done } => {
                actions.push(Action::Pass { worker: number, give_up: false });
                if !done {
                    actions.push(Action::Pass { worker: number, give_up: true });
                }
            }
        }
        if state.faults < self.faults {
            actions.push(Action::Crash(number));
            actions.push(Action::Freeze(number));
        }
    }

    fn intervene(&self, state: &mut State, action: Action) {
        state.interventions += 1;
        match action {
            Action::TakeOver => state.touch(),
            Action::DealOut { further } => {
                let barrier = Checkpoint::new(state.next() + further);
                let split = Split::into(2).joining_at(barrier);
                state.row = Row(state.row.0.moved(|row| row.split = Some(split)));
            }
            Action::Discard => {
                let Some(first) = state.parked else { return };
                self.leave_out(state, first, &Transition::SkipParked(reference_to(first)));
            }
            Action::SkipNext => {
                let (from, changeset) = (state.row.0.position.next, reference_to(state.next()));
                self.leave_out(state, from.get(), &Transition::SkipNext { from, changeset });
            }
            Action::Retry => {
                state.is_given_up = false;
                state.touch();
            }
            Action::GoBack => {
                let (believed, head) = (state.row.0.position.next, Checkpoint::new(self.changesets));
                let back = Transition::SetCheckpoint { believed, wanted: Checkpoint::START, head };
                let Ok(moved) = transition(&state.row.0, &back) else { return };
                state.row = Row(moved);
                // They are wanted again.
                state.left_out = Default::default();
            }
            _ => {}
        }
    }
}

impl Model for Reactor {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let worker = |id| Worker {
            id,
            is_frozen: false,
            phase: Phase::Idle,
            next: 0,
            epoch: 0,
            changeset: 0,
            is_retry: false,
            deadline: 0,
        };
        vec![State {
            now: 0,
            row: Row(ProjectionState::new(0)),
            parked: None,
            is_given_up: false,
            ledger: Default::default(),
            workers: [worker(0), worker(1)],
            ids: 2,
            faults: 0,
            interventions: 0,
            sent: Default::default(),
            left_out: Default::default(),
            was_done: Default::default(),
            is_faultless: true,
            was_redealt: false,
            has_waited: false,
            began_late: false,
            sent_late: false,
            out_of_order: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for number in 0..state.workers.len() {
            self.actions_of(state, number, actions);
        }
        if state.now < self.ticks {
            actions.push(Action::Tick);
        }
        let follows = state.next() < self.changesets && !state.row.0.is_at_barrier();
        if state.parked.is_some() && follows && !self.has(Mistake::FollowersNotParked) {
            actions.push(Action::ParkFollower);
        }
        if state.row.0.is_at_barrier() {
            actions.push(Action::Join);
        }
        if state.interventions == self.interventions {
            return;
        }
        actions.push(Action::TakeOver);
        if state.row.0.split.is_none() {
            actions.push(Action::DealOut { further: 0 });
            if state.next() < self.changesets {
                actions.push(Action::DealOut { further: 1 });
            }
        }
        if state.parked.is_some() {
            actions.push(Action::Discard);
            actions.push(Action::Retry);
        } else if state.next() > 0 {
            actions.push(Action::GoBack);
        }
        if state.parked.is_none() && state.next() < self.changesets {
            actions.push(Action::SkipNext);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Tick => {
                state.now += 1;
                state.drop_what_is_late();
            }
            Action::Read { worker, retry } => {
                let Position { next, epoch } = state.row.0.position;
                let changeset = state.parked.filter(|_| retry).unwrap_or(next.get());
                let deadline = state.now + TIMEOUTS[worker];
                let id = state.workers[worker].id;
                state.workers[worker] = Worker {
                    id,
                    is_frozen: false,
                    phase: Phase::Asking,
                    next: next.get(),
                    epoch,
                    changeset,
                    is_retry: retry,
                    deadline,
                };
                if self.has(Mistake::PositionMovesFirst) && !retry {
                    state.advance();
                    state.workers[worker].next += 1;
                }
            }
            Action::Begin(worker) => self.begin(&mut state, worker),
            Action::Answer(worker) => self.answer(&mut state, worker),
            Action::Send(number) => {
                let worker = &mut state.workers[number];
                let Phase::Acting { attempt, .. } = worker.phase else { return None };
                worker.phase = Phase::Acting { attempt, sent: true };
                state.sent_late |= worker.deadline <= state.now;
                state.sent[worker.changeset as usize] += 1;
            }
            Action::Complete { worker, done } => {
                let Phase::Acting { attempt, .. } = state.workers[worker].phase else { return None };
                state.workers[worker].phase = Phase::Acted { attempt, done };
                state.is_faultless &= done;
            }
            Action::Record(worker) => self.record(&mut state, worker),
            Action::RecordFails(worker) => {
                state.workers[worker].phase = Phase::Idle;
                state.is_faultless = false;
            }
            Action::Pass { worker, give_up } => self.pass(&mut state, worker, give_up),
            Action::ParkFollower => state.advance(),
            Action::Crash(worker) => {
                let ids = state.ids;
                let worker = &mut state.workers[worker];
                (worker.id, worker.phase) = (ids, Phase::Idle);
                state.ids += 1;
                state.faults += 1;
                state.is_faultless = false;
            }
            Action::Freeze(worker) => {
                state.workers[worker].is_frozen = true;
                state.faults += 1;
                state.is_faultless = false;
            }
            Action::Wake(worker) => {
                state.workers[worker].is_frozen = false;
                if !self.has(Mistake::StepAfterTheTime) {
                    state.drop_what_is_late();
                }
            }
            Action::Join => {
                // The new rows have the position of the barrier and an epoch that was never used.
                state.row = Row(state.row.0.moved(|row| row.split = Some(Split::into(3))));
                state.was_redealt = true;
            }
            intervention => self.intervene(&mut state, intervention),
        }
        // What an idle worker has read does not matter any more.
        for worker in &mut state.workers {
            if worker.phase == Phase::Idle {
                (worker.next, worker.epoch, worker.changeset, worker.is_retry, worker.deadline) =
                    Default::default();
            }
        }
        Some(state).filter(|state| state != before)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(NEVER_AT_ONCE, |_, state: &State| {
                // The time of one that is frozen may be over: it drops the attempt when it wakes up.
                let may_send = |worker: &&Worker| {
                    matches!(worker.phase, Phase::Acting { .. }) && worker.deadline > state.now
                };
                let mut acting = state.workers.iter().filter(may_send);
                let (one, other) = (acting.next(), acting.next());
                !matches!((one, other), (Some(one), Some(other)) if one.changeset == other.changeset)
            }),
            Property::always(NOT_AFTER_ITS_END, |_, state: &State| !state.began_late),
            Property::always(IN_TIME, |_, state: &State| !state.sent_late),
            Property::always(ONCE, |_, state: &State| {
                !state.is_faultless || state.sent.iter().all(|times| *times <= 1)
            }),
            Property::always(COUNTED, |_, state: &State| {
                let attempts =
                    state.ledger.iter().map(|entry| entry.as_ref().map_or(0, |entry| entry.attempts));
                state.sent.iter().zip(attempts).all(|(sent, attempts)| u32::from(*sent) <= attempts)
            }),
            Property::always(IN_ORDER, |_, state: &State| !state.out_of_order),
            Property::always(NOTHING_LOST, |_, state: &State| {
                let is_safe = |changeset: u64| {
                    state.is_done(changeset)
                        || state.is_parked(changeset)
                        || state.left_out[changeset as usize]
                };
                (0..state.next()).all(is_safe)
            }),
            Property::sometimes("all is done", |model: &Self, state: &State| {
                state.are_all_done(model.changesets) && state.next() == model.changesets
            }),
            Property::sometimes("a worker waits for the attempt of another one", |_, state: &State| {
                state.has_waited
            }),
            Property::sometimes("a stream is given up", |_, state: &State| state.is_given_up),
        ];
        if self.faults > 0 {
            // The truth about a crash between the effect and its record.
            let is_twice = |_: &Self, state: &State| state.sent.contains(&2);
            properties.push(Property::sometimes("an effect is done twice after a fault", is_twice));
        }
        if self.interventions > 0 {
            let is_once = |model: &Self, state: &State| {
                state.is_faultless && state.was_redealt && state.are_all_done(model.changesets)
            };
            let name = "all is done without a fault by workers that were dealt out anew";
            properties.push(Property::sometimes(name, is_once));
        }
        properties
    }
}

#[test]
fn an_effect_is_done_once_unless_its_outcome_is_unknown() {
    let sizes = size(
        vec![(1, 2, 2, 1, 0), (1, 2, 2, 0, 1), (2, 1, 2, 0, 0)],
        vec![(1, 3, 3, 2, 1), (2, 2, 2, 1, 0), (2, 2, 2, 0, 1)],
    );
    for (changesets, ticks, attempts_max, faults, interventions) in sizes {
        let sized = Reactor { changesets, ticks, attempts_max, faults, interventions, mistake: None };
        holds(sized, 100_000);
    }
}

#[test]
fn each_mistake_of_a_ledger_is_found() {
    for (mistake, property, (ticks, faults, interventions)) in Mistake::ALL {
        let model =
            Reactor { changesets: 2, ticks, faults, interventions, attempts_max: 3, mistake: Some(mistake) };
        is_found(model, property);
    }
}
