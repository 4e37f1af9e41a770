//! What operators do while segments are read.

use ees_store::Checkpoint;

use super::state::State;
use super::{Action, Mutation, Segments};
use crate::models::leased::Leased;
use crate::models::log::{LOG, reference, stream};
use crate::models::place::Place;
use crate::models::row::{Asked, Row};
use crate::partition::Partition;
use crate::projection_state::ProjectionState;
use crate::worker::operations::transition::{Transition, transition};
use crate::worker::partitions::DealtOut;

impl Segments {
    pub(super) fn operations(&self, state: &State, actions: &mut Vec<Action>) {
        if state.asked.is_some() {
            actions.push(Action::Skip);
        }
        if state.operations == self.operations {
            return;
        }
        let is_paused = state.positions().iter().any(|row| row.0.pause.is_some());
        actions.push(if is_paused { Action::Resume } else { Action::Pause });
        if state.asked.is_none() {
            actions.extend(state.rows.places().into_iter().map(Action::DecideToSkip));
        }
        let is_known = |changeset: &u64| state.skipped & (1 << changeset) != 0;
        let to_skip = (0..state.head).filter(|changeset| !is_known(changeset));
        actions.extend(to_skip.map(Action::SkipInLive));
        actions.push(Action::Rebuild { by_segments: true, workers: Some(2) });
        actions.push(Action::Rebuild { by_segments: false, workers: None });
        if state.is_reading_segments() {
            actions.push(Action::SetCheckpoint);
            if self.has(Mutation::DealtOutWhileReading) && state.rows.whole.row.0.split.is_some() {
                actions.push(Action::DealOut);
            }
        }
    }

    pub(super) fn pause_all(state: &mut State, action: &Transition) {
        state.is_paused = matches!(action, Transition::Pause(_));
        let change = |stored: &mut Leased| stored.row = Row(transition(&stored.row.0, action).unwrap());
        change(&mut state.rows.whole);
        state.rows.partitions.iter_mut().for_each(change);
    }

    pub(super) fn decide_to_skip(&self, state: &mut State, place: Place) -> Option<()> {
        let row = &state.rows.at(place)?.row;
        let unread = self.batch(state, row, place.partition(), LOG.len())?;
        let changeset = unread.reference(0)?.checkpoint.get();
        let ProjectionState { position, version, .. } = row.0;
        state.asked =
            Some(Asked { place, from: position.next.get(), epoch: position.epoch, version, changeset });
        Some(())
    }

    pub(super) fn skip(&self, state: &mut State) -> Option<()> {
        let asked = state.asked.take()?;
        let is_passed = self.is_passed(state, asked.changeset);
        // The rows may have been replaced.
        let Some(stored) = state.rows.at_mut(asked.place) else { return Some(()) };
        let found = &stored.row.0;
        // As every operator's change: the position may have moved, the rest of the row has not.
        if found.position.epoch != asked.epoch || found.version != asked.version {
            return Some(());
        }
        let skip =
            Transition::SkipNext { from: Checkpoint::new(asked.from), changeset: reference(asked.changeset) };
        let Ok(mut moved) = transition(found, &skip) else { return Some(()) };
        if self.has(Mutation::SkipEndsNoRebuild) {
            moved.rebuild_until = found.rebuild_until;
        }
        stored.row = Row(moved);
        state.note_skip(asked.changeset, is_passed);
        // Who skips what comes next wants it to go on.
        state.is_paused = false;
        Some(())
    }

    /// An operator skips a changeset in the live read model, beside which this one is being built.
    pub(super) fn skip_in_live(&self, state: &mut State, changeset: u64) {
        let is_passed = self.is_passed(state, changeset);
        state.note_skip(changeset, is_passed);
        let note = |stored: &mut Leased| {
            stored.row = Row(stored.row.0.moved(|row| row.skip(&reference(changeset))));
        };
        let whole = state.rows.whole.row.0.clone();
        let Some(split) = whole.split else {
            note(&mut state.rows.whole);
            return;
        };
        for (partition, stored) in Partition::all(split.count).zip(&mut state.rows.partitions) {
            let is_concerned = match self.mutation {
                Some(Mutation::SkipNotedByThePartition) => partition.owns(stream(changeset)),
                _ => whole.may_come_to(partition, stream(changeset)),
            };
            if is_concerned {
                note(stored);
            }
        }
    }

    pub(super) fn rebuild(&self, state: &mut State, by_segments: bool, workers: Option<u32>) {
        let known = state.rows.with_skips();
        let rebuild = Transition::Rebuild {
            version: known.version + 1,
            until: Checkpoint::new(state.head),
            keeps_skips: true,
            by_segments,
            workers,
            fingerprint: None,
        };
        let mut whole = transition(&known, &rebuild).unwrap();
        if self.has(Mutation::ProgressKept) && whole.split.is_none() && known.segment.is_some() {
            whole.segment.clone_from(&known.segment);
        }
        state.rows.whole.row = Row(whole);
        state.until = state.head;
        state.is_paused = false;
        if !self.has(Mutation::RowsNotWiped) {
            state.applied.iter_mut().for_each(Vec::clear);
        }
        state.left_out = state.skipped;
        self.create_partitions(state);
        if self.has(Mutation::WholeKnowsOfNoSegments) && state.rows.whole.row.0.split.is_some() {
            state.rows.whole.row.0.segment = None;
        }
    }

    pub(super) fn set_checkpoint(state: &mut State) -> Option<()> {
        // Operators of a projection in partitions are refused before.
        let whole = Some(&state.rows.whole.row.0).filter(|row| row.split.is_none())?;
        let believed = whole.position.next;
        let set =
            Transition::SetCheckpoint { believed, wanted: believed, head: Checkpoint::new(LOG.len() as u64) };
        state.rows.whole.row = Row(transition(whole, &set).ok()?);
        Some(())
    }

    pub(super) fn deal_out(&self, state: &mut State) {
        let rows = state.rows.of_partitions();
        match state.rows.whole.row.0.dealt_out(&rows.iter().collect::<Vec<_>>(), 3, true) {
            DealtOut::AtOnce(whole) => {
                state.rows.whole.row = Row(whole);
                self.create_partitions(state);
            }
            DealtOut::AtBarrier(whole, moved) => {
                state.rows.whole.row = Row(whole);
                for (stored, moved) in state.rows.partitions.iter_mut().zip(moved) {
                    stored.row = Row(moved);
                }
            }
        }
    }
}

impl State {
    fn note_skip(&mut self, changeset: u64, is_passed: bool) {
        self.skipped |= 1 << changeset;
        if !is_passed {
            self.left_out |= 1 << changeset;
        }
    }
}
