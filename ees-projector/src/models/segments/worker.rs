//! What a worker does: it takes a lease, reads a row, and applies what comes next in one transaction.

use ees_store::Checkpoint;

use super::state::{State, Work};
use super::{Mutation, Segments};
use crate::models::leased::Leased;
use crate::models::log::{batch, part_of_segment, stream_number};
use crate::models::log_id;
use crate::models::place::Place;
use crate::models::row::{Row, pause};
use crate::partition::{Partition, Split};
use crate::projection_state::ProjectionState;
use crate::worker::batch::Batch;

impl Segments {
    /// What a worker with this row applies next.
    pub(super) fn batch(
        &self,
        state: &State,
        row: &Row,
        partition: Option<Partition>,
        page: usize,
    ) -> Option<Batch> {
        match (&row.0.segment, partition, self.mutation) {
            (Some(from), _, Some(Mutation::HeadIsNotNoted)) => {
                Some(part_of_segment(state.head, from, state.head, page))
            }
            (Some(_), Some(partition), Some(Mutation::SegmentOfOwnStreams)) => {
                let mut batch = batch(state.head, &row.0, None, page)?;
                batch.changesets.retain(|entry| partition.owns(&entry.stream_id));
                Some(batch)
            }
            _ => batch(state.head, &row.0, partition, page),
        }
    }

    pub(super) fn take_lease(&self, state: &mut State, worker: usize, place: Place) -> Option<()> {
        let stored = state.rows.at_mut(place)?;
        let is_taken_over = stored.owner.replace(worker).is_some();
        if !self.has(Mutation::LeaseWithoutEpoch) {
            stored.row = Row(stored.row.0.moved(|_| {}));
        }
        state.takeovers += u8::from(is_taken_over);
        Some(())
    }

    pub(super) fn read(&self, state: &mut State, worker: usize, place: Place) -> Option<()> {
        let stored = state.rows.at(place)?;
        if self.has_leases && stored.owner != Some(worker) {
            return None;
        }
        state.workers[worker] = Work::Has { place, row: stored.row.clone() };
        Some(())
    }

    /// One transaction: fence, rows, and how far it has come. Of a page, only the first part may be applied.
    pub(super) fn step(&self, state: &mut State, number: usize, page: usize, part: usize) -> Option<()> {
        let Work::Has { place, row } = state.workers[number].clone() else { return None };
        let worker = place.partition();
        let batch = self.batch(state, &row, worker, page)?;
        let all = batch.changesets.len();
        let end = part.min(all);
        let noted = if self.has(Mutation::PlaceOfThePage) { all } else { end };
        let to = self.mutated(state, &row, batch.state_before(noted, &row.0));
        let may_move = batch.follows(&row.0) && row.0.may_be_moved_by(worker, to.position.next);
        let stored = state.rows.at(place).filter(|stored| stored.row.0.position == row.0.position);
        let Some(owner) = stored.filter(|_| may_move).map(|stored| stored.owner) else {
            state.workers[number] = Work::Nothing;
            return Some(());
        };
        state.wrote_without_lease |= owner != Some(number);
        state.wrote_while_paused |= state.is_paused;
        for entry in &batch.changesets[..end] {
            if !row.0.leaves_out(entry) {
                let changeset = entry.checkpoint.get();
                state.applied[stream_number(changeset)].push((changeset, row.0.version));
            }
        }
        let to = Row(to);
        if self.has(Mutation::ProgressInAnotherTransaction) {
            state.workers[number] = Work::Applied { place, row, to: Box::new(to) };
            return Some(());
        }
        state.rows.at_mut(place)?.row = to.clone();
        state.workers[number] = Work::Has { place, row: to };
        Some(())
    }

    fn mutated(&self, state: &State, from: &Row, mut to: ProjectionState) -> ProjectionState {
        if from.0.segment.is_none() {
            return to;
        }
        match (self.mutation, &to.segment) {
            (Some(Mutation::StepKeepsTheEpoch), _) => to.position.epoch = from.0.position.epoch,
            (Some(Mutation::PositionMovesWithTheSegment), Some(segment)) => {
                to.position.next = Checkpoint::new(segment.passed);
            }
            (Some(Mutation::CatchesUpFromTheEndOfTheLog), None) => {
                to = to.advanced(Checkpoint::new(state.head), log_id(), None);
            }
            _ => {}
        }
        to
    }

    pub(super) fn move_on(state: &mut State, number: usize) -> Option<()> {
        let Work::Applied { place, row, to } = state.workers[number].clone() else { return None };
        let stored = state.rows.at_mut(place)?;
        if stored.row.0.position != row.0.position {
            state.workers[number] = Work::Nothing;
            return Some(());
        }
        stored.row = Row::clone(&to);
        state.workers[number] = Work::Has { place, row: *to };
        Some(())
    }

    /// A changeset has failed for the last time, which pauses the partition.
    pub(super) fn fail(state: &mut State, number: usize) -> Option<()> {
        let Work::Has { place, row } = std::mem::replace(&mut state.workers[number], Work::Nothing) else {
            return None;
        };
        let stored = state.rows.at_mut(place)?;
        if stored.row.0.position == row.0.position {
            stored.row = Row(row.0.moved(|row| row.pause = Some(pause())));
        }
        Some(())
    }

    /// Replaces the rows of the partitions by those that the row of the whole asks for.
    pub(super) fn create_partitions(&self, state: &mut State) {
        let before = std::mem::take(&mut state.rows.partitions);
        let Some(split) = state.rows.whole.row.0.split else { return };
        let epoch = state.epoch;
        // Those of the one before never come so far.
        state.epoch += 100;
        for number in 0..split.count {
            let mut row = state.rows.whole.row.0.partition(split, number, epoch);
            match self.mutation {
                Some(Mutation::GoesOnAlone) => row.split = Some(Split::into(split.count)),
                Some(Mutation::AllReadTheFirstSegment) => {
                    row.segment.clone_from(&state.rows.whole.row.0.segment);
                }
                Some(Mutation::ProgressKept) => {
                    let progress = before.get(number as usize).map(|stored| stored.row.0.segment.clone());
                    row.segment = progress.unwrap_or(row.segment);
                }
                _ => {}
            }
            state.rows.partitions.push(Leased::free(row));
        }
    }

    pub(super) fn joined(&self, state: &State) -> Option<ProjectionState> {
        let by_the_first = self.has(Mutation::JoinedByTheFirst);
        let mut joined =
            if by_the_first { state.rows.joined_by_the_first()? } else { state.rows.joined()? };
        if self.has(Mutation::SkipsForgotten) {
            joined.skips.clone_from(&state.rows.whole.row.0.skips);
        }
        Some(joined)
    }
}
