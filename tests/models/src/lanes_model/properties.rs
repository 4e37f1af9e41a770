//! What must hold in every state.

use std::collections::BTreeSet;

use stateright::{Model, Property};

use super::state::{Cutter, Indexer};
use super::{Action, Lanes, State};

/// What was read at a checkpoint is there for ever.
pub const IMMUTABLE: &str = "what was read at a checkpoint never changes";
/// Each checkpoint before the head has a changeset, and each place has one checkpoint.
pub const CONTIGUOUS: &str = "the global order is contiguous";
/// Each stream's changesets come in their order, each once.
pub const STREAMS_IN_ORDER: &str = "the global order keeps each stream's order";
/// The same for who reads by lane.
pub const LANES_IN_ORDER: &str = "readers by lane see each stream in its order";
/// From each state, processes that take turns reach the end.
pub const REACHES_EVERYTHING: &str = "from every state, everything is reached";
/// Without this, the others say little.
pub const ENDS: &str = "all is read, through all resizes";
/// Nor without this.
pub const RACES: &str = "a cutter is about to write a cut that another has written";

pub(super) fn all() -> Vec<Property<Lanes>> {
    vec![
        Property::always(IMMUTABLE, Lanes::is_immutable),
        Property::always(CONTIGUOUS, Lanes::is_contiguous),
        Property::always(STREAMS_IN_ORDER, Lanes::keeps_streams_in_order),
        Property::always(LANES_IN_ORDER, Lanes::lanes_are_in_order),
        Property::always(REACHES_EVERYTHING, Lanes::reaches_everything),
        Property::sometimes(ENDS, Lanes::is_finished),
        Property::sometimes(RACES, Lanes::has_a_race),
    ]
}

impl Lanes {
    fn is_immutable(&self, state: &State) -> bool {
        let cuts = self.cuts(state);
        state.read.iter().enumerate().all(|(checkpoint, read)| {
            let found = cuts.place(checkpoint as u64).and_then(|place| state.entries.get(&self.key(place)));
            found.copied() == *read
        })
    }

    /// Of the base table, not of the index, which may be late.
    fn is_contiguous(&self, state: &State) -> bool {
        let cuts = self.cuts(state);
        let mut found = BTreeSet::new();
        (0..cuts.head()).all(|checkpoint| {
            cuts.place(checkpoint).is_some_and(|(generation, place)| {
                found.insert((generation, place))
                    && cuts.checkpoint(generation, place) == Some(checkpoint)
                    && state.entries.contains_key(&self.key((generation, place)))
            })
        })
    }

    fn keeps_streams_in_order(&self, state: &State) -> bool {
        let mut next = vec![0; self.streams.len()];
        state.read.iter().flatten().all(|(stream, number)| {
            let expected = std::mem::replace(&mut next[*stream], number + 1);
            *number == expected
        })
    }

    fn lanes_are_in_order(&self, state: &State) -> bool {
        state.applied.iter().all(Option::is_some)
    }

    fn is_finished(&self, state: &State) -> bool {
        let has_applied = !self.has_readers_by_lane
            || state.applied.iter().zip(&self.streams).all(|(applied, all)| *applied == Some(*all));
        state.read.len() == self.total() && state.generations.len() == self.plan.len() && has_applied
    }

    /// Two cutters have read what makes them write at one base.
    fn has_a_race(&self, state: &State) -> bool {
        state.cutters.iter().any(|cutter| match cutter {
            Cutter::Reading { generation, last: Some(last), counters, next_lanes, .. }
                if counters.len() == state.generations[*generation].lanes =>
            {
                let cut = state.generations[*generation].next_cut(last.as_ref(), counters, *next_lanes);
                cut.is_some_and(|cut| state.cuts[*generation].contains_key(&cut.base))
            }
            _ => false,
        })
    }

    /// Whether the end is reached when nobody dies any more and all take turns. So the end can be reached from every
    /// state, whatever happened before; under strong fairness (what is possible again and again happens) it is.
    fn reaches_everything(&self, state: &State) -> bool {
        let mut state = state.clone();
        // Each turn places one changeset of each stream at least, or goes on with a resize.
        for _ in 0..2 * (self.total() + self.plan.len()) {
            if self.is_finished(&state) {
                return true;
            }
            self.take_turns(&mut state);
        }
        self.is_finished(&state)
    }

    /// All finish what they are at. Then each does what it does once.
    fn take_turns(&self, state: &mut State) {
        let act = |state: &mut State, action| {
            if let Some(next) = self.next_state(state, action) {
                *state = next;
            }
        };
        let finish = |state: &mut State| {
            while let Some(at) = state.indexers.iter().position(|it| *it != Indexer::Idle) {
                act(state, Action::IndexerGoesOn(at));
            }
            while let Some(at) = state.cutters.iter().position(|it| *it != Cutter::Idle) {
                act(state, Action::CutterGoesOn(at));
            }
        };
        finish(state);
        let mut actions = Vec::new();
        self.actions(state, &mut actions);
        for action in actions {
            act(state, action);
            finish(state);
        }
        let mut reads = Vec::new();
        self.actions(state, &mut reads);
        for action in reads {
            if matches!(action, Action::ReadLane(..) | Action::Show(_)) {
                act(state, action);
            }
        }
    }
}
