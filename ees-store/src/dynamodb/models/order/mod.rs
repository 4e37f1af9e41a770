//! The global order on DynamoDB: indexers that race, an index that is late, and who reads it.
//!
//! **What is modelled.** Writers store changesets. Indexers are called with changesets in any order, more than once,
//! and before they are stored, but not before what precedes them is: a writer knows that, before it writes. They look
//! at predecessors, at the counter, and send transactions. Between any two of their calls anybody else may do
//! anything, and an indexer may die. A transaction's conditions are judged at one moment; then its items are written
//! one after the other in any order, and a plain read sees what is written so far. Meanwhile other transactions and
//! reads in transactions are refused. An answer may be lost: the indexer sends the same again, and the first request
//! may still arrive later. The global index shows entries late and in any order, each partition as of a moment of its
//! own, and ends answers where it likes. A reader follows.
//!
//! **What is the product's own.** What is looked at before a batch, its order and length (`Known`, `arrange`,
//! `batch_length`), what a cancelled transaction means (`obstruction`), whether a place can be right (`wrong`),
//! where an entry is and where a reader looks for it (`place`), how answers come together (`order::assemble`), what
//! a reader takes (`Prefix`). The log begins just before the end of a stripe or a page, so that few changesets are in
//! several of them.
//!
//! **What is left out.** What is only a courtesy (who asks twice, hangs back, or has a turn): an indexer that has seen
//! the counter may write at once, look again, or read its batch again, whenever it likes. Where a sweep is, and what
//! it overlooks: it is one more call with what has no place. Several items that are read in one call are read at one
//! moment. Sizes of items, throttling, streams that are full, and places that somebody else wrote.
//!
//! **What is promised.** See the properties below. Progress is that from every state the end is reached when all go on
//! and one sweep follows: so nobody is ever in a state from which the rest does not recover.

mod changesets;
mod indexer;
mod mutation;
mod progress;
mod properties;
mod reader;
mod service;
mod state;
mod tests;

use stateright::{Model, Property};

use mutation::Mutation;
use state::{Doing, Happened, Number, Place, Reader, State, Transaction};

#[derive(Clone, Debug)]
struct Order {
    /// Changesets of each stream.
    streams: Vec<u64>,
    /// Where the log begins.
    begin: u64,
    indexers: usize,
    /// How many changesets an indexer is called with, at most.
    called_with: usize,
    batch_max: usize,
    /// Requests that nobody waits for any more, and may arrive, at most.
    late_requests: usize,
    indexers_die: bool,
    /// Whether indexers send again what was not answered, give up, and look again at what they know.
    indexers_doubt: bool,
    has_reader: bool,
    /// Whether it is checked that from every state the end is reached.
    has_progress: bool,
    mutation: Option<Mutation>,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Commit(usize),
    Call(usize, Vec<Number>),
    /// The indexer's next read is answered.
    Read(usize),
    LookAtCounter(usize),
    ReadBatchAgain(usize),
    /// The indexer's transaction arrives.
    Arrive(usize),
    /// The indexer hears nothing, and sends the same again.
    LoseAnswer(usize),
    GiveUp(usize),
    Die(usize),
    ArriveLate(usize),
    WriteCounter,
    /// One of the batch.
    Write(usize),
    Show(Number),
    BeginRead {
        to: Place,
        first_place_first: bool,
    },
    /// A partition answers, perhaps not to the end.
    Answer {
        range: usize,
        is_cut: bool,
    },
}

impl Order {
    pub(super) fn calls(&self) -> Vec<Vec<Number>> {
        let mut calls: Vec<Vec<Number>> = vec![Vec::new()];
        let mut from = 0;
        for _ in 0..self.called_with {
            let to = calls.len();
            for at in from..to {
                for number in
                    (0..self.total() as Number).filter(|it| !calls[at].contains(it)).collect::<Vec<_>>()
                {
                    calls.push([&calls[at][..], &[number]].concat());
                }
            }
            from = to;
        }
        calls.split_off(1)
    }
}

impl Model for Order {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let total = self.total() as usize;
        vec![State {
            stored: vec![0; self.streams.len()],
            places: vec![None; total],
            counter: 0,
            under_way: None,
            late_requests: Vec::new(),
            shown: vec![false; total],
            indexers: vec![self.new_indexer(); self.indexers],
            reader: Reader::default(),
            happened: Happened::Nothing,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (stream, length) in self.streams.iter().enumerate() {
            if state.stored[stream] < *length {
                actions.push(Action::Commit(stream));
            }
        }
        for (by, indexer) in state.indexers.iter().enumerate() {
            match indexer.doing {
                Doing::Nothing => {
                    let can_be_told = |number: &Number| {
                        let (stream, id) = self.of(*number);
                        id <= state.stored[stream] + 1 || self.has(Mutation::ToldBeforeThePredecessorIsStored)
                    };
                    let calls = self.calls().into_iter().filter(|numbers| numbers.iter().all(can_be_told));
                    actions.extend(calls.map(|numbers| Action::Call(by, numbers)));
                }
                Doing::Ready { .. } => {
                    actions.extend([Action::LookAtCounter(by), Action::Arrive(by)]);
                    if self.indexers_doubt {
                        let doubts = [Action::ReadBatchAgain(by), Action::LoseAnswer(by), Action::GiveUp(by)];
                        actions.extend(doubts);
                    }
                }
                Doing::Waiting { .. } if self.indexers_doubt => actions.push(Action::LoseAnswer(by)),
                Doing::Waiting { .. } => {}
                _ => actions.push(Action::Read(by)),
            }
            if self.indexers_die && *indexer != self.new_indexer() {
                actions.push(Action::Die(by));
            }
        }
        actions.extend((0..state.late_requests.len()).map(Action::ArriveLate));
        if let Some(Transaction { written, .. }) = &state.under_way {
            actions.push(Action::WriteCounter);
            actions.extend((0..written.len()).map(Action::Write));
        }
        if !self.has_reader {
            return;
        }
        let late = |number: &Number| {
            let at = usize::from(*number);
            state.places[at].is_some() && !state.shown[at]
        };
        actions.extend((0..self.total() as Number).filter(late).map(Action::Show));
        match &state.reader.reading {
            None => {
                let from = state.reader.next;
                for to in from + 1..=self.read_end(from, state.counter) {
                    for first_place_first in [false, true] {
                        actions.push(Action::BeginRead { to, first_place_first });
                    }
                }
            }
            Some(reading) => {
                for range in self.assembled(&state.reader, reading).err().unwrap_or_default() {
                    for is_cut in [false, true] {
                        actions.push(Action::Answer { range, is_cut });
                    }
                }
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.happened = Happened::Nothing;
        match action {
            Action::Commit(stream) => next.stored[stream] += 1,
            Action::Call(by, numbers) => self.call(&mut next, by, &numbers),
            Action::Read(by) => self.read(&mut next, by)?,
            Action::LookAtCounter(by) => self.look_at_counter(&mut next, by)?,
            Action::ReadBatchAgain(by) => {
                let request = self.request(&next.indexers[by])?;
                let Doing::Ready { waiting } = next.indexers[by].doing.clone() else { return None };
                next.indexers[by].doing = Doing::ReadingBatch { waiting, length: request.batch.len() };
            }
            Action::Arrive(by) => self.arrive(&mut next, by)?,
            Action::LoseAnswer(by) => self.lose_answer(&mut next, by)?,
            Action::GiveUp(by) => next.indexers[by].doing = Doing::Nothing,
            Action::Die(by) => self.die(&mut next, by),
            Action::ArriveLate(at) => self.arrive_late(&mut next, at),
            Action::WriteCounter => self.write_counter(&mut next)?,
            Action::Write(at) => self.write(&mut next, at)?,
            Action::Show(number) => next.shown[usize::from(number)] = true,
            Action::BeginRead { to, first_place_first } => self.begin_read(&mut next, to, first_place_first),
            Action::Answer { range, is_cut } => self.answer(&mut next, range, is_cut)?,
        }
        next.sort_indexers();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.all_properties()
    }
}
