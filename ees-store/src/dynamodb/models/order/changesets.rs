//! Streams, changesets and places, as small numbers and as the product has them.

use super::state::{Number, Place, Request, State, Transaction};
use super::{Mutation, Order};
use crate::dynamodb::counter::Counter;
use crate::dynamodb::plan::Candidate;
use crate::dynamodb::table_format::TableFormat;
use crate::{ChangesetId, Checkpoint, StreamId};

pub(super) const FORMAT: TableFormat = TableFormat::V3;

impl Order {
    pub(super) fn total(&self) -> u64 {
        self.streams.iter().sum()
    }

    pub(super) fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    pub(super) fn stream_id(stream: usize) -> StreamId {
        StreamId::stored(["a", "b", "c", "d"][stream])
    }

    pub(super) fn number(&self, stream: usize, id: u64) -> Number {
        let before: u64 = self.streams[..stream].iter().sum();
        (before + id - 1) as Number
    }

    /// Its stream, and its number there.
    pub(super) fn of(&self, number: Number) -> (usize, u64) {
        let mut left = u64::from(number);
        for (stream, length) in self.streams.iter().enumerate() {
            if left < *length {
                return (stream, left + 1);
            }
            left -= length;
        }
        unreachable!()
    }

    pub(super) fn number_of(&self, stream: &StreamId, id: ChangesetId) -> Number {
        let stream = (0..self.streams.len()).find(|at| Self::stream_id(*at) == *stream);
        self.number(stream.unwrap(), id.get())
    }

    pub(super) fn candidates(&self, numbers: &[Number]) -> Vec<Candidate> {
        let candidate = |number: &Number| {
            let (stream, id) = self.of(*number);
            Candidate { stream_id: Self::stream_id(stream), changeset_id: id.into(), size_bytes: 1 }
        };
        numbers.iter().map(candidate).collect()
    }

    pub(super) fn numbers(&self, candidates: &[Candidate]) -> Vec<Number> {
        candidates.iter().map(|it| self.number_of(&it.stream_id, it.changeset_id)).collect()
    }

    pub(super) fn checkpoint(&self, place: Place) -> Checkpoint {
        Checkpoint::new(self.begin + u64::from(place))
    }

    pub(super) fn counter(&self, next: Place) -> Counter {
        Counter::start(FORMAT).at(self.checkpoint(next))
    }

    pub(super) fn place_after(&self, counter: Counter) -> Place {
        (counter.next().get() - self.begin) as Place
    }

    pub(super) fn is_stored(&self, state: &State, number: Number) -> bool {
        let (stream, id) = self.of(number);
        id <= state.stored[stream]
    }

    /// As it will be when what is under way is written.
    pub(super) fn settled(&self, state: &State) -> (Place, Vec<Option<Place>>) {
        let (mut counter, mut places) = (state.counter, state.places.clone());
        if let Some(Transaction { request, .. }) = &state.under_way {
            counter = self.end_of(request);
            for (place, number) in (request.counter..).zip(&request.batch) {
                places[usize::from(*number)] = Some(place);
            }
        }
        (counter, places)
    }

    pub(super) fn end_of(&self, request: &Request) -> Place {
        let first = self.counter(request.counter);
        self.place_after(first.at(first.next().plus(request.batch.len() as u64)))
    }
}
