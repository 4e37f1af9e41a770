//! How the row of a stream is made anew and replaced.

use ees_store::{ChangesetId, StreamId};

use super::state::{Made, Seen, State};
use super::{Mutation, REBUILT, StreamRebuild, changesets_of};
use crate::models::log::{STREAMS, at, reference};
use crate::models::place::Place;
use crate::partition::Partition;
use crate::projection_state::ProjectionState;
use crate::worker::stream_rebuild::standing::{Became, Standing};

/// What the rebuild goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rebuild {
    Nothing,
    Replayed(Replayed),
    /// It has read where the read model is, and that the replay goes on to there. It replaces the row next.
    Replaces {
        replayed: Replayed,
        seen: Box<Seen>,
    },
}

/// A replay of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Replayed {
    made: Made,
    /// How many changesets of the stream it has passed.
    passed: usize,
    /// Where the read model was when the replay reached it.
    reached: Option<Seen>,
}

impl StreamRebuild {
    /// Replays what the read model has applied and the replay has not.
    pub(super) fn replay(&self, state: &mut State) -> Option<()> {
        if state.is_being_rebuilt() {
            return None;
        }
        let before = match &state.rebuild {
            Rebuild::Nothing => Replayed::default(),
            Rebuild::Replayed(replayed) => replayed.clone(),
            Rebuild::Replaces { .. } => return None,
        };
        let seen = state.seen();
        if before.reached.is_some() && !self.goes_on(&before, &seen.standing()) {
            state.has_begun_again = true;
        }
        state.rebuild = Rebuild::Replayed(self.run_to(before, seen));
        Some(())
    }

    fn goes_on(&self, replayed: &Replayed, standing: &Standing) -> bool {
        let Some(before) = &replayed.reached else { return false };
        let next = next_of(replayed.passed);
        self.has(Mutation::GoesOnAlways) || standing.goes_on_from(&before.standing(), [(&rebuilt(), next)])
    }

    fn run_to(&self, replayed: Replayed, seen: Seen) -> Replayed {
        let standing = seen.standing();
        let mut replayed = if self.goes_on(&replayed, &standing) { replayed } else { Replayed::default() };
        let is_at = |before: &Seen| standing.is_at(&before.standing(), [&rebuilt()]);
        if !replayed.reached.as_ref().is_some_and(is_at) {
            self.read_and_apply(&mut replayed, &standing);
        }
        replayed.reached = Some(seen);
        replayed
    }

    fn read_and_apply(&self, replayed: &mut Replayed, standing: &Standing) {
        for changeset in changesets_of(REBUILT).skip(replayed.passed) {
            let this = reference(changeset);
            match standing.became(&this.stream_id, this.changeset_id, this.checkpoint) {
                Became::Passed => {}
                Became::Parked if self.has(Mutation::ParkedReplayed) => {}
                Became::Parked | Became::Ahead => break,
            }
            replayed.passed += 1;
            if !standing.state.leaves_out(at(changeset)) || self.has(Mutation::SkippedReplayed) {
                replayed.made.push(changeset);
            }
        }
    }

    /// Begins the transaction: reads where the read model is, and replays the rest.
    pub(super) fn begin_to_replace(&self, state: &mut State) -> Option<()> {
        let Rebuild::Replayed(replayed) = state.rebuild.clone() else { return None };
        let seen = state.seen();
        if state.is_being_rebuilt() || !self.goes_on(&replayed, &seen.standing()) {
            return None;
        }
        let replayed = match self.has(Mutation::RestNotReplayed) {
            true => replayed,
            false => self.run_to(replayed, seen.clone()),
        };
        state.rebuild = Rebuild::Replaces { replayed, seen: Box::new(seen) };
        Some(())
    }

    /// Commits it, if the read model is still there. All that was read is of one position then.
    pub(super) fn replace(&self, state: &mut State) -> Option<()> {
        let Rebuild::Replaces { replayed, seen } = state.rebuild.clone() else { return None };
        state.rebuild = Rebuild::Nothing;
        let becomes = |row: &ProjectionState| match self.has(Mutation::EpochKept) {
            true => row.clone(),
            false => row.moved(|_| {}),
        };
        let standing = seen.standing();
        let mut rows = vec![(Place::Whole, seen.whole.0.clone())];
        let of_partition = standing.partition_of(&rebuilt());
        if let Some(row) = of_partition.filter(|_| !self.has(Mutation::PartitionNotFenced)) {
            let Partition { index, count } = Partition::of(&rebuilt(), seen.partitions.len() as u32);
            rows.push((Place::Partition { index, count }, row.state.clone()));
        }
        let is_there = |(place, row): &(Place, ProjectionState)| {
            state.rows.at(*place).is_some_and(|stored| stored.0.position == row.position)
        };
        if !rows.iter().all(is_there) && !self.has(Mutation::ReplacedWithoutFence) {
            return Some(());
        }
        let is_changed = state.made[REBUILT] != replayed.made;
        for (place, row) in rows.into_iter().filter(|_| is_changed) {
            let to = becomes(&row);
            state.rows.replace(place, &row, to);
        }
        state.has_mended |= state.is_damaged && replayed.passed > 1;
        state.made[REBUILT] = replayed.made;
        state.is_damaged = false;
        Some(())
    }
}

fn rebuilt() -> StreamId {
    STREAMS[REBUILT].parse().unwrap()
}

/// The changeset of the stream that comes after so many.
fn next_of(passed: usize) -> ChangesetId {
    ChangesetId::new(passed as u64 + 1)
}
