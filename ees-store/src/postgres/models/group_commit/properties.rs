//! What must hold in every state, and what shall be possible.

use stateright::Property;

use super::GroupCommit;
use super::state::{Client, Happened, Process, State, Verdict};
use crate::models::has_two;

pub(super) const NUMBERED: &str =
    "a stream's changesets are numbered without gaps, each where its commit expected it";
pub(super) const KEY_ONCE: &str = "a key is stored once";
pub(super) const WITHOUT_KEY_ONCE: &str = "a commit without a key is stored once";
pub(super) const ACKNOWLEDGED: &str = "what is acknowledged is stored, at that place and with that body";
pub(super) const REFUSED: &str = "what is refused is not stored, then or later";
pub(super) const REUSED: &str = "a key counts as reused only if another body was stored with it";
pub(super) const IN_ORDER: &str = "the commits of one caller are stored in their order";
pub(super) const ALL_ANSWERED: &str = "from every state, each commit that waits is answered";

pub(super) const REPEATED: &str = "a repeat is answered with what the first attempt has stored";
pub(super) const REUSE_TOLD: &str = "a client is told that its key was reused";
pub(super) const CONFLICT_TOLD: &str = "a client is told of a conflict";
pub(super) const ONE_RUN: &str = "several commits of a stream go together";
pub(super) const RACE: &str = "two processes are about to store the same commit";
pub(super) const LATE_CALL: &str = "a call is carried out after its process has given it up";
pub(super) const HELD_UP: &str = "a commit is held up by another one, and tried again";

impl GroupCommit {
    pub(super) fn all_properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(NUMBERED, Self::is_numbered),
            Property::always(KEY_ONCE, Self::keeps_keys_once),
            Property::always(WITHOUT_KEY_ONCE, Self::stores_once),
            Property::always(ACKNOWLEDGED, Self::keeps_what_is_acknowledged),
            Property::always(REFUSED, Self::does_not_store_what_is_refused),
            Property::always(REUSED, Self::tells_reuse_rightly),
            Property::always(ALL_ANSWERED, Self::answers_all),
            Property::always(IN_ORDER, Self::keeps_the_order),
        ];
        properties.extend(self.possible());
        properties
    }

    /// What shall be possible with these clients.
    pub(super) fn possible(&self) -> Vec<Property<Self>> {
        let mut possible =
            vec![Property::sometimes(REPEATED, |_, state: &State| state.happened == Happened::Repeat)];
        if has_two(&self.wanted, |one, other| {
            one.stream == other.stream && one.expects + 1 == other.expects && one.key != other.key
        }) {
            possible.push(Property::sometimes(ONE_RUN, Self::has_run));
            possible
                .push(Property::sometimes(HELD_UP, |_, state: &State| state.happened == Happened::HeldUp));
        }
        if has_two(&self.wanted, |one, other| {
            (one.stream, one.expects) == (other.stream, other.expects) && one.key != other.key
        }) {
            possible.push(Property::sometimes(CONFLICT_TOLD, |_, state: &State| {
                state.has_told(&Verdict::Conflict)
            }));
        }
        if has_two(&self.wanted, |one, other| {
            one.key.is_some() && (one.stream, one.key) == (other.stream, other.key) && one.body != other.body
        }) {
            possible.push(Property::sometimes(REUSE_TOLD, |_, state: &State| {
                state.has_told(&Verdict::KeyReused)
            }));
        }
        if self.processes > 1 {
            possible.push(Property::sometimes(RACE, Self::has_race));
        }
        if self.late_calls > 0 {
            possible.push(Property::sometimes(LATE_CALL, |_, state: &State| {
                state.happened == Happened::LateCall
            }));
        }
        possible
    }

    pub(super) fn is_numbered(&self, state: &State) -> bool {
        (0..state.log.len()).all(|at| {
            let expected = self.wanted[state.log[at]].expects;
            self.changeset_id(state, at) == expected + 1
        })
    }

    pub(super) fn keeps_keys_once(&self, state: &State) -> bool {
        let key = |client: &Client| Some((self.wanted[*client].stream, self.wanted[*client].key?));
        let mut keys: Vec<_> = state.log.iter().filter_map(key).collect();
        let all = keys.len();
        keys.sort_unstable();
        keys.dedup();
        state.has_forgotten || keys.len() == all
    }

    pub(super) fn stores_once(&self, state: &State) -> bool {
        (0..self.wanted.len())
            .filter(|client| self.wanted[*client].key.is_none())
            .all(|client| state.log.iter().filter(|it| **it == client).count() <= 1)
    }

    pub(super) fn keeps_what_is_acknowledged(&self, state: &State) -> bool {
        state.clients.iter().zip(&self.wanted).all(|(told, wanted)| {
            let Some(Verdict::Stored { checkpoint, changeset }) = told.verdict else { return true };
            state.log.get(checkpoint as usize).is_some_and(|client| {
                let stored = &self.wanted[*client];
                (stored.stream, stored.key, stored.body) == (wanted.stream, wanted.key, wanted.body)
                    && self.changeset_id(state, checkpoint as usize) == changeset
            })
        })
    }

    pub(super) fn does_not_store_what_is_refused(&self, state: &State) -> bool {
        state.clients.iter().enumerate().all(|(client, told)| {
            told.verdict != Some(Verdict::Conflict) || state.has_forgotten || !state.log.contains(&client)
        })
    }

    pub(super) fn tells_reuse_rightly(&self, state: &State) -> bool {
        state.clients.iter().zip(&self.wanted).all(|(told, wanted)| {
            let is_other = |client: &Client| {
                let stored = &self.wanted[*client];
                (stored.stream, stored.key) == (wanted.stream, wanted.key) && stored.body != wanted.body
            };
            told.verdict != Some(Verdict::KeyReused) || state.log.iter().any(is_other)
        })
    }

    pub(super) fn keeps_the_order(&self, state: &State) -> bool {
        !self.in_order || state.log.is_sorted()
    }

    /// When nothing fails any more.
    pub(super) fn answers_all(&self, state: &State) -> bool {
        let mut state = state.clone();
        for process in 0..self.processes {
            for _ in 0..=2 * self.wanted.len() * self.attempts {
                let _ = self.carry_out(&mut state, process);
                let _ = self.settle(&mut state, process);
                let _ = self.form_batch(&mut state, process);
            }
            if state.processes[process] != Process::default() {
                return false;
            }
        }
        state.clients.iter().all(|told| !told.waits)
    }

    /// Clients whose commits are about to be stored by several processes.
    pub(super) fn has_race(&self, state: &State) -> bool {
        let is_at = |process: &Process, client| {
            process.answer.is_none()
                && process.call.iter().flat_map(|call| &call.batch).any(|(of, _)| *of == client)
        };
        (0..self.wanted.len())
            .any(|client| state.processes.iter().filter(|process| is_at(process, client)).count() > 1)
    }

    pub(super) fn has_run(&self, state: &State) -> bool {
        let calls = state.processes.iter().filter_map(|process| process.call.as_ref());
        calls.into_iter().any(|call| self.form(&call.batch).0.places.iter().any(|place| place.nth > 0))
    }
}
