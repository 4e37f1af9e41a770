//! The function in the database that appends, written down once more.

use super::state::{Answered, Call, Client, State};
use super::{GroupCommit, Mutation};

impl GroupCommit {
    pub(super) fn end(&self, log: &[Client], stream: &str) -> u64 {
        log.iter().filter(|client| self.wanted[**client].stream == stream).count() as u64
    }

    pub(super) fn changeset_id(&self, state: &State, checkpoint: usize) -> u64 {
        let stream = self.wanted[state.log[checkpoint]].stream;
        self.end(&state.log[..=checkpoint], stream)
    }

    /// Where the key of a commit is, as the database has it.
    pub(super) fn with_key(&self, state: &State, client: Client, before: usize) -> Option<usize> {
        let wanted = &self.wanted[client];
        let key = wanted.key?;
        (0..before).find(|at| {
            let other = &self.wanted[state.log[*at]];
            state.has_key[*at] && other.key == Some(key) && other.stream == wanted.stream
        })
    }

    /// What `ees_store.append` does in the database, under the log's lock.
    pub(super) fn append(&self, state: &mut State, call: &Call) -> Answered {
        let (batch, _) = self.form(&call.batch);
        let first = state.log.len();
        let ends_of = if self.has(Mutation::EndsAreReadBeforeTheLock) { &call.seen } else { &state.log };
        let keys_before =
            if self.has(Mutation::KeysAreLookedUpBeforeTheLock) { call.seen.len() } else { first };
        let mut answered =
            Answered { first: first as u64, appended: 0, met: vec![], ends: vec![], repeats: vec![] };
        for (job, place) in batch.jobs.iter().zip(&batch.places).filter(|(_, place)| place.nth == 0) {
            let wanted = &self.wanted[job.attempt.0];
            let end = self.end(ends_of, wanted.stream);
            debug_assert_eq!(answered.met.len(), place.run);
            answered.met.push(end == wanted.expects);
            answered.ends.push(end);
        }
        for (number, (job, place)) in batch.jobs.iter().zip(&batch.places).enumerate() {
            let client = job.attempt.0;
            if let Some(at) = self.with_key(state, client, keys_before) {
                let is_same = self.wanted[state.log[at]].body == self.wanted[client].body;
                answered.met[place.run] = false;
                if !self.has(Mutation::RefusalComesBeforeTheKey) {
                    let is_same = is_same || self.has(Mutation::BodyIsNotCompared);
                    answered.repeats.push((number, at as u64, is_same));
                }
            }
        }
        let is_held_back = batch.all_or_none && answered.met.contains(&false);
        if is_held_back {
            return answered;
        }
        for (job, place) in batch.jobs.iter().zip(&batch.places) {
            if answered.met[place.run] {
                state.log.push(job.attempt.0);
                let has_key = self.wanted[job.attempt.0].key.is_some();
                state.has_key.push(has_key && !self.has(Mutation::KeyIsNotStored));
                answered.appended += 1;
            }
        }
        answered
    }
}
