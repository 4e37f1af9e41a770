//! How a worker passes changesets, parks those that fail with what follows them, and retries them.

use std::collections::BTreeSet;

use super::state::{State, Work};
use super::{Mutation, Parked};
use crate::models::log::{batch, stream_number};
use crate::models::log_id;
use crate::models::place::Place;
use crate::models::row::Row;
use crate::models::rows::names;
use crate::projection_state::ProjectionState;
use crate::worker::apply::Becomes;

impl Parked {
    /// Reads a row and what is parked, in one transaction.
    pub(super) fn read(&self, state: &mut State, number: usize, place: Place) -> Option<()> {
        let row = state.rows.at(place)?.clone();
        let parked = match &state.workers[number] {
            Work::Has { parked, .. } if self.has(Mutation::ParkedStreamsNotReadAgain) => parked.clone(),
            _ => place.parked_of(&state.parked),
        };
        state.workers[number] = Work::Has { place, row, parked };
        Some(())
    }

    /// One transaction: fence, and what becomes of the first changesets of a page.
    pub(super) fn step(&self, state: &mut State, number: usize, page: usize, part: usize) -> Option<()> {
        let Work::Has { place, row, parked } = state.workers[number].clone() else { return None };
        let batch = batch(self.changesets, &row.0, place.partition(), page)?;
        let end = part.min(batch.changesets.len());
        let to = batch.state_before(end, &row.0);
        let may_move = row.0.may_be_moved_by(place.partition(), to.position.next);
        if !may_move || !state.rows.replace(place, &row.0, to.clone()) {
            state.workers[number] = Work::Nothing;
            return Some(());
        }
        let known = if self.has(Mutation::FollowersApplied) { BTreeSet::new() } else { parked.clone() };
        let known = names(&known);
        for entry in &batch.changesets[..end] {
            let changeset = entry.checkpoint.get();
            match row.0.what_becomes_of(entry, &known) {
                Becomes::Applied => state.apply(changeset),
                Becomes::Parked => state.park(changeset),
                Becomes::LeftOut => state.fates[changeset as usize].left_out += 1,
            }
        }
        state.workers[number] = Work::Has { place, row: Row(to), parked };
        Some(())
    }

    /// One transaction: the next changeset has failed for the last time, so it is passed and parked.
    pub(super) fn fail(&self, state: &mut State, number: usize) -> Option<()> {
        let Work::Has { place, row, mut parked } = state.workers[number].clone() else { return None };
        let batch = batch(self.changesets, &row.0, place.partition(), 1)?;
        let failed = batch.reference(0)?;
        let is_applied = row.0.what_becomes_of(&batch.changesets[0], &names(&parked)) == Becomes::Applied;
        if !is_applied || !row.0.may_park(place.partition()) {
            return None;
        }
        state.failures += 1;
        let to = row.0.past(&failed, log_id());
        if !state.rows.replace(place, &row.0, to.clone()) {
            state.workers[number] = Work::Nothing;
            return Some(());
        }
        let changeset = failed.checkpoint.get();
        match self.mutation {
            Some(Mutation::FailureNotParked) => {}
            Some(Mutation::ParkedInAnotherTransaction) => {
                state.workers[number] = Work::Parks { changeset };
                return Some(());
            }
            _ => state.park(changeset),
        }
        parked.insert(stream_number(changeset));
        state.workers[number] = Work::Has { place, row: Row(to), parked };
        Some(())
    }

    pub(super) fn park_late(state: &mut State, number: usize) -> Option<()> {
        let Work::Parks { changeset } = state.workers[number] else { return None };
        state.park(changeset);
        state.workers[number] = Work::Nothing;
        Some(())
    }

    /// Reads what is parked of a stream. The row may be older.
    pub(super) fn begin_to_retry(state: &mut State, number: usize, stream: usize) -> Option<()> {
        let Work::Has { place, row, .. } = state.workers[number].clone() else { return None };
        let is_own = place.parked_of(&state.parked).contains(&stream);
        if !is_own || !row.0.may_retry(place.partition()) {
            return None;
        }
        let changesets = state.parked[stream].iter().copied().collect();
        state.workers[number] = Work::Retries { place, row, changesets };
        Some(())
    }

    /// One transaction, wherever the row is by now: its epoch is the same, and the changeset is the first that is parked.
    pub(super) fn retry(&self, state: &mut State, number: usize, succeeds: bool) -> Option<()> {
        let Work::Retries { place, row, changesets } = state.workers[number].clone() else { return None };
        state.workers[number] = Work::Nothing;
        let (changeset, rest) = changesets.split_first()?;
        if !succeeds {
            // Only its error and the time of the next retry are noted.
            state.failures += 1;
            state.has_failed_again = true;
            return Some(());
        }
        let found = state.rows.at(place)?.clone();
        let ProjectionState { position, version, .. } = &row.0;
        let is_same = found.0.position.epoch == position.epoch && found.0.version == *version;
        let parked = &mut state.parked[stream_number(*changeset)];
        let is_there = match self.has(Mutation::EarlierOnesIgnored) {
            true => parked.contains(changeset),
            false => parked.first() == Some(changeset),
        };
        let is_first_here = is_same && is_there;
        if !is_first_here && !self.has(Mutation::RetryWithoutFence) {
            return Some(());
        }
        parked.remove(changeset);
        state.apply(*changeset);
        let moved = Row(found.0.moved(|_| {}));
        *state.rows.at_mut(place)? = moved.clone();
        if !rest.is_empty() {
            state.workers[number] = Work::Retries { place, row: moved, changesets: rest.to_vec() };
        }
        Some(())
    }
}

impl State {
    fn apply(&mut self, changeset: u64) {
        let parked = &self.parked[stream_number(changeset)];
        self.out_of_order |= parked.iter().any(|waits| *waits < changeset);
        self.fates[changeset as usize].applied += 1;
    }

    fn park(&mut self, changeset: u64) {
        self.parked[stream_number(changeset)].insert(changeset);
    }
}
