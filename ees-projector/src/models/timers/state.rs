//! The row, the ledger and the timers, and where each worker is.

use std::hash::{Hash, Hasher};

use ees_store::{ChangesetId, EventId, Json, Timestamp};

use crate::models::ledger::{Entry, at};
use crate::projection_state::{Position, ProjectionState};
use crate::reactor::{EffectState, Timer};
use crate::worker::reactor::timers::Timers;

pub(super) const STREAM: &str = "a";
/// The keys of the timers.
pub(super) const KEYS: [&str; 2] = ["k", "l"];

/// A timer: the event that set it, or the first of its series, and how many of the series come before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TimerId {
    pub(super) event: u8,
    pub(super) number: u8,
}

/// A timer that is set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Set {
    pub(super) next_at: i64,
    pub(super) due: i64,
    pub(super) id: TimerId,
    pub(super) key: u8,
    pub(super) attempts: u32,
}

impl Set {
    /// The timer as the product has it.
    pub(super) fn timer(&self) -> Timer {
        Timer {
            stream_id: STREAM.parse().unwrap(),
            key: KEYS[usize::from(self.key)].to_owned(),
            id: format!("{}/{}", self.id.event, self.id.number),
            due: at(self.due),
            payload: Json::parse("null").unwrap(),
            changeset_id: ChangesetId::new(self.id.event.into()),
            event_id: EventId::new(self.id.event.into()),
            set_at: at(0),
            attempts: self.attempts,
            next_at: at(self.next_at),
            error: None,
        }
    }

    pub(super) fn of(timer: &Timer) -> Self {
        let (event, number) = timer.id.split_once('/').unwrap();
        let id = TimerId { event: event.parse().unwrap(), number: number.parse().unwrap() };
        let key = KEYS.iter().position(|key| *key == timer.key).unwrap() as u8;
        let [next_at, due] = [timer.next_at, timer.due].map(Timestamp::as_micros);
        Self { next_at, due, id, key, attempts: timer.attempts }
    }
}

/// The row, compared by what the model moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row(pub(super) ProjectionState);

impl Hash for Row {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Position { next, epoch } = self.0.position;
        (next.get(), epoch, self.0.skips.len()).hash(hasher);
    }
}

impl Row {
    pub(super) fn next(&self) -> u8 {
        self.0.position.next.get() as u8
    }
}

/// What a worker knows of the timers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known(pub(super) Timers);

impl Hash for Known {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Timers { first, known_at, read_at, seen_until, .. } = &self.0;
        for time in [first, read_at, seen_until] {
            time.map(Timestamp::as_micros).hash(hasher);
        }
        known_at.map(|position| (position.next.get(), position.epoch)).hash(hasher);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Idle,
    /// It has read the log.
    HasRead {
        event: Option<u8>,
        head: u8,
    },
    /// It acts on an event.
    Acting {
        event: u8,
        /// Until when it will have seen the log after that.
        seen: Option<i64>,
        is_retry: bool,
    },
    /// The event is in the ledger, and its timer is set next (with a mutation only).
    Setting {
        event: u8,
        seen: Option<i64>,
        is_retry: bool,
    },
    Passing {
        event: u8,
        seen: Option<i64>,
        is_retry: bool,
        is_done: bool,
    },
    Firing(Firing),
}

/// The timers that a worker fires, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Firing {
    pub(super) timer: Set,
    pub(super) later: Vec<Set>,
    pub(super) step: Step,
    /// When the first of the timers fires that were not due.
    pub(super) first: Option<i64>,
    /// When the first of those fires that were set meanwhile.
    pub(super) set: Option<i64>,
    /// Whether all have fired.
    pub(super) all_fired: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Beginning,
    Acting { attempt: u32, sent: bool, deadline: i64 },
    Ending { attempt: u32, is_done: bool, is_repeated: bool },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Worker {
    /// A new one after each crash.
    pub(super) id: u8,
    pub(super) is_dead: bool,
    /// The row as it knows it. `None`: it reads it next.
    pub(super) row: Option<Row>,
    /// Whether the stream was parked then.
    pub(super) is_parked: bool,
    pub(super) known: Known,
    pub(super) phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) now: i64,
    /// When each event was committed.
    pub(super) committed: Vec<i64>,
    pub(super) row: Row,
    /// The first event that is parked. All up to the position wait behind it.
    pub(super) parked: Option<u8>,
    /// By event, whether the ledger has it.
    pub(super) acted: Vec<bool>,
    /// By key.
    pub(super) timers: [Option<Set>; KEYS.len()],
    /// The firings in the ledger.
    pub(super) firings: Vec<(TimerId, Entry)>,
    pub(super) workers: [Worker; 2],
    pub(super) ids: u8,
    pub(super) failures: u8,
    pub(super) crashes: u8,
    pub(super) interventions: u8,
    /// What was ever set.
    pub(super) was_set: Vec<TimerId>,
    /// What was cancelled, or replaced by another one.
    pub(super) dropped: Vec<TimerId>,
    /// How often a firing did what it is for.
    pub(super) sent: Vec<TimerId>,
    pub(super) is_faultless: bool,
    pub(super) set_twice: bool,
    pub(super) began_early: bool,
    pub(super) began_out_of_turn: bool,
    pub(super) began_while_parked: bool,
    pub(super) began_though_gone: bool,
}

impl State {
    pub(super) fn head(&self) -> u8 {
        self.committed.len() as u8
    }

    pub(super) fn entry(&self, id: TimerId) -> Option<&Entry> {
        self.firings.iter().find(|(known, _)| *known == id).map(|(_, entry)| entry)
    }

    pub(super) fn record(&mut self, id: TimerId, entry: Entry) {
        match self.firings.iter_mut().find(|(known, _)| *known == id) {
            Some((_, known)) => *known = entry,
            None => {
                self.firings.push((id, entry));
                self.firings.sort_unstable_by_key(|(id, _)| *id);
            }
        }
    }

    pub(super) fn has_fired(&self, id: TimerId) -> bool {
        self.entry(id).is_some_and(|entry| entry.is(EffectState::Done))
    }

    pub(super) fn is_set(&self, id: TimerId) -> bool {
        self.timers.iter().flatten().any(|set| set.id == id)
    }

    /// Changes the row without its position.
    pub(super) fn touch(&mut self) {
        self.row = Row(self.row.0.moved(|_| {}));
    }

    /// Puts a timer under its key.
    pub(super) fn put(&mut self, set: Set) {
        if !self.was_set.contains(&set.id) {
            self.was_set.push(set.id);
            self.was_set.sort_unstable();
        }
        let key = usize::from(set.key);
        self.timers[key] = Some(set);
    }

    /// Notes that what is set under a key is not wanted any more.
    pub(super) fn drop_timer(&mut self, key: u8) {
        if let Some(set) = self.timers[usize::from(key)].take() {
            self.dropped.push(set.id);
            self.dropped.sort_unstable();
        }
    }
}
