//! What operators do to a read model with parked streams.

use super::state::{Asked, Fate, State};
use super::{Action, Mutation, Parked};
use crate::models::log::{LOG, reference, stream, stream_number};
use crate::models::place::Place;
use crate::models::row::Row;
use crate::projection_state::ProjectionState;
use crate::worker::operations::transition::{Transition, transition};

impl Parked {
    pub(super) fn operations(&self, state: &State, actions: &mut Vec<Action>) {
        if state.asked.is_some() {
            actions.push(Action::SkipParked);
        }
        if state.operations == self.operations {
            return;
        }
        let firsts = state.parked.iter().filter_map(|parked| parked.first());
        if state.asked.is_none() {
            actions.extend(firsts.map(|first| Action::DecideToSkip(*first)));
        }
        let is_known = |changeset: &u64| state.skipped & (1 << changeset) != 0;
        actions.extend((0..self.changesets).filter(|it| !is_known(it)).map(Action::SkipInLive));
        actions.push(Action::TakeOver);
        actions.push(Action::Rebuild);
        match state.rows.whole.0.split {
            _ if state.rows.whole.0.segment.is_some() || state.rows.is_changing() => {}
            None => actions.extend([Action::GoBack, Action::DealOut(2)]),
            Some(_) => actions.push(Action::DealOut(1)),
        }
    }

    pub(super) fn decide_to_skip(state: &mut State, changeset: u64) -> Option<()> {
        let place = state.rows.place_of(stream(changeset))?;
        let ProjectionState { position, version, segment, .. } = &state.rows.at(place)?.0;
        if segment.is_some() {
            return None;
        }
        state.asked = Some(Asked { place, epoch: position.epoch, version: *version, changeset });
        Some(())
    }

    /// One transaction: the row is as it was when the operator decided, and the changeset is still parked.
    pub(super) fn skip_parked(&self, state: &mut State) -> Option<()> {
        let Asked { place, epoch, version, changeset } = state.asked.take()?;
        let Some(Row(found)) = state.rows.at(place) else { return Some(()) };
        if found.position.epoch != epoch || found.version != version || !state.is_parked(changeset) {
            return Some(());
        }
        let skip = Transition::SkipParked(reference(changeset));
        let Ok(moved) = transition(found, &skip) else { return Some(()) };
        *state.rows.at_mut(place)? = Row(moved);
        state.unpark(changeset, !self.has(Mutation::SkippedStaysParked));
        Some(())
    }

    /// An operator skips a changeset in the live read model, whose standby this is.
    pub(super) fn skip_in_live(&self, state: &mut State, changeset: u64) -> Option<()> {
        let whole = state.rows.whole.0.clone();
        let concerns = |place: &Place| {
            let partition = place.partition();
            partition.is_none_or(|partition| whole.may_come_to(partition, stream(changeset)))
        };
        for place in state.rows.places().into_iter().filter(concerns) {
            let row = state.rows.at_mut(place)?;
            *row = Row(row.0.moved(|row| row.skip(&reference(changeset))));
        }
        state.skipped |= 1 << changeset;
        if state.is_parked(changeset) {
            state.unpark(changeset, !self.has(Mutation::SkippedInLiveStaysParked));
        }
        Some(())
    }

    pub(super) fn rebuild(&self, state: &mut State) {
        let mut whole = state.rows.rebuilt(self.changesets, self.by_segments, None);
        if self.has(Mutation::SkipForgotten) {
            whole.skips.clear();
        }
        state.rows.begin(whole);
        if !self.has(Mutation::ParkedKept) {
            state.parked.iter_mut().for_each(std::collections::BTreeSet::clear);
        }
        state.fates = [Fate::default(); LOG.len()];
    }

    pub(super) fn go_back(&self, state: &mut State) -> Option<()> {
        state.rows.go_back(self.changesets)?;
        // They are wanted again.
        state.skipped = 0;
        Some(())
    }

    pub(super) fn join(&self, state: &mut State) -> Option<()> {
        let whole = state.rows.joined()?;
        state.rows.begin(whole);
        if self.has(Mutation::ParkedForgottenInAJoin) {
            state.parked.iter_mut().for_each(std::collections::BTreeSet::clear);
        }
        Some(())
    }
}

impl State {
    /// Takes a changeset out of what is parked, for good.
    fn unpark(&mut self, changeset: u64, is_removed: bool) {
        self.skipped |= 1 << changeset;
        if is_removed {
            self.parked[stream_number(changeset)].remove(&changeset);
            self.fates[changeset as usize].left_out += 1;
        }
    }
}
