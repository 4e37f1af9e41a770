//! A projection's step: its fence, its lease, its partitions, and what operators do to it.
//!
//! **What is modelled.** A log with a few changesets of two streams. Two workers, each of which has read the row of the
//! projection or of a partition at some time, and goes on with it whenever it likes: that is a worker that is slow, frozen,
//! or has lost its lease without knowing it. Leases change hands at any time. Operators pause, resume, skip, rebuild (also
//! as another version, with more workers, with or without what was skipped), and deal the streams out anew. What an
//! operator skips was decided on a row that may have moved since. A changeset may fail, which pauses.
//!
//! **What is the product's own**: where a row may be moved to ([`ProjectionState::may_be_moved_by`]) and how it moves, to
//! whom it belongs, [`transition`], how streams are dealt out and joined ([`ProjectionState::dealt_out`], `joined`,
//! `partition`), and which streams a partition has ([`Partition::owns`](crate::partition::Partition::owns)).
//!
//! **What is left out.** Parked streams, rebuilds by segments, the fingerprint. A worker takes all that a transaction does
//! at once, since the databases make it one. The clock that gives a new partition's row its epoch never gives the same one
//! twice.
//!
//! **What is promised.**
//! - The rows have each changeset before the position once, and none after it, whatever partition it is in. What an
//!   operator skipped is left out, and nothing else is.
//! - Each stream is applied in its order, by one version.
//! - Only who has the lease writes, and nobody between an operator's pause and the next resume, skip or rebuild.
//! - Partitions stop at the barrier.
//! - A rebuild ends where it was to end.

use ees_store::{ChangesetId, Checkpoint, StreamId, Timestamp};
use ees_test_models::checker::{holds, is_found, size};
use stateright::{Model, Property};

use super::leased::{Leased, LeasedRows};
use super::log_id;
use super::place::Place;
use super::row::{Asked, Row, pause};
use crate::partition::Split;
use crate::projection_state::{ChangesetRef, ProjectionState, Skipped};
use crate::worker::operations::transition::{Transition, transition};
use crate::worker::partitions::DealtOut;

/// The streams of the log. Of two partitions, the first has `a` and the second has `b`; of three, the second and the
/// third.
const LOG: [&str; 4] = ["a", "b", "a", "b"];
const BATCH_MAX: u64 = 2;

const ONCE: &str = "what is passed is applied once, but for what was skipped";
const IN_ORDER: &str = "each stream is applied in its order, by one version";
const BY_THE_OWNER: &str = "only who has the lease writes";
const NOT_PAUSED: &str = "nobody writes while an operator has paused it";
const AT_THE_BARRIER: &str = "no partition passes the barrier";
const SKIPS_KNOWN: &str = "what was skipped is known to a rebuild";
const ENDS: &str = "no rebuild goes on where it was to end";
const ALL_DEALT_OUT: &str = "there is a row for each partition";

/// A fault that a program could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// The row is replaced whatever it is by now.
    FenceLeftOut,
    /// The fence compares the position and not the epoch.
    FenceWithoutEpoch,
    /// A lease is taken over without a new epoch.
    LeaseWithoutEpoch,
    /// The rows are written in one transaction, the position in the next one.
    PositionInAnotherTransaction,
    /// An operator pauses without a new epoch.
    PauseWithoutEpoch,
    /// A pause does not reach the partitions.
    PartitionsNotPaused,
    /// The worker of the whole goes on beside the partitions.
    WholeBesidePartitions,
    /// A worker takes the row of the same number in another split for its own.
    AnotherSplitsPartition,
    /// A partition applies the streams of others, too.
    StreamsOfOthers,
    /// The barrier is where the last partition is.
    BarrierAtTheLast,
    /// Partitions do not look at the barrier.
    BarrierIgnored,
    /// The partitions do not notice that they have a barrier.
    DealtOutWithoutEpoch,
    /// The partitions are joined when the first of them is at the barrier.
    JoinedByTheFirst,
    /// What was skipped in a partition is forgotten when they are joined.
    SkipsForgotten,
    /// An operator skips what comes next, whatever that is by now.
    SkipWithoutPosition,
    /// A rebuild keeps the rows.
    RowsNotWiped,
    /// New partitions have the epoch of the old ones.
    EpochUsedAgain,
    /// A rebuild whose last changeset is skipped waits for another one.
    SkipEndsNoRebuild,
}

impl Mistake {
    /// Each mistake, the property that fails, and a size at which it does: takeovers, operations,
    /// the largest number of partitions.
    const ALL: [(Self, &str, (u8, u8, u32)); 18] = [
        (Self::FenceLeftOut, ONCE, (1, 0, 1)),
        (Self::FenceWithoutEpoch, BY_THE_OWNER, (1, 0, 1)),
        (Self::LeaseWithoutEpoch, BY_THE_OWNER, (1, 0, 1)),
        (Self::PositionInAnotherTransaction, ONCE, (0, 0, 1)),
        (Self::PauseWithoutEpoch, NOT_PAUSED, (0, 1, 1)),
        (Self::PartitionsNotPaused, NOT_PAUSED, (0, 2, 2)),
        (Self::WholeBesidePartitions, ONCE, (0, 1, 2)),
        (Self::AnotherSplitsPartition, ONCE, (0, 2, 3)),
        (Self::StreamsOfOthers, ONCE, (0, 1, 2)),
        (Self::BarrierAtTheLast, AT_THE_BARRIER, (0, 2, 2)),
        (Self::BarrierIgnored, AT_THE_BARRIER, (0, 2, 2)),
        (Self::DealtOutWithoutEpoch, AT_THE_BARRIER, (0, 2, 2)),
        (Self::JoinedByTheFirst, ONCE, (0, 2, 2)),
        (Self::SkipsForgotten, SKIPS_KNOWN, (0, 2, 1)),
        (Self::SkipWithoutPosition, ONCE, (0, 1, 1)),
        (Self::RowsNotWiped, ONCE, (0, 1, 1)),
        (Self::EpochUsedAgain, ONCE, (0, 2, 3)),
        (Self::SkipEndsNoRebuild, ENDS, (0, 2, 1)),
    ];
}

/// The sizes of the model.
#[derive(Clone, Debug)]
struct Projection {
    changesets: u64,
    /// How often a lease is taken over from a worker.
    takeovers: u8,
    /// How often an operator acts.
    operations: u8,
    /// The numbers of partitions that an operator wants.
    counts: Vec<u32>,
    mistake: Option<Mistake>,
}

/// What a worker goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Work {
    Nothing,
    /// The row as it has read or written it.
    Has {
        place: Place,
        row: Row,
    },
    /// By mistake: it has applied changesets up to this one, and moves the position next.
    Applied {
        place: Place,
        row: Row,
        to: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    rows: LeasedRows,
    workers: [Work; 2],
    asked: Option<Asked>,
    /// The rows of the read model: which changesets were applied, and by which version.
    applied: Vec<(u64, u32)>,
    /// What operators skipped.
    skipped: u8,
    /// The next epoch that was never used.
    epoch: u64,
    takeovers: u8,
    operations: u8,
    /// Whether an operator has paused it.
    is_paused: bool,
    was_joined: bool,
    wrote_without_lease: bool,
    wrote_while_paused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    TakeLease {
        worker: usize,
        place: Place,
    },
    Read {
        worker: usize,
        place: Place,
    },
    Step {
        worker: usize,
        changesets: u64,
    },
    /// Only by mistake.
    MovePosition(usize),
    /// A changeset fails for the last time, which pauses.
    Fail(usize),
    Die(usize),
    Join,
    /// The rebuild for which the streams were dealt out has ended.
    SettleDown,
    Pause,
    Resume,
    DecideToSkip(Place),
    Skip,
    Rebuild {
        keeps_skips: bool,
        workers: Option<u32>,
    },
    DealOut(u32),
}

fn stream(changeset: u64) -> StreamId {
    LOG[changeset as usize].parse().unwrap()
}

fn reference_to(changeset: u64) -> ChangesetRef {
    ChangesetRef {
        checkpoint: Checkpoint::new(changeset),
        stream_id: stream(changeset),
        changeset_id: ChangesetId::new(changeset),
        timestamp: Timestamp::from_micros(0),
    }
}

fn is_own(place: Place, changeset: u64) -> bool {
    place.owns(&stream(changeset))
}

fn leaves_out(row: &Row, changeset: u64) -> bool {
    let ChangesetRef { checkpoint, timestamp, .. } = reference_to(changeset);
    row.0.skips.contains(&Skipped { checkpoint, timestamp })
}

impl State {
    /// All rows, also that of the whole beside partitions.
    fn all_places(&self) -> Vec<Place> {
        std::iter::once(Place::Whole).chain(Place::of_partitions(self.rows.partitions.len())).collect()
    }

    fn is_at_the_end(&self, changesets: u64) -> bool {
        self.rows.positions().iter().all(|(_, row)| row.next() == changesets)
    }
}

impl Projection {
    fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// Replaces the rows of the partitions by those that the row of the whole asks for.
    fn create_partitions(&self, state: &mut State) {
        state.rows.partitions.clear();
        let Some(split) = state.rows.whole.row.0.split else { return };
        let epoch = if self.has(Mistake::EpochUsedAgain) { 100 } else { state.epoch };
        // Those of the one before never come so far.
        state.epoch += 100;
        for number in 0..split.count {
            let row = state.rows.whole.row.0.partition(split, number, epoch);
            state.rows.partitions.push(Leased::free(row));
        }
    }

    /// One transaction: fence, rows, position.
    fn step(&self, state: &mut State, number: usize, changesets: u64) {
        let Work::Has { place, row } = state.workers[number].clone() else { return };
        let end = row.0.split.and_then(|split| split.barrier).filter(|_| !self.has(Mistake::BarrierIgnored));
        let end = end.map_or(self.changesets, Checkpoint::get);
        let to = (row.next() + changesets).min(end);
        let worker = place.partition();
        let is_allowed = row.0.may_be_moved_by(worker, Checkpoint::new(to))
            || (self.has(Mistake::WholeBesidePartitions) && place == Place::Whole)
            || self.has(Mistake::BarrierIgnored);
        let Some(stored) = state.rows.at(place).filter(|_| is_allowed) else {
            state.workers[number] = Work::Nothing;
            return;
        };
        let (is_paused, owner, found) = (state.is_paused, stored.owner, stored.row.0.position);
        let is_unmoved = match self.mistake {
            Some(Mistake::FenceLeftOut) => true,
            Some(Mistake::FenceWithoutEpoch) => found.next == row.0.position.next,
            _ => found == row.0.position,
        };
        if !is_unmoved {
            state.workers[number] = Work::Nothing;
            return;
        }
        for changeset in row.next()..to {
            let is_own = is_own(place, changeset) || self.has(Mistake::StreamsOfOthers);
            if is_own && !leaves_out(&row, changeset) {
                state.applied.push((changeset, row.0.version));
            }
        }
        state.wrote_without_lease |= owner != Some(number);
        state.wrote_while_paused |= is_paused;
        if self.has(Mistake::PositionInAnotherTransaction) {
            state.workers[number] = Work::Applied { place, row, to };
            return;
        }
        self.move_position(state, number, place, &row, to);
    }

    fn move_position(&self, state: &mut State, number: usize, place: Place, row: &Row, to: u64) {
        let moved = Row(row.0.advanced(Checkpoint::new(to), log_id(), None));
        if let Some(stored) = state.rows.at_mut(place) {
            stored.row = moved.clone();
        }
        state.workers[number] = Work::Has { place, row: moved };
    }

    fn read(&self, state: &mut State, number: usize, place: Place) {
        let Some(stored) = state.rows.at(place) else { return };
        let is_of_it =
            stored.row.0.is_of_the_split_of(place.partition()) || self.has(Mistake::AnotherSplitsPartition);
        if stored.owner == Some(number) && is_of_it {
            state.workers[number] = Work::Has { place, row: stored.row.clone() };
        }
    }

    fn pause_all(&self, state: &mut State, action: &Transition) {
        state.is_paused = matches!(action, Transition::Pause(_));
        let change = |row: &mut Row| {
            let epoch = row.0.position.epoch;
            *row = Row(transition(&row.0, action).unwrap());
            if self.has(Mistake::PauseWithoutEpoch) {
                row.0.position.epoch = epoch;
            }
        };
        change(&mut state.rows.whole.row);
        if !self.has(Mistake::PartitionsNotPaused) {
            for stored in &mut state.rows.partitions {
                change(&mut stored.row);
            }
        }
    }

    fn skip(&self, state: &mut State) {
        let Some(asked) = state.asked.take() else { return };
        let Some(stored) = state.rows.at_mut(asked.place) else { return };
        let found = &stored.row.0;
        // As every operator's change: the position may have moved, the rest of the row has not.
        if found.position.epoch != asked.epoch || found.version != asked.version {
            return;
        }
        let from = if self.has(Mistake::SkipWithoutPosition) {
            found.position.next
        } else {
            Checkpoint::new(asked.from)
        };
        let skip = Transition::SkipNext { from, changeset: reference_to(asked.changeset) };
        let Ok(mut moved) = transition(found, &skip) else { return };
        if self.has(Mistake::SkipEndsNoRebuild) {
            moved.rebuild_until = found.rebuild_until;
        }
        stored.row = Row(moved);
        state.skipped |= 1 << asked.changeset;
        // Who skips what comes next wants it to go on.
        state.is_paused = false;
    }

    fn rebuild(&self, state: &mut State, keeps_skips: bool, workers: Option<u32>) {
        let known = state.rows.with_skips();
        let rebuild = Transition::Rebuild {
            version: known.version + 1,
            until: Checkpoint::new(self.changesets),
            keeps_skips,
            by_segments: false,
            workers,
            fingerprint: None,
        };
        state.rows.whole.row = Row(transition(&known, &rebuild).unwrap());
        state.is_paused = false;
        if !self.has(Mistake::RowsNotWiped) {
            state.applied.clear();
        }
        if !keeps_skips {
            state.skipped = 0;
        }
        self.create_partitions(state);
    }

    fn deal_out(&self, state: &mut State, count: u32, audited: bool) {
        let rows = state.rows.of_partitions();
        match state.rows.whole.row.0.dealt_out(&rows.iter().collect::<Vec<_>>(), count, audited) {
            DealtOut::AtOnce(whole) => {
                state.rows.whole.row = Row(whole);
                self.create_partitions(state);
            }
            DealtOut::AtBarrier(whole, moved) => {
                state.rows.whole.row = Row(whole);
                let last = rows.iter().map(|row| row.position.next).min();
                for (stored, mut moved) in state.rows.partitions.iter_mut().zip(moved) {
                    if self.has(Mistake::DealtOutWithoutEpoch) {
                        moved.position.epoch -= 1;
                    }
                    if let Some(split) = &mut moved.split
                        && self.has(Mistake::BarrierAtTheLast)
                    {
                        split.barrier = last;
                    }
                    stored.row = Row(moved);
                }
                if let Some(split) = &mut state.rows.whole.row.0.split
                    && self.has(Mistake::BarrierAtTheLast)
                {
                    split.barrier = last;
                }
            }
        }
    }

    fn joined(&self, state: &State) -> Option<ProjectionState> {
        let by_the_first = self.has(Mistake::JoinedByTheFirst);
        let mut joined =
            if by_the_first { state.rows.joined_by_the_first()? } else { state.rows.joined()? };
        if self.has(Mistake::SkipsForgotten) {
            joined.skips.clone_from(&state.rows.whole.row.0.skips);
        }
        Some(joined)
    }

    fn operations(&self, state: &State, actions: &mut Vec<Action>) {
        if state.asked.is_some() {
            actions.push(Action::Skip);
        }
        if state.operations == self.operations {
            return;
        }
        let is_paused = |(_, row): &(_, &Row)| row.0.pause.is_some();
        actions.push(if state.rows.positions().iter().any(is_paused) {
            Action::Resume
        } else {
            Action::Pause
        });
        if state.asked.is_none() {
            actions.extend(state.rows.places().into_iter().map(Action::DecideToSkip));
        }
        actions.push(Action::Rebuild { keeps_skips: true, workers: None });
        actions.push(Action::Rebuild { keeps_skips: false, workers: Some(2) });
        actions.extend(self.counts.iter().map(|count| Action::DealOut(*count)));
    }
}

impl Model for Projection {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            rows: LeasedRows::new(ProjectionState::new(1)),
            workers: [Work::Nothing, Work::Nothing],
            asked: None,
            applied: Vec::new(),
            skipped: 0,
            epoch: 100,
            takeovers: 0,
            operations: 0,
            is_paused: false,
            was_joined: false,
            wrote_without_lease: false,
            wrote_while_paused: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for worker in 0..state.workers.len() {
            for place in state.all_places() {
                let stored = state.rows.at(place).unwrap();
                let is_left = place == Place::Whole && state.rows.whole.row.0.split.is_some();
                if is_left && !self.has(Mistake::WholeBesidePartitions) {
                    continue;
                }
                match stored.owner {
                    Some(owner) if owner == worker => match place {
                        Place::Whole => actions.push(Action::Read { worker, place }),
                        Place::Partition { index, .. } => {
                            // It may work for an older split.
                            let places = [2, 3].map(|count| Place::Partition { index, count });
                            actions.extend(places.map(|place| Action::Read { worker, place }));
                        }
                    },
                    Some(_) if state.takeovers == self.takeovers => {}
                    _ => actions.push(Action::TakeLease { worker, place }),
                }
            }
            match &state.workers[worker] {
                Work::Nothing => {}
                Work::Has { row, .. } => {
                    let at_barrier = row.0.is_at_barrier() && !self.has(Mistake::BarrierIgnored);
                    if row.0.pause.is_none() && row.next() < self.changesets && !at_barrier {
                        let steps = 1..=BATCH_MAX.min(self.changesets - row.next());
                        actions.extend(steps.map(|changesets| Action::Step { worker, changesets }));
                        actions.push(Action::Fail(worker));
                    }
                }
                Work::Applied { .. } => {
                    actions.push(Action::MovePosition(worker));
                    actions.push(Action::Die(worker));
                }
            }
        }
        if self.joined(state).is_some() {
            actions.push(Action::Join);
        }
        if let Some(Split { next_count: Some(_), barrier: None, .. }) = state.rows.whole.row.0.split
            && state.rows.partitions.iter().all(|stored| stored.row.0.rebuild_until.is_none())
        {
            actions.push(Action::SettleDown);
        }
        self.operations(state, actions);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        let operations = state.operations + 1;
        match action {
            Action::TakeLease { worker, place } => {
                let without_epoch = self.has(Mistake::LeaseWithoutEpoch);
                let stored = state.rows.at_mut(place)?;
                let is_taken_over = stored.owner.replace(worker).is_some();
                if !without_epoch {
                    stored.row = Row(stored.row.0.moved(|_| {}));
                }
                state.takeovers += u8::from(is_taken_over);
            }
            Action::Read { worker, place } => self.read(&mut state, worker, place),
            Action::Step { worker, changesets } => self.step(&mut state, worker, changesets),
            Action::MovePosition(number) => {
                let Work::Applied { place, row, to } = state.workers[number].clone() else { return None };
                state.workers[number] = Work::Nothing;
                if state.rows.at(place).is_some_and(|stored| stored.row.0.position == row.0.position) {
                    self.move_position(&mut state, number, place, &row, to);
                }
            }
            Action::Fail(number) => {
                let Work::Has { place, row } = std::mem::replace(&mut state.workers[number], Work::Nothing)
                else {
                    return None;
                };
                let stored =
                    state.rows.at_mut(place).filter(|stored| stored.row.0.position == row.0.position);
                if let Some(stored) = stored {
                    stored.row = Row(row.0.moved(|row| row.pause = Some(pause())));
                }
            }
            Action::Die(worker) => state.workers[worker] = Work::Nothing,
            Action::Join => {
                state.rows.whole.row = Row(self.joined(&state)?);
                state.was_joined = true;
                self.create_partitions(&mut state);
            }
            Action::SettleDown => {
                let count = state.rows.whole.row.0.partitions();
                self.deal_out(&mut state, count, false);
            }
            Action::Pause => self.pause_all(&mut state, &Transition::Pause(pause())),
            Action::Resume => self.pause_all(&mut state, &Transition::Resume),
            Action::DecideToSkip(place) => {
                let row = &state.rows.at(place)?.row;
                let changeset = (row.next()..self.changesets).find(|changeset| is_own(place, *changeset))?;
                state.asked = Some(Asked {
                    place,
                    from: row.next(),
                    epoch: row.0.position.epoch,
                    version: row.0.version,
                    changeset,
                });
            }
            Action::Skip => self.skip(&mut state),
            Action::Rebuild { keeps_skips, workers } => self.rebuild(&mut state, keeps_skips, workers),
            Action::DealOut(count) => self.deal_out(&mut state, count, true),
        }
        if matches!(
            action,
            Action::Pause
                | Action::Resume
                | Action::DecideToSkip(_)
                | Action::Rebuild { .. }
                | Action::DealOut(_)
        ) {
            state.operations = operations;
        }
        Some(state).filter(|state| state != before)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ONCE, |model: &Self, state: &State| {
                state.rows.positions().into_iter().all(|(place, row)| {
                    (0..model.changesets).filter(|changeset| is_own(place, *changeset)).all(|changeset| {
                        let times = state.applied.iter().filter(|(applied, _)| *applied == changeset).count();
                        let is_wanted = changeset < row.next() && state.skipped & (1 << changeset) == 0;
                        times == usize::from(is_wanted)
                    })
                })
            }),
            Property::always(IN_ORDER, |_, state: &State| {
                let of = |name| {
                    state.applied.iter().filter(move |(changeset, _)| LOG[*changeset as usize] == name)
                };
                let is_sorted = |name| of(name).is_sorted_by_key(|(changeset, _)| *changeset);
                let version = state.rows.whole.row.0.version;
                is_sorted("a") && is_sorted("b") && state.applied.iter().all(|(_, by)| *by == version)
            }),
            Property::always(BY_THE_OWNER, |_, state: &State| !state.wrote_without_lease),
            Property::always(NOT_PAUSED, |_, state: &State| !state.wrote_while_paused),
            Property::always(AT_THE_BARRIER, |_, state: &State| {
                let barrier = state.rows.whole.row.0.split.and_then(|split| split.barrier);
                let barrier = barrier.map_or(u64::MAX, Checkpoint::get);
                state.rows.partitions.iter().all(|stored| stored.row.next() <= barrier)
            }),
            Property::always(SKIPS_KNOWN, |model: &Self, state: &State| {
                let known = Row(state.rows.with_skips());
                let is_skipped = |changeset: &u64| state.skipped & (1 << changeset) != 0;
                (0..model.changesets).filter(is_skipped).all(|changeset| leaves_out(&known, changeset))
            }),
            Property::always(ENDS, |_, state: &State| {
                let goes_on = |row: &Row| row.0.rebuild_until.is_none_or(|until| row.0.position.next < until);
                state.rows.positions().into_iter().all(|(_, row)| goes_on(row))
            }),
            Property::always(ALL_DEALT_OUT, |_, state: &State| {
                let count = state.rows.whole.row.0.split.map_or(0, |split| split.count);
                let is_of_it = |stored: &Leased| stored.row.0.split.is_some_and(|split| split.count == count);
                state.rows.partitions.len() == count as usize && state.rows.partitions.iter().all(is_of_it)
            }),
            Property::sometimes(
                "all is applied after the streams were dealt out anew",
                |model: &Self, state: &State| state.was_joined && state.is_at_the_end(model.changesets),
            ),
        ];
        if self.takeovers > 0 {
            let is_taken_over = |model: &Self, state: &State| {
                state.takeovers == model.takeovers && state.is_at_the_end(model.changesets)
            };
            properties.push(Property::sometimes("all is applied after a takeover", is_taken_over));
        }
        if self.operations > 1 {
            let by_partitions = |model: &Self, state: &State| {
                let has_skipped = state.skipped != 0 && !state.rows.partitions.is_empty();
                has_skipped && state.is_at_the_end(model.changesets)
            };
            let by_rebuild = |model: &Self, state: &State| {
                let has_rebuilt = state.skipped != 0 && state.rows.whole.row.0.version > 1;
                has_rebuilt && state.is_at_the_end(model.changesets)
            };
            properties.push(Property::sometimes("partitions leave out what is skipped", by_partitions));
            properties.push(Property::sometimes("a rebuild leaves out what was skipped", by_rebuild));
        }
        properties
    }
}

#[test]
fn each_changeset_is_applied_once_by_one_worker_or_another() {
    let sizes = size(
        vec![(2, 1, 1, vec![2]), (2, 0, 2, vec![2])],
        vec![(3, 1, 1, vec![2, 3]), (2, 0, 2, vec![2, 3]), (2, 1, 2, vec![2])],
    );
    for (changesets, takeovers, operations, counts) in sizes {
        holds(Projection { changesets, takeovers, operations, counts, mistake: None }, 30_000);
    }
}

#[test]
fn each_mistake_of_a_step_is_found() {
    for (mistake, property, (takeovers, operations, largest)) in Mistake::ALL {
        let counts = (2..=largest).collect();
        let model = Projection { changesets: 2, takeovers, operations, counts, mistake: Some(mistake) };
        is_found(model, property);
    }
}
