//! What DynamoDB does with a transaction.

use aws_sdk_dynamodb::types::CancellationReason;

use super::state::{Doing, Happened, Number, Place, Request, State, Transaction};
use super::{Mutation, Order};

impl Order {
    /// The service judges the conditions of a transaction; the reasons, if it is cancelled.
    pub(super) fn judge_conditions(
        &self,
        state: &State,
        request: &Request,
    ) -> Option<Vec<CancellationReason>> {
        let conflicting = state.under_way.as_ref();
        let code = |is_in_conflict: bool, holds: bool| match (is_in_conflict, holds) {
            (true, _) => "TransactionConflict",
            (false, true) => "None",
            (false, false) => "ConditionalCheckFailed",
        };
        let is_there = state.counter == request.counter || self.has(Mutation::CounterIsNotCompared);
        let of_counter = code(conflicting.is_some(), is_there);
        let of_item = |number: &Number| {
            let is_in_conflict = conflicting.is_some_and(|other| other.request.batch.contains(number));
            let has_none = state.places[usize::from(*number)].is_none();
            let holds = has_none || self.has(Mutation::PlacesAreOverwritten);
            code(is_in_conflict, self.is_stored(state, *number) && holds)
        };
        let codes: Vec<_> = std::iter::once(of_counter).chain(request.batch.iter().map(of_item)).collect();
        if codes.iter().all(|code| *code == "None") {
            return None;
        }
        Some(codes.into_iter().map(|code| CancellationReason::builder().code(code).build()).collect())
    }

    pub(super) fn begin(&self, state: &mut State, request: Request, by: Option<usize>) {
        let written = vec![false; request.batch.len()];
        state.under_way = Some(Transaction { request, counter_is_written: false, written, by });
    }

    pub(super) fn leave_late(&self, state: &mut State, request: Request) -> Option<()> {
        if state.late_requests.len() >= self.late_requests {
            return None;
        }
        state.late_requests.push(request);
        state.late_requests.sort();
        Some(())
    }

    pub(super) fn arrive_late(&self, state: &mut State, at: usize) {
        let request = state.late_requests.remove(at);
        if self.judge_conditions(state, &request).is_none() {
            state.happened = Happened::LateArrival;
            self.begin(state, request, None);
        }
    }

    /// What was under way is written to the end, and answered.
    pub(super) fn end_if_written(&self, state: &mut State) {
        let is_written = |it: &Transaction| it.counter_is_written && it.written.iter().all(|it| *it);
        let Some(Transaction { request, by: Some(by), .. }) = state.under_way.take_if(|it| is_written(it))
        else {
            return;
        };
        let Doing::Waiting { waiting, length } = state.indexers[by].doing.clone() else { return };
        state.indexers[by].counter = Some(self.end_of(&request));
        for number in &waiting[..length] {
            self.remember(&mut state.indexers[by], *number);
        }
        self.round(state, by, waiting[length..].to_vec());
    }

    pub(super) fn write(&self, state: &mut State, at: usize) -> Option<()> {
        let transaction = state.under_way.as_mut()?;
        let written = transaction.written.get_mut(at).filter(|written| !**written)?;
        *written = true;
        let number = transaction.request.batch[at];
        state.places[usize::from(number)] = Some(transaction.request.counter + at as Place);
        self.end_if_written(state);
        Some(())
    }

    pub(super) fn write_counter(&self, state: &mut State) -> Option<()> {
        let transaction = state.under_way.as_mut().filter(|it| !it.counter_is_written)?;
        transaction.counter_is_written = true;
        state.counter = self.end_of(&transaction.request);
        self.end_if_written(state);
        Some(())
    }

    pub(super) fn write_all(&self, state: &mut State) {
        while let Some(length) = state.under_way.as_ref().map(|it| it.written.len()) {
            let _ = self.write_counter(state);
            for at in 0..length {
                let _ = self.write(state, at);
            }
        }
    }
}
