//! How a worker fires timers, one after the other.

use super::state::{Firing, Phase, Row, Set, State, Step, TimerId};
use super::{Mutation, TIMEOUT, Timed};
use crate::models::ledger::{Entry, at, ticks};
use crate::reactor::{EffectState, Ended, TimerChange};
use crate::worker::reactor::due_timers::DueTimers;
use crate::worker::reactor::firing::postponed;
use crate::worker::reactor::ledger::Fired;

impl Timed {
    /// Until when timers may fire, as a worker sees it.
    pub(super) fn due(&self, state: &State, number: usize) -> Option<i64> {
        let known = &state.workers[number].known.0;
        if self.has(Mutation::FiresWithoutTheLog) {
            return known.first.filter(|first| *first <= at(state.now)).map(|_| state.now);
        }
        Some(known.due(at(state.now))?.as_micros())
    }

    /// Reads which timers are due.
    pub(super) fn fire(&self, state: &mut State, number: usize) -> Option<()> {
        self.load(state, number);
        let until = self.due(state, number)?;
        let waits = state.workers[number].is_parked && !self.has(Mutation::ParkedStreamsFire);
        let mut sets: Vec<&Set> = state.timers.iter().flatten().collect();
        sets.sort_unstable();
        let mut found = DueTimers::default();
        found.take(sets.into_iter().map(Set::timer).collect(), at(until), |_| waits);
        let mut due = found.due.iter().map(Set::of);
        let worker = &mut state.workers[number];
        let Some(timer) = due.next() else {
            worker.known.0.first = found.first;
            return Some(());
        };
        worker.phase = Phase::Firing(Firing {
            timer,
            later: due.collect(),
            step: Step::Beginning,
            first: found.first.map(|first| first.as_micros()),
            set: None,
            all_fired: true,
        });
        Some(())
    }

    fn firing(state: &State, number: usize) -> Option<Firing> {
        match &state.workers[number].phase {
            Phase::Firing(firing) => Some(firing.clone()),
            _ => None,
        }
    }

    /// One transaction: the timer is still set, and its firing begins.
    pub(super) fn begin(&self, state: &mut State, number: usize) -> Option<()> {
        let mut firing = Self::firing(state, number)?;
        let worker = &state.workers[number];
        let is_moved = worker.row.as_ref()?.0.position != state.row.0.position;
        if is_moved && !self.has(Mutation::BeginsWithoutFence) {
            Self::give_up(state, number);
            return Some(());
        }
        let (timer, id) = (firing.timer.timer(), firing.timer.id);
        let set = state.timers[usize::from(firing.timer.key)].as_ref().map(Set::timer);
        let is_still = timer.is_still(set.as_ref());
        if !is_still && !self.has(Mutation::BeginsWhateverIsSet) {
            firing.all_fired &= self.has(Mutation::ChangedCountsAsFired);
            self.go_on(state, number, firing);
            return Some(());
        }
        let known = state.entry(id).cloned();
        if state.has_fired(id) {
            firing.step = Step::Ending { attempt: 0, is_done: true, is_repeated: true };
            state.workers[number].phase = Phase::Firing(firing);
            return Some(());
        }
        if let Some(known) = known.as_ref().filter(|known| known.worker != worker.id)
            && known.effect(&timer.firing()).may_be_in_progress(ticks(known.within), at(state.now))
            && !self.has(Mutation::AttemptsOfOthersIgnored)
        {
            Self::give_up(state, number);
            return Some(());
        }
        state.note_beginning(&firing.timer, is_still);
        let mut effect =
            known.map_or_else(|| timer.firing().unstarted(at(state.now)), |it| it.effect(&timer.firing()));
        effect.record_begin(at(state.now));
        let worker = state.workers[number].id;
        let entry = Entry { state: "", attempts: 0, began_at: 0, ended_at: None, worker, within: TIMEOUT };
        state.record(id, entry.with(&effect));
        if let Some(next) =
            self.next_of(state, &firing.timer).filter(|_| self.has(Mutation::NextBeforeTheEnd))
        {
            state.put(next);
        }
        let deadline = state.now + TIMEOUT;
        firing.step = Step::Acting { attempt: effect.attempts, sent: false, deadline };
        state.workers[number].phase = Phase::Firing(firing);
        Some(())
    }

    /// The next timer of a series.
    fn next_of(&self, state: &State, timer: &Set) -> Option<Set> {
        let number = Some(timer.id.number + 1).filter(|number| *number <= self.series)?;
        let due = state.now + 1;
        let id = TimerId { number, ..timer.id };
        Some(Set { next_at: due, due, id, key: timer.key, attempts: 0 })
    }

    pub(super) fn send(state: &mut State, number: usize) -> Option<()> {
        let mut firing = Self::firing(state, number)?;
        let Step::Acting { attempt, sent: false, deadline } = firing.step else { return None };
        if deadline <= state.now {
            return None;
        }
        state.sent.push(firing.timer.id);
        state.sent.sort_unstable();
        firing.step = Step::Acting { attempt, sent: true, deadline };
        state.workers[number].phase = Phase::Firing(firing);
        Some(())
    }

    pub(super) fn complete(state: &mut State, number: usize, is_done: bool) -> Option<()> {
        let mut firing = Self::firing(state, number)?;
        let Step::Acting { attempt, sent, .. } = firing.step else { return None };
        if !is_done {
            state.failures += 1;
            // It may have happened, whatever the receiver says.
            state.is_faultless &= !sent;
        }
        firing.step = Step::Ending { attempt, is_done, is_repeated: false };
        state.workers[number].phase = Phase::Firing(firing);
        Some(())
    }

    /// One transaction: how the firing ended, and what is set then.
    pub(super) fn end(&self, state: &mut State, number: usize) -> Option<()> {
        let mut firing = Self::firing(state, number)?;
        let Step::Ending { attempt, is_done, is_repeated } = firing.step else { return None };
        let timer = firing.timer.timer();
        let next = self.next_of(state, &firing.timer).filter(|_| !is_repeated);
        let left = match is_done {
            true => next,
            false if self.has(Mutation::FailureIsTheEnd) => None,
            false => Some(Set::of(&postponed(&timer, &"told to".into(), ticks(1), at(state.now)))),
        };
        firing.set = firing.set.into_iter().chain(left.as_ref().map(|left| left.next_at)).min();
        let key = usize::from(firing.timer.key);
        let fired = Fired { timer, left: left.as_ref().map(Set::timer) };
        let set = state.timers[key].as_ref().map(Set::timer);
        let change = match self.mutation {
            Some(Mutation::EndsWhateverIsSet) => fired.change(Some(&fired.timer)),
            _ => fired.change(set.as_ref()),
        };
        match change {
            Some(TimerChange::Set(left)) => state.put(Set::of(&left)),
            Some(TimerChange::Cancel(_)) => state.timers[key] = None,
            None => {}
        }
        if let Some(entry) = state.entry(firing.timer.id).cloned() {
            let mut effect = entry.effect(&fired.timer.firing());
            let ended = if is_done { EffectState::Done } else { EffectState::Failed };
            effect.record_end(Ended { attempt, at: at(state.now), state: ended, error: None, result: None });
            state.record(firing.timer.id, entry.with(&effect));
        }
        self.go_on(state, number, firing);
        Some(())
    }

    /// Turns to the next timer that is due, or notes what is known after the last one.
    fn go_on(&self, state: &mut State, number: usize, mut firing: Firing) {
        if !firing.later.is_empty() {
            firing.timer = firing.later.remove(0);
            firing.step = Step::Beginning;
            state.workers[number].phase = Phase::Firing(firing);
            return;
        }
        let worker = &mut state.workers[number];
        let position = worker.row.as_ref().map(|Row(row)| row.position);
        if let Some(position) = position {
            worker.known.0.row_moved(position);
        }
        worker.known.0.first = firing.first.map(at);
        if !self.has(Mutation::OwnTimersForgotten) {
            worker.known.0.note(firing.set.map(at));
        }
        if !firing.all_fired {
            worker.known.0.unread();
        }
        worker.phase = Phase::Idle;
    }
}

impl State {
    fn note_beginning(&mut self, timer: &Set, is_still: bool) {
        let is_due_before = |event: &u8| self.committed[usize::from(*event)] < timer.due;
        let is_in_turn = |event: u8| self.acted[usize::from(event)] || event < self.row.next();
        let mut earlier = (0..self.head()).filter(is_due_before);
        self.began_out_of_turn |= !earlier.all(is_in_turn);
        self.began_early |= timer.due > self.now;
        self.began_while_parked |= self.parked.is_some();
        self.began_though_gone |= !is_still || self.has_fired(timer.id);
    }
}
