//! How a worker applies changesets, parks one that fails, and retries it.

use super::StreamRebuild;
use super::state::{Fate, State, Work};
use crate::models::log::{batch, stream_number};
use crate::models::log_id;
use crate::models::place::Place;
use crate::models::row::Row;
use crate::models::rows::names;
use crate::worker::apply::Becomes;

impl StreamRebuild {
    /// Reads a row and what is parked, in one transaction.
    pub(super) fn read(state: &mut State, number: usize, place: Place) -> Option<()> {
        let (row, parked) = (state.rows.at(place)?.clone(), place.parked_of(&state.parked));
        state.workers[number] = Work::Has { place, row, parked };
        Some(())
    }

    /// Begins the transaction of a step: reads the rows that the page changes.
    pub(super) fn load(&self, state: &mut State, number: usize, page: usize) -> Option<()> {
        let Work::Has { place, row, parked } = state.workers[number].clone() else { return None };
        batch(self.changesets, &row.0, place.partition(), page)?;
        let made = state.made.clone();
        state.workers[number] = Work::Loaded { place, row, parked, page, made };
        Some(())
    }

    /// Commits it: the fence, and what the page has made of the rows as they were read.
    pub(super) fn write(&self, state: &mut State, number: usize) -> Option<()> {
        let Work::Loaded { place, row, parked, page, mut made } = state.workers[number].clone() else {
            return None;
        };
        let batch = batch(self.changesets, &row.0, place.partition(), page)?;
        let to = batch.state_before(batch.changesets.len(), &row.0);
        let may_move = row.0.may_be_moved_by(place.partition(), to.position.next);
        if !may_move || !state.rows.replace(place, &row.0, to.clone()) {
            state.workers[number] = Work::Nothing;
            return Some(());
        }
        let names = names(&parked);
        for entry in &batch.changesets {
            let changeset = entry.checkpoint.get();
            let stream = stream_number(changeset);
            match row.0.what_becomes_of(entry, &names) {
                Becomes::Applied => {
                    made[stream].push(changeset);
                    state.made[stream].clone_from(&made[stream]);
                    state.fates[changeset as usize] = Fate::Applied;
                }
                Becomes::Parked => {
                    state.parked[stream].insert(changeset);
                    state.fates[changeset as usize] = Fate::LeftOut;
                }
                Becomes::LeftOut => state.fates[changeset as usize] = Fate::LeftOut,
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
        state.parked[stream_number(changeset)].insert(changeset);
        state.fates[changeset as usize] = Fate::LeftOut;
        parked.insert(stream_number(changeset));
        state.workers[number] = Work::Has { place, row: Row(to), parked };
        Some(())
    }

    /// One transaction: the first parked changeset of a stream is applied.
    pub(super) fn retry(state: &mut State, number: usize, stream: usize) -> Option<()> {
        let Work::Has { place, row, .. } = state.workers[number].clone() else { return None };
        if !place.parked_of(&state.parked).contains(&stream) || !row.0.may_retry(place.partition()) {
            return None;
        }
        state.workers[number] = Work::Nothing;
        let found = state.rows.at(place)?.0.clone();
        if (found.position.epoch, found.version) != (row.0.position.epoch, row.0.version) {
            return Some(());
        }
        let changeset = state.parked[stream].pop_first()?;
        state.made[stream].push(changeset);
        state.fates[changeset as usize] = Fate::Applied;
        *state.rows.at_mut(place)? = Row(found.moved(|_| {}));
        Some(())
    }
}
