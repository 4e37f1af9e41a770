//! What an indexer does between two calls.

use std::num::NonZeroUsize;

use super::state::{Doing, Happened, Indexer, Number, Of, Read, Request, State};
use super::{Mutation, Order};
use crate::dynamodb::attempt::{Obstruction, obstruction};
use crate::dynamodb::known::Known;
use crate::dynamodb::misplaced::wrong;
use crate::dynamodb::place::Placing;
use crate::dynamodb::plan::{arrange, batch_length};

impl Order {
    pub(super) fn arranged(&self, numbers: &[Number]) -> Vec<Number> {
        if self.has(Mutation::BatchIsNotArranged) {
            return numbers.to_vec();
        }
        self.numbers(&arrange(self.candidates(numbers)))
    }

    pub(super) fn known(&self, indexer: &Indexer) -> Known {
        let mut known = Known::new(NonZeroUsize::new(self.streams.len()).unwrap());
        for (stream, id) in indexer.known.iter().enumerate().filter(|(_, id)| **id > 0) {
            known.remember(&Self::stream_id(stream), (*id).into());
        }
        known
    }

    pub(super) fn remember(&self, indexer: &mut Indexer, number: Number) {
        let (stream, id) = self.of(number);
        indexer.known[stream] = indexer.known[stream].max(id);
    }

    /// As `Worker::index` begins.
    pub(super) fn call(&self, state: &mut State, by: usize, numbers: &[Number]) {
        let mut waiting = self.candidates(&self.arranged(numbers));
        self.known(&state.indexers[by]).leave_out(&mut waiting);
        let waiting = self.numbers(&waiting);
        self.round(state, by, waiting);
    }

    /// As each round of its loop begins.
    pub(super) fn round(&self, state: &mut State, by: usize, waiting: Vec<Number>) {
        let indexer = &mut state.indexers[by];
        if waiting.is_empty() {
            indexer.doing = Doing::Nothing;
            return;
        }
        let batch = self.candidates(&waiting);
        let length = batch_length(&batch, self.batch_max);
        let asked = self.known(indexer).unknown_before(&batch[..length]);
        let asked: Vec<_> = asked.iter().map(|(stream, id)| self.number_of(stream, *id)).collect();
        indexer.doing = if asked.is_empty() || self.has(Mutation::PredecessorsAreNotLookedFor) {
            Doing::Ready { waiting }
        } else {
            Doing::ReadingBefore { waiting, asked }
        };
    }

    /// Goes through what was read, up to a place that the counter does not explain that was last seen.
    pub(super) fn judge(
        &self,
        state: &mut State,
        by: usize,
        waiting: Vec<Number>,
        mut of: Of,
        mut reads: Vec<Read>,
        mut found: Vec<Number>,
    ) {
        let indexer = &mut state.indexers[by];
        loop {
            let Some((number, place)) = reads.first().copied() else {
                match of {
                    Of::Stream { later } => {
                        (of, reads) = (Of::Predecessors, later);
                        continue;
                    }
                    Of::Predecessors if found.is_empty() => indexer.doing = Doing::Ready { waiting },
                    Of::Predecessors => {
                        state.happened = Happened::LeftBehind;
                        let waiting: Vec<_> = found.into_iter().chain(waiting).collect();
                        let waiting = self.arranged(&waiting);
                        self.round(state, by, waiting);
                    }
                    // What was not read does not exist.
                    Of::Batch { length } => {
                        let waiting = found.into_iter().chain(waiting[length..].iter().copied()).collect();
                        self.round(state, by, waiting);
                    }
                }
                return;
            };
            if let Some(place) = place {
                let placing = Placing::At(self.checkpoint(place));
                let known = indexer.counter.map(|counter| self.counter(counter));
                if known.is_none_or(|counter| wrong(placing, counter).is_some()) {
                    indexer.doing = Doing::Judging { waiting, of, reads, found, is_settled: false };
                    return;
                }
                self.remember(indexer, number);
                match of {
                    Of::Stream { later } => (of, reads) = (Of::Predecessors, later),
                    Of::Predecessors | Of::Batch { .. } => _ = reads.remove(0),
                }
                continue;
            }
            reads.remove(0);
            match of {
                Of::Predecessors => {
                    indexer.doing = Doing::ReadingStream { waiting, found, from: number, later: reads };
                    return;
                }
                Of::Stream { .. } | Of::Batch { .. } => found.push(number),
            }
        }
    }

    /// Its read is answered, with what the table has at this moment.
    pub(super) fn read(&self, state: &mut State, by: usize) -> Option<()> {
        let read = |state: &State, numbers: &mut dyn Iterator<Item = Number>| -> Vec<Read> {
            let stored = numbers.filter(|number| self.is_stored(state, *number));
            stored.map(|number| (number, state.places[usize::from(number)])).collect()
        };
        match state.indexers[by].doing.clone() {
            Doing::ReadingBefore { waiting, asked } => {
                let reads = read(state, &mut asked.into_iter());
                self.judge(state, by, waiting, Of::Predecessors, reads, Vec::new());
            }
            Doing::ReadingStream { waiting, found, from, later } => {
                let (stream, last) = self.of(from);
                let reads = read(state, &mut (1..=last).rev().map(|id| self.number(stream, id)));
                self.judge(state, by, waiting, Of::Stream { later }, reads, found);
            }
            Doing::ReadingBatch { waiting, length } => {
                let reads = read(state, &mut waiting[..length].iter().copied());
                self.judge(state, by, waiting, Of::Batch { length }, reads, Vec::new());
            }
            Doing::Judging { waiting, of, reads, found, is_settled: false } => {
                state.indexers[by].counter = Some(state.counter);
                let place = self.checkpoint(reads[0].1?);
                if wrong(Placing::At(place), self.counter(state.counter)).is_none() {
                    self.judge(state, by, waiting, of, reads, found);
                } else if self.has(Mutation::PlainReadDecidesWhatIsWrong) {
                    state.indexers[by].has_set_aside = true;
                    state.indexers[by].doing = Doing::Nothing;
                } else {
                    state.indexers[by].doing = Doing::Judging { waiting, of, reads, found, is_settled: true };
                }
            }
            Doing::Judging { waiting, of, mut reads, found, is_settled: true } => {
                // A read in a transaction is refused while one is under way.
                if state.under_way.is_some() {
                    return None;
                }
                state.indexers[by].counter = Some(state.counter);
                let number = reads[0].0;
                let place = state.places[usize::from(number)];
                let placing = place.map_or(Placing::Missing, |place| Placing::At(self.checkpoint(place)));
                if wrong(placing, self.counter(state.counter)).is_some() {
                    state.indexers[by].has_set_aside = true;
                    state.indexers[by].doing = Doing::Nothing;
                } else {
                    // What was read with a place counts as it was read.
                    reads[0].1 = place;
                    self.judge(state, by, waiting, of, reads, found);
                }
            }
            Doing::CounterMoved { waiting, length, counter } => {
                for (place, number) in (counter..).zip(&waiting[..length]) {
                    let known = &mut state.places[usize::from(*number)];
                    *known = known.or(Some(place));
                    self.remember(&mut state.indexers[by], *number);
                }
                self.round(state, by, waiting[length..].to_vec());
            }
            Doing::Nothing | Doing::Ready { .. } | Doing::Waiting { .. } => return None,
        }
        Some(())
    }

    /// It asks where the counter is, which is refused while somebody is about to move it.
    pub(super) fn look_at_counter(&self, state: &mut State, by: usize) -> Option<()> {
        let Doing::Ready { .. } = state.indexers[by].doing else { return None };
        if state.under_way.is_some() {
            return None;
        }
        state.indexers[by].counter = Some(state.counter);
        Some(())
    }

    pub(super) fn request(&self, indexer: &Indexer) -> Option<Request> {
        let Doing::Ready { waiting } = &indexer.doing else { return None };
        let length = batch_length(&self.candidates(waiting), self.batch_max);
        Some(Request { counter: indexer.counter?, batch: waiting[..length].to_vec() })
    }

    /// Its transaction arrives, and is carried out or cancelled.
    pub(super) fn arrive(&self, state: &mut State, by: usize) -> Option<()> {
        let request = self.request(&state.indexers[by])?;
        let Doing::Ready { waiting } = state.indexers[by].doing.clone() else { return None };
        let length = request.batch.len();
        if self.has(Mutation::CounterIsMovedFirst) {
            if state.counter == request.counter {
                state.counter = self.end_of(&request);
                state.indexers[by].counter = Some(state.counter);
                state.indexers[by].doing = Doing::CounterMoved { waiting, length, counter: request.counter };
            } else {
                state.indexers[by].counter = None;
            }
            return Some(());
        }
        let Some(reasons) = self.judge_conditions(state, &request) else {
            self.begin(state, request, Some(by));
            state.indexers[by].doing = Doing::Waiting { waiting, length };
            return Some(());
        };
        if self.has(Mutation::RefusalIsTakenForPlaced) {
            for number in &request.batch {
                self.remember(&mut state.indexers[by], *number);
            }
            self.round(state, by, waiting[length..].to_vec());
            return Some(());
        }
        match obstruction(&reasons)? {
            Obstruction::Known => {
                state.happened = Happened::OwnPlaces;
                state.indexers[by].doing = Doing::ReadingBatch { waiting, length };
            }
            Obstruction::Met { .. } => {
                state.happened = Happened::Collision;
                if !self.has(Mutation::CounterIsKeptAfterALoss) {
                    state.indexers[by].counter = None;
                }
                self.round(state, by, waiting);
            }
        }
        Some(())
    }

    /// The same request goes out again; the first one may still arrive.
    pub(super) fn lose_answer(&self, state: &mut State, by: usize) -> Option<()> {
        match state.indexers[by].doing.clone() {
            Doing::Ready { waiting } => {
                let request = self.request(&state.indexers[by])?;
                let length = request.batch.len();
                self.leave_late(state, request)?;
                self.after_lost_answer(state, by, waiting, length);
            }
            Doing::Waiting { waiting, length } => {
                state.under_way.as_mut()?.by = None;
                self.after_lost_answer(state, by, waiting, length);
            }
            _ => return None,
        }
        Some(())
    }

    pub(super) fn after_lost_answer(
        &self,
        state: &mut State,
        by: usize,
        waiting: Vec<Number>,
        length: usize,
    ) {
        if self.has(Mutation::LostAnswerIsTakenForSuccess) {
            for number in &waiting[..length] {
                self.remember(&mut state.indexers[by], *number);
            }
            self.round(state, by, waiting[length..].to_vec());
        } else {
            state.indexers[by].doing = Doing::Ready { waiting };
        }
    }

    pub(super) fn die(&self, state: &mut State, by: usize) {
        if let Some(request) = self.request(&state.indexers[by]) {
            let _ = self.leave_late(state, request);
        }
        if let Some(transaction) = &mut state.under_way
            && transaction.by == Some(by)
        {
            transaction.by = None;
        }
        state.indexers[by] = self.new_indexer();
    }

    pub(super) fn new_indexer(&self) -> Indexer {
        let known = vec![0; self.streams.len()];
        Indexer { counter: None, known, has_set_aside: false, doing: Doing::Nothing }
    }
}
