//! What must hold in every state, and what shall be possible.

use stateright::Property;

use super::Commits;
use super::state::{Attempt, Client, State, Stored, Verdict};
use crate::models::{Wanted, has_two};

pub(super) const NUMBERED: &str = "each changeset is where its commit expected it";
pub(super) const KEY_ONCE: &str = "a key is stored once as long as it counts";
pub(super) const WITHOUT_KEY_ONCE: &str = "a commit without a key is stored once";
pub(super) const ACKNOWLEDGED: &str = "what is acknowledged is stored, at that number and with that body";
pub(super) const REFUSED: &str = "what is refused is not stored, then or later";
pub(super) const REUSED: &str = "a key counts as reused only if another body was stored with it";

pub(super) const REPEATED: &str = "a repeat is answered with what an earlier attempt has stored";
pub(super) const REUSE_TOLD: &str = "a client is told that its key was reused";
pub(super) const CONFLICT_TOLD: &str = "a client is told of a conflict";
pub(super) const RACE: &str = "two attempts of a commit are about to be written";
pub(super) const AGAIN: &str = "a key is used again after its time";

impl Commits {
    pub(super) fn all_properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(NUMBERED, Self::is_numbered),
            Property::always(KEY_ONCE, Self::keeps_keys_once),
            Property::always(WITHOUT_KEY_ONCE, Self::stores_once),
            Property::always(ACKNOWLEDGED, Self::keeps_what_is_acknowledged),
            Property::always(REFUSED, Self::does_not_store_what_is_refused),
            Property::always(REUSED, Self::tells_reuse_rightly),
            Property::sometimes(REPEATED, |_, state: &State| state.is_repeat),
            Property::sometimes(RACE, |_, state: &State| {
                let is_writing = |attempt: &&Attempt| matches!(attempt, Attempt::Writing { .. });
                state.attempts.iter().any(|attempts| attempts.iter().filter(is_writing).count() > 1)
            }),
        ];
        if has_two(&self.wanted, |one, other| one.expects == other.expects && one.key != other.key) {
            properties.push(Property::sometimes(CONFLICT_TOLD, |_, state: &State| {
                state.told.contains(&Some(Verdict::Conflict))
            }));
        }
        let is_reuse = |one: &Wanted, other: &Wanted| {
            one.key.is_some() && one.key == other.key && one.body != other.body
        };
        if has_two(&self.wanted, is_reuse) {
            properties.push(Property::sometimes(REUSE_TOLD, |_, state: &State| {
                state.told.contains(&Some(Verdict::KeyReused))
            }));
            if self.time_passes
                && has_two(&self.wanted, |one, other| is_reuse(one, other) && one.expects < other.expects)
            {
                properties.push(Property::sometimes(AGAIN, |model: &Self, state: &State| {
                    let with_key = |stored: &&Stored| model.wanted[stored.client].key == Some("k");
                    state.stored.iter().filter(with_key).count() > 1
                }));
            }
        }
        properties
    }

    pub(super) fn is_numbered(&self, state: &State) -> bool {
        (0..).zip(&state.stored).all(|(end, stored)| self.wanted[stored.client].expects == end)
    }

    pub(super) fn keeps_keys_once(&self, state: &State) -> bool {
        let keys = || {
            let key = |stored: &Stored| Some((self.wanted[stored.client].key?, stored.is_late));
            state.stored.iter().filter_map(key)
        };
        keys().all(|key| keys().filter(|other| *other == key).count() == 1)
    }

    pub(super) fn stores_once(&self, state: &State) -> bool {
        let without = |client: &Client| self.wanted[*client].key.is_none();
        (0..self.wanted.len())
            .filter(without)
            .all(|client| state.stored.iter().filter(|stored| stored.client == client).count() <= 1)
    }

    pub(super) fn keeps_what_is_acknowledged(&self, state: &State) -> bool {
        state.told.iter().zip(&self.wanted).all(|(told, wanted)| {
            let Some(Verdict::Stored(changeset)) = told else { return true };
            let stored = state.stored.get(*changeset as usize - 1);
            stored.is_some_and(|stored| {
                let stored = &self.wanted[stored.client];
                (stored.key, stored.body) == (wanted.key, wanted.body)
            })
        })
    }

    pub(super) fn does_not_store_what_is_refused(&self, state: &State) -> bool {
        state.told.iter().enumerate().all(|(client, told)| {
            *told != Some(Verdict::Conflict)
                || state.is_late
                || !state.stored.iter().any(|stored| stored.client == client)
        })
    }

    pub(super) fn tells_reuse_rightly(&self, state: &State) -> bool {
        state.told.iter().zip(&self.wanted).all(|(told, wanted)| {
            let is_other = |stored: &Stored| {
                let stored = &self.wanted[stored.client];
                stored.key == wanted.key && stored.body != wanted.body
            };
            *told != Some(Verdict::KeyReused) || state.stored.iter().any(is_other)
        })
    }
}
