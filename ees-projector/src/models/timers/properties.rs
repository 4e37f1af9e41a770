//! What must hold in every state, and what shall be possible.

use stateright::Property;

use super::state::{Phase, State, TimerId};
use super::{Does, Timed};
use crate::models::ledger::at;

pub(super) const NOT_EARLY: &str = "no timer fires before it is due";
pub(super) const IN_TURN: &str = "a timer fires when all is acted on that was committed before it is due";
pub(super) const NOT_PARKED: &str = "no timer of a parked stream fires";
pub(super) const NOT_GONE: &str = "no timer fires that was cancelled or replaced, or has fired";
pub(super) const ONCE: &str = "without a fault, a timer fires once";
pub(super) const SET_ONCE: &str = "an event sets its timer once";
pub(super) const NONE_LOST: &str =
    "a timer is set until it has fired or was cancelled, and so is the next of its series";
pub(super) const KNOWN: &str = "each worker that rests knows when the next timer is due";

pub(super) const ALL_FIRED: &str = "each timer fires that is not cancelled";
pub(super) const CANCELLED: &str = "a timer is cancelled before it fires";
pub(super) const RETRIED: &str = "a timer fires after a failure";
pub(super) const TWICE: &str = "a timer fires twice after a fault";
pub(super) const WAITED: &str = "a timer is due and waits for its parked stream";

impl Timed {
    pub(super) fn all_properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(NOT_EARLY, |_, state: &State| !state.began_early),
            Property::always(IN_TURN, |_, state: &State| !state.began_out_of_turn),
            Property::always(NOT_PARKED, |_, state: &State| !state.began_while_parked),
            Property::always(NOT_GONE, |_, state: &State| !state.began_though_gone),
            Property::always(ONCE, |_, state: &State| {
                // In order: so two of one timer are side by side.
                !state.is_faultless || state.sent.windows(2).all(|two| two[0] != two[1])
            }),
            Property::always(SET_ONCE, |_, state: &State| !state.set_twice),
            Property::always(NONE_LOST, Self::loses_none),
            Property::always(KNOWN, Self::knows_what_is_due),
            Property::sometimes(ALL_FIRED, |model: &Self, state: &State| {
                let has_fired = |id: &TimerId| state.has_fired(*id) || state.dropped.contains(id);
                let is_at_end = usize::from(state.row.next()) == model.events.len();
                is_at_end && state.timers == [None, None] && state.was_set.iter().all(has_fired)
            }),
        ];
        if self.events.iter().any(|does| matches!(does, Does::Cancel(_))) {
            properties.push(Property::sometimes(CANCELLED, |_, state: &State| {
                state.dropped.iter().any(|id| state.entry(*id).is_none())
            }));
        }
        if self.failures > 0 && self.ticks > 1 {
            properties.push(Property::sometimes(RETRIED, |_, state: &State| {
                state.firings.iter().any(|(id, entry)| entry.attempts > 1 && state.has_fired(*id))
            }));
        }
        if self.failures > 0 && self.events.len() > 1 {
            properties.push(Property::sometimes(WAITED, |_, state: &State| {
                state.parked.is_some() && state.timers.iter().flatten().any(|set| set.due <= state.now)
            }));
        }
        if self.crashes > 0 {
            // The truth about a crash between a firing and its record.
            properties.push(Property::sometimes(TWICE, |_, state: &State| {
                state.sent.windows(2).any(|two| two[0] == two[1])
            }));
        }
        properties
    }

    fn loses_none(&self, state: &State) -> bool {
        let is_kept = |id: TimerId| state.is_set(id) || state.has_fired(id) || state.dropped.contains(&id);
        let sets = |event: &usize| matches!(self.events[*event], Does::Set(_)) && state.acted[*event];
        let by_events = (0..self.events.len()).filter(sets);
        let by_events = by_events.map(|event| TimerId { event: event as u8, number: 0 });
        let follows =
            |id: &&TimerId| state.has_fired(**id) && !state.dropped.contains(id) && id.number < self.series;
        let by_firings = state.was_set.iter().filter(follows);
        let by_firings = by_firings.map(|id| TimerId { number: id.number + 1, ..*id });
        by_events.chain(by_firings).all(|id| state.was_set.contains(&id))
            && state.was_set.iter().copied().all(is_kept)
    }

    /// When nobody is at work, and there is nothing to act on.
    fn knows_what_is_due(&self, state: &State) -> bool {
        let rests = state.workers.iter().all(|worker| worker.is_dead || worker.phase == Phase::Idle);
        if !rests || state.row.next() < state.head() || state.parked.is_some() {
            return true;
        }
        let Some(next) = state.timers.iter().flatten().map(|set| set.next_at).min() else { return true };
        let alive = (0..state.workers.len()).filter(|number| !state.workers[*number].is_dead);
        let mut known = alive.map(|number| {
            let mut looks = state.clone();
            looks.workers[number].row = None;
            self.load(&mut looks, number);
            looks.workers[number].known.0.first
        });
        known.all(|first| first.is_some_and(|first| first <= at(next)))
    }
}
