//! What must hold in every state, and what shall be possible.

use stateright::Property;

use super::Parked;
use super::state::{Fate, State};

pub(super) const EACH: &str = "what is passed is applied once, waits, or was skipped";
pub(super) const IN_ORDER: &str = "nothing is applied while an earlier changeset of its stream waits";
pub(super) const NOT_SKIPPED: &str = "what was skipped does not wait";
pub(super) const SKIPS_KNOWN: &str = "what was skipped is known to a rebuild";

pub(super) const ALL_APPLIED: &str = "all is applied after a failure";
pub(super) const OTHERS_GO_ON: &str = "the other streams go on";
pub(super) const FOLLOWERS: &str = "two changesets of a stream wait";
pub(super) const FAILED_AGAIN: &str = "all is applied after a retry that failed";
pub(super) const SKIPPED: &str = "a stream goes on after a skip";

impl Parked {
    pub(super) fn all_properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(EACH, |model: &Self, state: &State| {
                (0..model.changesets).all(|changeset| {
                    let Fate { passed, applied, left_out } = state.fates[changeset as usize];
                    passed == applied + left_out + u8::from(state.is_parked(changeset))
                })
            }),
            Property::always(IN_ORDER, |_, state: &State| !state.out_of_order),
            Property::always(NOT_SKIPPED, |model: &Self, state: &State| {
                let is_skipped = |changeset: &u64| state.skipped & (1 << changeset) != 0;
                !(0..model.changesets).filter(is_skipped).any(|changeset| state.is_parked(changeset))
            }),
            Property::always(SKIPS_KNOWN, |model: &Self, state: &State| {
                let known = state.rows.with_skips().skips;
                let is_skipped = |changeset: &u64| state.skipped & (1 << changeset) != 0;
                (0..model.changesets)
                    .filter(is_skipped)
                    .all(|changeset| known.iter().any(|skipped| skipped.checkpoint.get() == changeset))
            }),
            Property::sometimes(ALL_APPLIED, |model: &Self, state: &State| {
                state.failures > 0 && model.has_applied_all(state)
            }),
            Property::sometimes(OTHERS_GO_ON, |model: &Self, state: &State| {
                let waits = (0..model.changesets).filter(|changeset| state.is_parked(*changeset)).count();
                model.has_passed_all(state) && waits == 1
            }),
            Property::sometimes(FOLLOWERS, |_, state: &State| {
                state.parked.iter().any(|parked| parked.len() > 1)
            }),
        ];
        if self.failures > 1 {
            properties.push(Property::sometimes(FAILED_AGAIN, |model: &Self, state: &State| {
                state.has_failed_again && model.has_applied_all(state)
            }));
        }
        if self.operations > 0 {
            properties.push(Property::sometimes(SKIPPED, |model: &Self, state: &State| {
                let left_out: u8 = state.fates.iter().map(|fate| fate.left_out).sum();
                let is_parked = (0..model.changesets).any(|changeset| state.is_parked(changeset));
                left_out > 0 && state.failures > 0 && model.has_passed_all(state) && !is_parked
            }));
        }
        properties
    }

    fn has_passed_all(&self, state: &State) -> bool {
        (0..self.changesets).all(|changeset| state.is_passed(changeset))
    }

    fn has_applied_all(&self, state: &State) -> bool {
        (0..self.changesets).all(|changeset| state.fates[changeset as usize].applied > 0)
    }
}
