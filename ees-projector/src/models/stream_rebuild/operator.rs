//! What operators do meanwhile.

use super::state::{Fate, State};
use super::{Action, StreamRebuild};
use crate::models::log::{LOG, reference, stream, stream_number};
use crate::models::row::Row;
use crate::worker::operations::transition::{Transition, transition};

impl StreamRebuild {
    pub(super) fn operations(&self, state: &State, actions: &mut Vec<Action>) {
        if state.operations == self.operations {
            return;
        }
        let is_open = |changeset: &u64| {
            let is_first = state.parked[stream_number(*changeset)].first() == Some(changeset);
            is_first || state.fates[*changeset as usize] == Fate::Ahead
        };
        actions.extend((0..self.changesets).filter(is_open).map(Action::Skip));
        actions.push(Action::RebuildAll);
        match state.rows.whole.0.split {
            _ if state.rows.is_changing() => {}
            None => actions.extend([Action::GoBack, Action::DealOut(2)]),
            Some(_) => actions.push(Action::DealOut(1)),
        }
    }

    /// Skips a changeset that waits, or that is ahead: what an operator skips in a live read model, its standby leaves out.
    pub(super) fn skip(state: &mut State, changeset: u64) -> Option<()> {
        let place = state.rows.place_of(stream(changeset))?;
        let row = state.rows.at(place)?.0.clone();
        let parked = &mut state.parked[stream_number(changeset)];
        let moved = match parked.remove(&changeset) {
            true => transition(&row, &Transition::SkipParked(reference(changeset))).ok()?,
            false => row.moved(|row| row.skip(&reference(changeset))),
        };
        *state.rows.at_mut(place)? = Row(moved);
        Some(())
    }

    /// Moves the read model back, with its rows as they are: what is applied again is in them twice.
    pub(super) fn go_back(&self, state: &mut State) -> Option<()> {
        if state.parked.iter().any(|parked| !parked.is_empty()) {
            return None;
        }
        state.rows.go_back(self.changesets)?;
        state.fates = [Fate::Ahead; LOG.len()];
        state.is_damaged = true;
        // Of other streams nothing is rebuilt.
        let others = state.made.iter_mut().skip(1);
        others.for_each(Vec::clear);
        Some(())
    }

    pub(super) fn rebuild_all(&self, state: &mut State) {
        let whole = state.rows.rebuilt(self.changesets, false, None);
        state.rows.begin(whole);
        state.parked.iter_mut().for_each(std::collections::BTreeSet::clear);
        state.made.iter_mut().for_each(Vec::clear);
        state.fates = [Fate::Ahead; LOG.len()];
        state.is_damaged = false;
    }

    pub(super) fn join(state: &mut State) -> Option<()> {
        let whole = state.rows.joined()?;
        state.rows.begin(whole);
        Some(())
    }
}
