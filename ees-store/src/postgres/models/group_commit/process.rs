//! What a process does with what waits.

use std::collections::{HashMap, VecDeque};

use super::state::{Answered, Attempt, Call, Happened, Process, State, Verdict};
use super::{GroupCommit, Mutation};
use crate::decide::{Refusal, Tail};
use crate::postgres::append::Answer;
use crate::postgres::batch::{Batch, Waiting};
use crate::postgres::error::Fate;
use crate::postgres::verdict::verdicts;
use crate::{ChangesetId, Checkpoint, Commit, Committed, EventId, Timestamp};

/// A commit that waits in a process.
pub(super) struct Job<'a> {
    pub(super) attempt: Attempt,
    pub(super) commit: &'a Commit,
    pub(super) digest: Option<[u8; 32]>,
    pub(super) in_order: bool,
}

impl Waiting for Job<'_> {
    fn commit(&self) -> &Commit {
        self.commit
    }
    fn digest(&self) -> Option<[u8; 32]> {
        self.digest
    }
    fn in_order(&self) -> bool {
        self.in_order
    }
}

impl GroupCommit {
    /// As many of these as go together, in their runs; and what is left.
    pub(super) fn form(&self, attempts: &[Attempt]) -> (Batch<Job<'_>>, Vec<Attempt>) {
        let job = |(nth, attempt): (usize, &Attempt)| {
            let (commit, digest) = &self.commits[attempt.0];
            // To tell two jobs with the same key apart, as `form` would not otherwise.
            let other = self.has(Mutation::KeyIsTwiceInABatch).then_some([nth as u8; 32]);
            let digest = digest.map(|digest| other.unwrap_or(digest));
            let in_order = self.in_order && !self.has(Mutation::OrderIsForgotten);
            Job { attempt: *attempt, commit, digest, in_order }
        };
        let mut queue: VecDeque<_> = attempts.iter().enumerate().map(job).collect();
        let mut batch = Batch::form(&mut queue, Timestamp::from_micros(1));
        if self.has(Mutation::RivalsAreOneRun) {
            while let Some(rival) = queue.pop_front() {
                let place = batch.places.last().copied();
                let mut place = place.unwrap();
                place.nth += 1;
                batch.places.push(place);
                batch.jobs.push(rival);
            }
        }
        (batch, queue.into_iter().map(|job| job.attempt).collect())
    }

    pub(super) fn form_batch(&self, state: &mut State, process: usize) -> Option<()> {
        let queue = &state.processes[process].queue;
        if queue.is_empty() || state.processes[process].call.is_some() {
            return None;
        }
        let (batch, left) = self.form(queue);
        let batch: Vec<_> = batch.jobs.iter().map(|job| job.attempt).collect();
        let reads_early =
            self.has(Mutation::EndsAreReadBeforeTheLock) || self.has(Mutation::KeysAreLookedUpBeforeTheLock);
        let seen = if reads_early { state.log.clone() } else { Vec::new() };
        if self.has(Mutation::AnswersBeforeTheCommit) {
            let mut imagined = state.clone();
            let answered = self.append(&mut imagined, &Call { batch: batch.clone(), seen: seen.clone() });
            self.tell_all(&imagined, state, &batch, &answered);
        }
        let process = &mut state.processes[process];
        process.queue = left;
        process.call = Some(Call { batch, seen });
        Some(())
    }

    pub(super) fn carry_out(&self, state: &mut State, process: usize) -> Option<()> {
        let Process { call: Some(call), answer: None, .. } = state.processes[process].clone() else {
            return None;
        };
        state.processes[process].answer = Some(self.append(state, &call));
        Some(())
    }

    pub(super) fn settle(&self, state: &mut State, process: usize) -> Option<()> {
        let Process { call: Some(call), answer: Some(answered), .. } = state.processes[process].clone()
        else {
            return None;
        };
        let stored = state.clone();
        let again = self.tell_all(&stored, state, &call.batch, &answered);
        if !again.is_empty() {
            state.happened = Happened::HeldUp;
        }
        self.put_back(state, process, if self.has(Mutation::HeldUpIsDropped) { Vec::new() } else { again });
        Some(())
    }

    /// Tells everybody of a batch, but those who were held up: these are returned.
    pub(super) fn tell_all(
        &self,
        stored: &State,
        state: &mut State,
        batch: &[Attempt],
        answered: &Answered,
    ) -> Vec<Attempt> {
        let (formed, _) = self.form(batch);
        let is_all = answered.appended == formed.jobs.len() as u64;
        let answer = self.answer(stored, answered, is_all);
        let verdicts = verdicts(&formed, &answer, usize::MAX, Timestamp::from_micros(1));
        let mut again = Vec::new();
        for (job, verdict) in formed.jobs.iter().zip(verdicts) {
            match verdict {
                Some(verdict) => self.tell(state, job.attempt, Self::verdict(&verdict)),
                None => again.push(job.attempt),
            }
        }
        if !answered.repeats.is_empty() {
            state.happened = Happened::Repeat;
        }
        again
    }

    /// The answer, as the process reads it.
    pub(super) fn answer(&self, state: &State, answered: &Answered, is_all: bool) -> Answer {
        let tail = |end: &u64| Tail {
            last_changeset: ChangesetId::new(*end),
            // Not told where everything was appended.
            last_event: if is_all { EventId::NONE } else { EventId::new(*end) },
            last_timestamp: Timestamp::from_micros(0),
            stream_type: None,
        };
        let repeat = |(number, at, is_same): &(usize, u64, bool)| {
            let at = *at as usize;
            let committed = Committed {
                changeset_id: ChangesetId::new(self.changeset_id(state, at)),
                checkpoint: Some(Checkpoint::new(at as u64)),
            };
            (*number, if *is_same { Ok(committed) } else { Err(Refusal::KeyReused) })
        };
        Answer {
            first: Checkpoint::new(answered.first),
            appended: answered.appended,
            met: answered.met.clone(),
            tails: answered.ends.iter().map(tail).collect(),
            repeats: answered.repeats.iter().map(repeat).collect::<HashMap<_, _>>(),
        }
    }

    pub(super) fn verdict(verdict: &Result<Committed, Refusal>) -> Verdict {
        match verdict {
            Ok(Committed { changeset_id, checkpoint }) => {
                Verdict::Stored { checkpoint: checkpoint.unwrap().get(), changeset: changeset_id.get() }
            }
            Err(Refusal::Conflict { .. }) => Verdict::Conflict,
            Err(Refusal::AheadOfStream { .. }) => Verdict::AheadOfStream,
            Err(Refusal::KeyReused) => Verdict::KeyReused,
            Err(other) => unreachable!("{other}"),
        }
    }

    pub(super) fn tell(&self, state: &mut State, (client, attempt): Attempt, verdict: Verdict) {
        let told = &mut state.clients[client];
        // A client that has sent it again hears nothing of earlier attempts.
        if told.waits && told.attempts == attempt {
            told.waits = false;
            told.verdict = Some(verdict);
        }
    }

    pub(super) fn put_back(&self, state: &mut State, process: usize, again: Vec<Attempt>) {
        let process = &mut state.processes[process];
        (process.call, process.answer) = (None, None);
        process.queue.splice(..0, again);
    }

    /// The transaction failed, and what became of it is not always known.
    pub(super) fn fail(&self, state: &mut State, process: usize, fate: Fate) -> Option<()> {
        let call = state.processes[process].call.clone()?;
        let lets_repeat = |attempt: &Attempt| {
            self.has(Mutation::AllIsSentAgain) || fate.lets_repeat(self.wanted[attempt.0].key.is_some())
        };
        let (again, unknown): (Vec<_>, Vec<_>) = call.batch.into_iter().partition(lets_repeat);
        for attempt in unknown {
            let refused = self.has(Mutation::LostConnectionCountsAsRefusal);
            self.tell(state, attempt, if refused { Verdict::Conflict } else { Verdict::Unknown });
        }
        self.put_back(state, process, again);
        Some(())
    }

    pub(super) fn lose_connection(
        &self,
        state: &mut State,
        process: usize,
        is_on_its_way: bool,
    ) -> Option<()> {
        if is_on_its_way {
            self.leave_late(state, process)?;
        }
        self.fail(state, process, Fate::Unknown)
    }

    /// Leaves the call of a process to be carried out later.
    pub(super) fn leave_late(&self, state: &mut State, process: usize) -> Option<()> {
        let Process { call: Some(call), answer: None, .. } = &state.processes[process] else { return None };
        if state.late_calls.len() >= self.late_calls {
            return None;
        }
        state.late_calls.push(call.clone());
        state.late_calls.sort();
        Some(())
    }

    pub(super) fn carry_out_late(&self, state: &mut State, at: usize) {
        let call = state.late_calls.remove(at);
        if self.append(state, &call).appended > 0 {
            state.happened = Happened::LateCall;
        }
    }
}
