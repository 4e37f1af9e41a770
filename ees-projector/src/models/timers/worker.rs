//! How a worker acts on the log, event by event.

use ees_store::{
    Changeset, ChangesetId, Checkpoint, EventId, Events, Json, LogEntry, LogHead, LogPage, Timestamp,
};
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::state::{Known, Phase, Row, STREAM, Set, State, TimerId};
use super::{Does, Mutation, Timed};
use crate::models::ledger::at;
use crate::models::log_id;
use crate::status::Kind;
use crate::subscription::Subscription;
use crate::worker::batch::Batch;
use crate::worker::reactor::timers::Timers;

/// What a worker knows that has just started.
pub(super) fn nothing() -> Known {
    Known(Timers::of(Kind::Reactor))
}

/// What a worker has read that acts on one event at a time.
pub(super) fn batch(state: &State, next: u8, event: Option<u8>, head: u8) -> Batch {
    let entry = |event: u8| LogEntry {
        checkpoint: Checkpoint::new(event.into()),
        changeset: Changeset {
            stream_id: STREAM.parse().unwrap(),
            changeset_id: ChangesetId::new(event.into()),
            first_event_id: EventId::new(event.into()),
            events: Events::parse("[1]").unwrap(),
            metadata: Json::parse("{}").unwrap(),
            timestamp: at(state.committed[usize::from(event)]),
            stream_type: None,
            trace: None,
        },
    };
    let checkpoint = |place: u8| Checkpoint::new(place.into());
    let head = LogHead { checkpoint: checkpoint(head), log_id: log_id(), incarnation: Uuid::nil() };
    let changesets = event.map(entry).into_iter().collect();
    let to = event.map_or(next, |event| event + 1);
    let page = LogPage::new(checkpoint(next), changesets, checkpoint(to), head);
    Batch::decode::<IgnoredAny>(checkpoint(next), page, &Subscription::default())
}

impl Timed {
    /// Reads the row, if the worker does not know it.
    pub(super) fn load(&self, state: &mut State, number: usize) {
        let (row, is_parked) = (state.row.clone(), state.parked.is_some());
        let worker = &mut state.workers[number];
        if worker.row.is_some() {
            return;
        }
        let Timers { first, seen_until, .. } = worker.known.0;
        worker.known.0.row_read(row.0.position);
        if self.has(Mutation::SeenBeforeItWentBack) {
            worker.known.0.seen_until = seen_until;
        }
        if self.has(Mutation::TimersKnownForGood) {
            worker.known.0.first = first;
        }
        worker.is_parked = is_parked;
        worker.row = Some(row);
    }

    /// Reads the log.
    pub(super) fn read(&self, state: &mut State, number: usize) {
        self.load(state, number);
        let (now, head) = (at(state.now), state.head());
        let worker = &mut state.workers[number];
        let next = worker.row.as_ref().map_or(0, Row::next);
        worker.known.0.read_at = Some(now);
        worker.phase = Phase::HasRead { event: Some(next).filter(|next| *next < head), head };
    }

    /// Goes on with what was read: acts on an event, or has nothing to do.
    pub(super) fn follow_up(&self, state: &mut State, number: usize) -> Option<()> {
        let worker = &state.workers[number];
        let Phase::HasRead { event, head } = worker.phase else { return None };
        let batch = batch(state, worker.row.as_ref()?.next(), event, head);
        let mut known = worker.known.0.clone();
        if self.has(Mutation::TimeOfTheAnswer) {
            known.read_at = Some(at(state.now));
        }
        let seen = known.seen_until(&batch, at(state.now));
        let worker = &mut state.workers[number];
        worker.known.0.read_at = None;
        let Some(event) = event else {
            worker.known.0.seen_until = seen;
            // Read again: it is not known what others do meanwhile.
            worker.row = None;
            worker.phase = Phase::Idle;
            return Some(());
        };
        let (seen, is_retry) = (seen.map(Timestamp::as_micros), false);
        worker.phase = match worker.is_parked {
            true => Phase::Passing { event, seen, is_retry, is_done: false },
            false => Phase::Acting { event, seen, is_retry },
        };
        Some(())
    }

    /// Retries the first event of the parked stream.
    pub(super) fn retry(&self, state: &mut State, number: usize) -> Option<()> {
        let event = state.parked?;
        state.workers[number].known.0.unread();
        state.workers[number].row = None;
        self.load(state, number);
        state.workers[number].phase = Phase::Acting { event, seen: None, is_retry: true };
        Some(())
    }

    fn is_fenced_off(state: &State, number: usize) -> bool {
        state.workers[number].row.as_ref().is_none_or(|row| row.0.position != state.row.0.position)
    }

    pub(super) fn give_up(state: &mut State, number: usize) {
        state.workers[number].phase = Phase::Idle;
        state.workers[number].row = None;
    }

    /// One transaction: what the event does to the timers, and that it is in the ledger.
    pub(super) fn act(&self, state: &mut State, number: usize) -> Option<()> {
        let Phase::Acting { event, seen, is_retry } = state.workers[number].phase else { return None };
        if Self::is_fenced_off(state, number) {
            Self::give_up(state, number);
            return Some(());
        }
        let is_done = true;
        state.workers[number].phase = Phase::Passing { event, seen, is_retry, is_done };
        let set = self.set_by(state, event);
        if let Some(set) = set.as_ref().filter(|_| !is_retry) {
            state.workers[number].known.0.note(Some(at(set.next_at)));
        }
        if state.acted[usize::from(event)] && !self.has(Mutation::EventSetsAgain) {
            return Some(());
        }
        state.acted[usize::from(event)] = true;
        if self.has(Mutation::TimerInAnotherTransaction) && set.is_some() {
            state.workers[number].phase = Phase::Setting { event, seen, is_retry };
            return Some(());
        }
        self.change_timers(state, event);
        Some(())
    }

    fn set_by(&self, state: &State, event: u8) -> Option<Set> {
        let Does::Set(key) = self.events[usize::from(event)] else { return None };
        let due = state.committed[usize::from(event)] + 1;
        let id = TimerId { event, number: 0 };
        Some(Set { next_at: due, due, id, key, attempts: 0 })
    }

    fn change_timers(&self, state: &mut State, event: u8) {
        match (self.set_by(state, event), self.events[usize::from(event)]) {
            (Some(set), _) => {
                state.set_twice |= state.was_set.contains(&set.id);
                state.drop_timer(set.key);
                state.put(set);
            }
            (None, Does::Set(key) | Does::Cancel(key)) => state.drop_timer(key),
        }
    }

    pub(super) fn set_late(&self, state: &mut State, number: usize) -> Option<()> {
        let Phase::Setting { event, seen, is_retry } = state.workers[number].phase else { return None };
        self.change_timers(state, event);
        state.workers[number].phase = Phase::Passing { event, seen, is_retry, is_done: true };
        Some(())
    }

    pub(super) fn fail_to_act(state: &mut State, number: usize) -> Option<()> {
        let Phase::Acting { event, seen, is_retry } = state.workers[number].phase else { return None };
        state.failures += 1;
        state.workers[number].phase = Phase::Passing { event, seen, is_retry, is_done: false };
        Some(())
    }

    /// One transaction: passes the event, and parks it if it is not done.
    pub(super) fn pass(state: &mut State, number: usize) -> Option<()> {
        let Phase::Passing { event, seen, is_retry, is_done } = state.workers[number].phase else {
            return None;
        };
        let row = state.workers[number].row.clone()?;
        if is_retry {
            // Its position may have moved: the row is locked, and only its epoch must be the same.
            let is_same = row.0.position.epoch == state.row.0.position.epoch;
            if is_same && is_done && state.parked == Some(event) {
                state.parked = Some(event + 1).filter(|next| *next < state.row.next());
                state.touch();
            }
            Self::give_up(state, number);
            return Some(());
        }
        if Self::is_fenced_off(state, number) {
            Self::give_up(state, number);
            return Some(());
        }
        let next = Checkpoint::new(u64::from(event) + 1);
        state.row = Row(state.row.0.advanced(next, log_id(), None));
        if !is_done {
            state.parked = state.parked.or(Some(event));
        }
        let (row, is_parked) = (state.row.clone(), state.parked.is_some());
        let worker = &mut state.workers[number];
        worker.known.0.row_moved(row.0.position);
        worker.known.0.seen_until = seen.map(at);
        (worker.row, worker.is_parked, worker.phase) = (Some(row), is_parked, Phase::Idle);
        Some(())
    }
}
