//! How the rest is reached from any state.

use super::state::{Doing, Number, State};
use super::{Mutation, Order};

impl Order {
    /// All go on with what they are at, the rest is stored, somebody sweeps, and the reader reads on.
    pub(super) fn ends(&self, state: &State) -> bool {
        let mut state = state.clone();
        state.late_requests.clear();
        for by in 0..self.indexers {
            self.go_on(&mut state, by);
        }
        state.stored.clone_from(&self.streams);
        if !self.has(Mutation::NobodySweeps) {
            let all = (0..self.total() as Number).rev();
            let found: Vec<_> = all.filter(|number| state.places[usize::from(*number)].is_none()).collect();
            self.call(&mut state, 0, &found);
            self.go_on(&mut state, 0);
        }
        if !self.has_reader {
            return state.places.iter().all(Option::is_some);
        }
        state.shown = state.places.iter().map(Option::is_some).collect();
        self.read_on(&mut state);
        // Whatever the first answers had: once more.
        while u64::from(state.reader.next) < self.total() {
            let before = state.reader.next;
            if before >= state.counter {
                return false;
            }
            let to = self.read_end(before, state.counter);
            self.begin_read(&mut state, to, false);
            self.read_on(&mut state);
            if state.reader.next == before {
                return false;
            }
        }
        state.reader.read.len() as u64 == self.total()
    }

    pub(super) fn go_on(&self, state: &mut State, by: usize) {
        // Each changeset takes some calls; more is going round in a circle.
        for _ in 0..16 * self.total() {
            self.write_all(state);
            match &state.indexers[by].doing {
                Doing::Nothing => return,
                Doing::Ready { .. } if state.indexers[by].counter.is_none() => {
                    let _ = self.look_at_counter(state, by);
                }
                Doing::Ready { .. } => _ = self.arrive(state, by),
                _ => _ = self.read(state, by),
            }
        }
    }

    pub(super) fn read_on(&self, state: &mut State) {
        while let Some(reading) = &state.reader.reading {
            let Err(asked) = self.assembled(&state.reader, reading) else { return };
            let _ = self.answer(state, asked[0], false);
        }
    }
}
