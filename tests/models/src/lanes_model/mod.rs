//! Indexers, cutters, resizes and readers of a log in lanes, in all orders in which their calls can interleave.
//!
//! Each action is one call to the table, or the death of a process between two of its calls. A process that acts late
//! acts on what it read early, so stale reads need no actions of their own.
//!
//! The changesets are committed from the start. That leaves nothing out: an indexer may take as long as it likes to
//! see one. The reader of the global order reads everything as early as it can, with each action. That leaves nothing
//! out either: if what it read never changes, a slower reader reads the same.

mod mistake;
mod properties;
mod state;

use stateright::{Model, Property};

pub use self::mistake::Mistake;
pub use self::properties::{
    CONTIGUOUS, ENDS, IMMUTABLE, LANES_IN_ORDER, RACES, REACHES_EVERYTHING, STREAMS_IN_ORDER,
};
pub use self::state::{Changeset, Key, State};
use self::state::{Cutter, Indexer};
use crate::lanes::{Counter, Cut, Cuts, Generation, Place, lane_of};

/// The sizes of a model.
#[derive(Clone, Debug)]
pub struct Lanes {
    /// How many changesets each stream has. A stream's number is its hash.
    pub streams: Vec<usize>,
    /// The number of lanes, and what it is changed to, one after the other.
    pub plan: Vec<usize>,
    /// How many indexers there are.
    pub indexers: usize,
    /// How many cutters there are.
    pub cutters: usize,
    /// Whether the index shows an entry later than the table has it.
    pub has_late_entries: bool,
    /// Whether there are readers by lane.
    pub has_readers_by_lane: bool,
    /// What is wrong on purpose.
    pub mistake: Option<Mistake>,
}

/// One call of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// An idle indexer sees a changeset without a place. It remembers this generation, which may be an old one.
    Index(Changeset, usize),
    /// The next call of an indexer: the lane's counter, and then the transaction, which moves the counter by
    /// compare-and-set and writes the place.
    IndexerGoesOn(usize),
    /// An indexer dies, and another one begins.
    IndexerDies(usize),
    /// An idle cutter reads the newest generation. It reads the last cut next, or the counters.
    Cut {
        /// Whether it reads the last cut before the counters.
        last_cut_first: bool,
    },
    /// The next call of a cutter: the last cut, one counter (which it closes if there is a resize), the new cut.
    CutterGoesOn(usize),
    /// A cutter dies, and another one begins.
    CutterDies(usize),
    /// An operator wishes for the next number of lanes.
    Resize,
    /// The index shows an entry.
    Show(Key),
    /// The reader of a lane of a generation applies one changeset.
    ReadLane(usize, usize),
}

impl Lanes {
    fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// How many changesets there are.
    fn total(&self) -> usize {
        self.streams.iter().sum()
    }

    /// The changesets that may get their place now.
    fn to_place(&self, state: &State) -> Vec<Changeset> {
        let per_stream = state.placed.iter().enumerate().flat_map(|(stream, placed)| {
            let all = if self.has(Mistake::PredecessorLeftOut) { placed.len() } else { 1 };
            placed
                .iter()
                .enumerate()
                .filter(|(_, is_placed)| !**is_placed)
                .take(all)
                .map(move |(number, _)| (stream, number))
        });
        per_stream.collect()
    }

    /// The counter of the changeset's lane. Who finds it closed begins anew.
    fn read_counter(&self, state: &mut State, indexer: usize, generation: usize, changeset: Changeset) {
        let hashed_with = if self.has(Mistake::StreamInTwoLanes) && changeset.1 > 0 {
            generation.saturating_sub(1)
        } else {
            generation
        };
        let lane = lane_of(changeset.0 as u64, state.counters[hashed_with].len());
        let counter = state.counters[generation].get(lane);
        let counter = counter.filter(|it| !it.is_closed || self.has(Mistake::PlacesInAClosedLane));
        state.indexers[indexer] = counter.map_or(Indexer::Idle, |counter| Indexer::Placing {
            generation,
            lane,
            length: counter.length,
            changeset,
        });
    }

    fn indexer_goes_on(&self, state: &mut State, at: usize) {
        match std::mem::replace(&mut state.indexers[at], Indexer::Idle) {
            Indexer::Idle => (),
            Indexer::Reading { generation, changeset } => self.read_counter(state, at, generation, changeset),
            Indexer::Placing { generation, lane, length, changeset } => {
                self.place(state, at, (generation, lane, length), changeset);
            }
            Indexer::Moved { key, changeset } => self.store(state, key, changeset),
        }
    }

    /// What the transaction requires and does: all of it or nothing.
    fn place(
        &self,
        state: &mut State,
        indexer: usize,
        (generation, lane, length): Key,
        changeset: Changeset,
    ) {
        let counter = &mut state.counters[generation][lane];
        let is_unmoved = counter.length == length || self.has(Mistake::CounterWithoutCompareAndSet);
        let is_open = !counter.is_closed || self.has(Mistake::PlacesInAClosedLane);
        let is_new = !state.placed[changeset.0][changeset.1] || self.has(Mistake::PlacedTwice);
        if !(is_unmoved && is_open && is_new) {
            return;
        }
        counter.length = length + 1;
        let key = self.key((generation, Place { lane, position: length }));
        if self.has(Mistake::CounterMovedFirst) {
            state.indexers[indexer] = Indexer::Moved { key, changeset };
        } else {
            self.store(state, key, changeset);
        }
    }

    fn store(&self, state: &mut State, key: Key, changeset: Changeset) {
        state.entries.insert(key, changeset);
        state.placed[changeset.0][changeset.1] = true;
        if self.has_late_entries {
            state.late.insert(key);
        }
    }

    fn cutter_goes_on(&self, state: &mut State, at: usize) {
        let Cutter::Reading { generation, next_lanes, last_cut_first, last, counters } =
            &mut state.cutters[at]
        else {
            return;
        };
        let lanes = state.generations[*generation].lanes;
        let reads_counters = counters.len() < lanes && (last.is_some() || !*last_cut_first);
        if reads_counters {
            let lane = counters.len();
            let counter = &mut state.counters[*generation][lane];
            // One call closes the counter and returns it.
            let stays_open = self.has(Mistake::ClosingCutDoesNotClose)
                || (self.has(Mistake::OneLaneStaysOpen) && lane > 0 && lane == lanes - 1);
            if next_lanes.is_some() && !stays_open {
                counter.is_closed = true;
            }
            // Who makes the mistake believes that it is closed.
            counters.push(Counter { is_closed: counter.is_closed || stays_open, ..*counter });
        } else if last.is_none() {
            *last = Some(state.cuts[*generation].values().next_back().cloned());
        } else {
            let (generation, next_lanes) = (*generation, *next_lanes);
            let (last, counters) = (last.take().flatten(), std::mem::take(counters));
            state.cutters[at] = Cutter::Idle;
            self.write_cut(state, generation, last.as_ref(), &counters, next_lanes);
        }
    }

    /// `attribute_not_exists` on the cut; with the closing cut, the item of the next generation in one transaction.
    fn write_cut(
        &self,
        state: &mut State,
        number: usize,
        last: Option<&Cut>,
        counters: &[Counter],
        next_lanes: Option<usize>,
    ) {
        let generation = state.generations[number];
        let Some(cut) = self.next_cut(generation, last, counters, next_lanes) else { return };
        if state.cuts[number].contains_key(&cut.base) && !self.has(Mistake::CutWithoutCompareAndSet) {
            return;
        }
        let next = generation.after(&cut);
        let next = next.filter(|_| !self.has(Mistake::GenerationAfterTheClosingCut));
        let base = cut.base;
        state.cuts[number].insert(base, cut);
        if let Some(mut next) = next.filter(|_| state.generations.len() == number + 1) {
            if self.has(Mistake::GenerationBeginsTooEarly) {
                next.base = base;
            }
            state.next_lanes = None;
            self.open(state, next.lanes);
            state.generations.push(next);
        }
    }

    fn next_cut(
        &self,
        generation: Generation,
        last: Option<&Cut>,
        counters: &[Counter],
        next_lanes: Option<usize>,
    ) -> Option<Cut> {
        let cut = generation.next_cut(last, counters, next_lanes);
        let is_closing = cut.as_ref().is_some_and(|cut| cut.next_lanes.is_some());
        let is_over = last.is_some_and(|last| last.next_lanes.is_some());
        let base = last.map_or(generation.base, |last| generation.end_of(last));
        let ends = counters.iter().map(|counter| counter.length).collect();
        if self.has(Mistake::CutTakesBack) && cut.is_some() && !is_closing {
            return Some(Cut { base, ends, next_lanes: None });
        }
        if self.has(Mistake::EmptyCut) && cut.is_none() && !is_over && generation.lanes > 1 {
            return Some(Cut { base, ends, next_lanes: None });
        }
        cut
    }

    /// The counters and cuts of a generation, unless they are there.
    fn open(&self, state: &mut State, lanes: usize) {
        if state.counters.len() == state.generations.len() {
            state.counters.push(vec![Counter::default(); lanes]);
        }
        state.cuts.push(Default::default());
        state.positions.push(vec![0; lanes]);
    }

    fn resize(&self, state: &mut State) {
        let next = self.plan[state.generations.len()];
        state.next_lanes = Some(next);
        if self.has(Mistake::NewLanesBeforeTheClosingCut) {
            state.counters.push(vec![Counter::default(); next]);
        }
    }

    /// The cuts that readers go by.
    fn cuts(&self, state: &State) -> Cuts {
        let mut cuts = Cuts::default();
        for (number, generation) in state.generations.iter().enumerate() {
            cuts.push(*generation, self.cuts_of(state, number, *generation));
        }
        cuts
    }

    fn cuts_of(&self, state: &State, number: usize, generation: Generation) -> Vec<Cut> {
        let mut cuts: Vec<_> = state.cuts[number].values().cloned().collect();
        let counters = &state.counters[number];
        if let ([counter], []) = (counters.as_slice(), cuts.as_slice()) {
            cuts.push(generation.uncut(*counter));
        } else if self.has(Mistake::ReadsBehindTheLastCut) {
            cuts.extend(generation.next_cut(cuts.last(), counters, None));
        }
        cuts
    }

    fn key(&self, (generation, place): (usize, Place)) -> Key {
        (if self.has(Mistake::PositionsReused) { 0 } else { generation }, place.lane, place.position)
    }

    /// The reader of the global order reads what there is to read.
    fn read_on(&self, state: &mut State) {
        let cuts = self.cuts(state);
        while let Some(place) = cuts.place(state.read.len() as u64) {
            let key = self.key(place);
            let is_late = state.late.contains(&key);
            match state.entries.get(&key) {
                Some(changeset) if !is_late => state.read.push(Some(*changeset)),
                Some(_) if self.has(Mistake::LateEntrySteppedOver) => state.read.push(None),
                _ => return,
            }
        }
    }

    /// The entry that the reader of a lane applies next, if there is one.
    fn next_of_lane(&self, state: &State, number: usize, lane: usize) -> Option<Changeset> {
        let is_read = |before: usize| {
            let cut = state.cuts[before].values().next_back().filter(|cut| cut.next_lanes.is_some());
            cut.is_some_and(|cut| cut.ends == state.positions[before])
        };
        // All before it, not the one before it: that may be empty.
        let waits_for = match self.mistake {
            Some(Mistake::ReaderByLaneDoesNotWait) => number..number,
            Some(Mistake::ReaderByLaneWaitsForOneGeneration) => number.saturating_sub(1)..number,
            _ => 0..number,
        };
        if !waits_for.into_iter().all(is_read) {
            return None;
        }
        let position = state.positions[number][lane];
        let cuts = self.cuts_of(state, number, state.generations[number]);
        let key = self.key((number, Place { lane, position }));
        let is_cut = cuts.last().is_some_and(|cut| position < cut.ends[lane]);
        state.entries.get(&key).filter(|_| is_cut && !state.late.contains(&key)).copied()
    }

    fn read_lane(&self, state: &mut State, number: usize, lane: usize) {
        if let Some((stream, changeset)) = self.next_of_lane(state, number, lane) {
            state.positions[number][lane] += 1;
            state.applied[stream] =
                state.applied[stream].filter(|applied| *applied == changeset).map(|it| it + 1);
        }
    }
}

impl Model for Lanes {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            generations: Vec::new(),
            next_lanes: None,
            counters: Vec::new(),
            cuts: Vec::new(),
            entries: Default::default(),
            late: Default::default(),
            placed: self.streams.iter().map(|changesets| vec![false; *changesets]).collect(),
            indexers: vec![Indexer::Idle; self.indexers],
            cutters: vec![Cutter::Idle; self.cutters],
            read: Vec::new(),
            positions: Vec::new(),
            applied: vec![Some(0); self.streams.len()],
        };
        self.open(&mut state, self.plan[0]);
        state.generations.push(Generation::first(self.plan[0]));
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.indexers.contains(&Indexer::Idle) {
            let generations = 0..state.counters.len();
            let to_place = self.to_place(state).into_iter();
            actions.extend(to_place.flat_map(|changeset| {
                generations.clone().map(move |generation| Action::Index(changeset, generation))
            }));
        }
        for (at, indexer) in state.indexers.iter().enumerate() {
            if *indexer != Indexer::Idle {
                actions.extend([Action::IndexerGoesOn(at), Action::IndexerDies(at)]);
            }
        }
        let is_cut = state.generations.last().is_some_and(|it| it.lanes > 1) || state.next_lanes.is_some();
        if is_cut && state.cutters.contains(&Cutter::Idle) {
            actions.extend([true, false].map(|last_cut_first| Action::Cut { last_cut_first }));
        }
        for (at, cutter) in state.cutters.iter().enumerate() {
            if *cutter != Cutter::Idle {
                actions.extend([Action::CutterGoesOn(at), Action::CutterDies(at)]);
            }
        }
        if state.next_lanes.is_none() && state.generations.len() < self.plan.len() {
            actions.push(Action::Resize);
        }
        actions.extend(state.late.iter().copied().map(Action::Show));
        if self.has_readers_by_lane {
            for (number, positions) in state.positions.iter().enumerate() {
                let ready =
                    (0..positions.len()).filter(|lane| self.next_of_lane(state, number, *lane).is_some());
                actions.extend(ready.map(|lane| Action::ReadLane(number, lane)));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Index(changeset, generation) => {
                let idle = state.indexers.iter_mut().find(|it| **it == Indexer::Idle)?;
                *idle = Indexer::Reading { generation, changeset };
            }
            Action::IndexerGoesOn(at) => self.indexer_goes_on(&mut state, at),
            Action::IndexerDies(at) => state.indexers[at] = Indexer::Idle,
            Action::Cut { last_cut_first } => {
                let idle = state.cutters.iter_mut().find(|it| **it == Cutter::Idle)?;
                *idle = Cutter::Reading {
                    generation: state.generations.len() - 1,
                    next_lanes: state.next_lanes,
                    last_cut_first,
                    last: None,
                    counters: Vec::new(),
                };
            }
            Action::CutterGoesOn(at) => self.cutter_goes_on(&mut state, at),
            Action::CutterDies(at) => state.cutters[at] = Cutter::Idle,
            Action::Resize => self.resize(&mut state),
            Action::Show(key) => {
                state.late.remove(&key);
            }
            Action::ReadLane(number, lane) => self.read_lane(&mut state, number, lane),
        }
        self.read_on(&mut state);
        state.indexers.sort_unstable();
        state.cutters.sort_unstable();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
