//! What must hold in every state, and what shall be possible.

use stateright::Property;

use super::Segments;
use super::state::State;
use crate::models::log::{is_passed_in, segment_of, stream};
use crate::models::row::Row;
use crate::partition::Partition;
use crate::projection_state::ProjectionState;
use crate::worker::operations::transition::check_swap;

pub(super) const ONCE: &str = "what is passed is applied once, but for what was skipped";
pub(super) const IN_ORDER: &str = "each stream is applied in its order, by one version";
pub(super) const POSITION: &str = "all before the position that is shown is applied";
pub(super) const ENDS: &str = "the rebuild ends at the noted head, and not before";
pub(super) const NOT_SWAPPED: &str = "it is not swapped while segments are read";
pub(super) const SKIPS_KNOWN: &str = "what was skipped is known to a rebuild";
pub(super) const BY_THE_OWNER: &str = "only who has the lease writes";
pub(super) const NOT_PAUSED: &str = "nobody writes while an operator has paused it";

pub(super) const ALL_APPLIED: &str = "all is applied";
pub(super) const TAKEN_OVER: &str = "all is applied by workers that have taken over";
pub(super) const LEFT_OUT: &str = "a segment leaves out what is skipped";
pub(super) const BEGUN_ANEW: &str = "all is applied after a rebuild was begun anew";

impl Segments {
    pub(super) fn all_properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ONCE, Self::applies_once),
            Property::always(IN_ORDER, |_, state: &State| {
                let version = state.rows.whole.row.0.version;
                let is_in_order = |applied: &Vec<(u64, u32)>| applied.is_sorted();
                let by_version = |applied: &Vec<(u64, u32)>| applied.iter().all(|(_, by)| *by == version);
                state.applied.iter().all(|applied| is_in_order(applied) && by_version(applied))
            }),
            Property::always(POSITION, Self::shows_what_is_applied),
            Property::always(ENDS, |_, state: &State| {
                let has_ended = |row: &&Row| row.next() >= state.until;
                let has_ended = !state.is_reading_segments() && state.positions().iter().all(has_ended);
                state.shown().rebuild_until.is_none() == has_ended
            }),
            Property::always(NOT_SWAPPED, Self::refuses_a_swap),
            Property::always(SKIPS_KNOWN, |model: &Self, state: &State| {
                let known = state.rows.with_skips();
                let is_skipped = |changeset: &u64| state.skipped & (1 << changeset) != 0;
                (0..model.log_max)
                    .filter(is_skipped)
                    .all(|changeset| known.skips.iter().any(|skipped| skipped.checkpoint.get() == changeset))
            }),
            Property::always(NOT_PAUSED, |_, state: &State| !state.wrote_while_paused),
            Property::sometimes(ALL_APPLIED, |model: &Self, state: &State| {
                model.is_at_the_end(state) && (state.was_joined || model.workers == 1)
            }),
        ];
        if self.has_leases {
            properties.push(Property::always(BY_THE_OWNER, |_, state: &State| !state.wrote_without_lease));
        }
        if self.takeovers > 0 {
            properties.push(Property::sometimes(TAKEN_OVER, |model: &Self, state: &State| {
                state.takeovers == model.takeovers && model.is_at_the_end(state)
            }));
        }
        if self.operations > 0 {
            properties.push(Property::sometimes(LEFT_OUT, |model: &Self, state: &State| {
                state.left_out != 0 && model.is_at_the_end(state)
            }));
            properties.push(Property::sometimes(BEGUN_ANEW, |model: &Self, state: &State| {
                state.was_begun_anew && model.is_at_the_end(state)
            }));
        }
        properties
    }

    /// Whether the rows say that a changeset is applied, or left out.
    pub(super) fn is_passed(&self, state: &State, changeset: u64) -> bool {
        let passed_by = |row: &Row| match &row.0.segment {
            Some(progress) => is_passed_in(progress, changeset),
            None => changeset < row.next(),
        };
        let Some(split) = state.rows.whole.row.0.split else { return passed_by(&state.rows.whole.row) };
        let index = match state.is_reading_segments() && changeset < state.until {
            true => segment_of(stream(changeset), split.count),
            false => Partition::of(stream(changeset), split.count).index,
        };
        state.rows.partitions.get(index as usize).is_some_and(|stored| passed_by(&stored.row))
    }

    fn applies_once(&self, state: &State) -> bool {
        (0..self.log_max).all(|changeset| {
            let is_wanted = self.is_passed(state, changeset) && state.left_out & (1 << changeset) == 0;
            state.times_applied(changeset) == usize::from(is_wanted)
        })
    }

    /// Readers know nothing of segments.
    fn shows_what_is_applied(&self, state: &State) -> bool {
        let shown = state.shown();
        (0..shown.position.next.get()).all(|changeset| {
            let is_left_out = state.left_out & (1 << changeset) != 0;
            state.times_applied(changeset) == usize::from(!is_left_out)
        })
    }

    fn has_read_all(&self, state: &State) -> bool {
        (0..state.until).all(|changeset| self.is_passed(state, changeset))
    }

    fn refuses_a_swap(&self, state: &State) -> bool {
        let rows = state.rows.of_partitions();
        let whole: ProjectionState =
            state.rows.whole.row.0.clone().with_rebuild_of(&rows.iter().collect::<Vec<_>>());
        let may_swap = |force| check_swap(&whole, false, force, false).is_ok();
        let is_at_one_place = !state.is_reading_segments();
        (!may_swap(true) || is_at_one_place) && (!may_swap(false) || self.has_read_all(state))
    }

    fn is_at_the_end(&self, state: &State) -> bool {
        let is_at_end = |row: &&Row| row.0.segment.is_none() && row.next() == self.log_max;
        state.head == self.log_max && state.positions().iter().all(is_at_end)
    }
}
