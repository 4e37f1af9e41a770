//! What must hold in every state, and what shall be possible.

use stateright::Property;

use super::state::{Fate, State};
use super::{REBUILT, StreamRebuild};
use crate::models::log::STREAMS;

pub(super) const EXACT: &str = "a row is made of what was applied of its stream, once each and in order";

const MENDED: &str = "a row that was changed by hand is right again";
const ALL_APPLIED: &str = "all is applied after a rebuild";
const BEGUN_AGAIN: &str = "a replay begins again";

impl StreamRebuild {
    pub(super) fn all_properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(EXACT, |_, state: &State| {
                let is_of_interest = |number: &usize| *number != REBUILT || !state.is_damaged;
                (0..STREAMS.len())
                    .filter(is_of_interest)
                    .all(|number| state.made[number] == state.expected(number))
            }),
            Property::sometimes(MENDED, |_, state: &State| state.has_mended),
            Property::sometimes(ALL_APPLIED, |model: &Self, state: &State| {
                let fates = &state.fates[..model.changesets as usize];
                state.has_mended && fates.iter().all(|fate| *fate == Fate::Applied)
            }),
        ];
        if self.failures > 0 {
            properties.push(Property::sometimes(BEGUN_AGAIN, |_, state: &State| state.has_begun_again));
        }
        properties
    }
}
