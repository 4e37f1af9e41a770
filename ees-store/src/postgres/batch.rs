//! Which of the waiting commits go to the database together: each stream once, as a run of commits that build
//! on one another. Pure; what becomes of a run is the database's to say.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use crate::{Commit, Expectation, StreamId, StreamType, Timestamp};

/// Commits in one transaction, at most.
pub(super) const COMMITS_MAX: usize = 1_024;
/// Bytes of events and metadata in one transaction, at most; a single commit may be larger.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// A commit that waits, with whatever the caller keeps beside it.
pub(super) trait Waiting {
    fn commit(&self) -> &Commit;
    fn digest(&self) -> Option<[u8; 32]>;
    /// Whether those submitted after it must not overtake it.
    fn in_order(&self) -> bool;
}

/// Commits for one transaction, each with its place in a run.
pub(super) struct Batch<J> {
    pub(super) jobs: Vec<J>,
    /// By job.
    pub(super) places: Vec<Place>,
    pub(super) runs: usize,
    /// Nothing is appended unless everything is: the order was promised.
    pub(super) all_or_none: bool,
}

/// A commit's place in its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) run: usize,
    /// Commits of the run before it.
    pub(super) nth: u64,
    /// Events of the run before it.
    pub(super) events_before: u64,
    /// The earliest time it can have, as far as the run is concerned.
    pub(super) time: Timestamp,
}

/// What the next commit of a run has to expect.
struct RunEnd {
    run: usize,
    nth: u64,
    events: u64,
    time: Timestamp,
    /// The last changeset and the last event once the run is appended, where its first expectation tells.
    changeset: Option<u64>,
    event: Option<u64>,
    stream_type: Option<StreamType>,
}

impl RunEnd {
    fn of_new(run: usize, commit: &Commit) -> Self {
        let (changeset, event) = match commit.expectation {
            Expectation::NewStream => (Some(0), Some(0)),
            Expectation::LastChangeset(id) => (Some(id.get()), (id.get() == 0).then_some(0)),
            Expectation::LastEvent(id) => ((id.get() == 0).then_some(0), Some(id.get())),
        };
        let time = Timestamp::from_micros(i64::MIN);
        Self { run, nth: 0, events: 0, time, changeset, event, stream_type: commit.stream_type.clone() }
    }

    /// Whether a commit builds on this run, so that it is appended if the run is.
    fn is_continued_by(&self, commit: &Commit) -> bool {
        let expected = match commit.expectation {
            Expectation::LastEvent(id) => self.event == Some(id.get()),
            other => self.changeset == Some(other.number()),
        };
        expected && (commit.stream_type.is_none() || commit.stream_type == self.stream_type)
    }

    fn append(&mut self, commit: &Commit, now: Timestamp) -> Place {
        let own = commit.recorded_at.unwrap_or(now);
        self.time = if self.nth == 0 { own } else { own.max(self.time.next()) };
        let place = Place { run: self.run, nth: self.nth, events_before: self.events, time: self.time };
        self.nth += 1;
        self.events += commit.events.count();
        self.changeset = self.changeset.map(|last| last + 1);
        self.event = self.event.map(|last| last + commit.events.count());
        place
    }
}

impl<J: Waiting> Batch<J> {
    /// Takes from the queue what can go together. What can't stays, in its order.
    pub(super) fn form(queue: &mut VecDeque<J>, now: Timestamp) -> Self {
        let mut batch = Self { jobs: Vec::new(), places: Vec::new(), runs: 0, all_or_none: false };
        let mut ends: HashMap<StreamId, RunEnd> = HashMap::new();
        let mut digests = HashSet::new();
        let mut left: VecDeque<J> = VecDeque::new();
        let (mut bytes, mut ordered) = (0, 0);
        while batch.jobs.len() < COMMITS_MAX {
            let Some(job) = queue.pop_front() else { break };
            bytes += job.commit().size_bytes();
            if bytes > BYTES_MAX && !batch.jobs.is_empty() {
                queue.push_front(job);
                break;
            }
            let digest = job.digest();
            let repeated = digest.is_some_and(|digest| digests.contains(&digest));
            let place = match ends.entry(job.commit().stream_id.clone()) {
                _ if repeated => None,
                Entry::Vacant(new) => {
                    let end = new.insert(RunEnd::of_new(batch.runs, job.commit()));
                    batch.runs += 1;
                    Some(end.append(job.commit(), now))
                }
                Entry::Occupied(end) if end.get().is_continued_by(job.commit()) => {
                    Some(end.into_mut().append(job.commit(), now))
                }
                Entry::Occupied(_) => None,
            };
            match place {
                Some(place) => {
                    ordered += usize::from(job.in_order());
                    digests.extend(digest);
                    batch.places.push(place);
                    batch.jobs.push(job);
                }
                // What was submitted behind it must not overtake it.
                None if job.in_order() => {
                    queue.push_front(job);
                    break;
                }
                None => left.push_back(job),
            }
        }
        while let Some(job) = left.pop_back() {
            queue.push_front(job);
        }
        batch.all_or_none = ordered > 1;
        batch
    }

    /// One commit by itself.
    pub(super) fn single(job: J, now: Timestamp) -> Self {
        Self::form(&mut VecDeque::from([job]), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChangesetId, EventId, Events};

    struct Job(Commit, bool);

    impl Waiting for Job {
        fn commit(&self) -> &Commit {
            &self.0
        }
        fn digest(&self) -> Option<[u8; 32]> {
            self.0.idempotency_key.as_ref().map(|key| key.digest(&self.0.stream_id))
        }
        fn in_order(&self) -> bool {
            self.1
        }
    }

    fn commit(stream: &str, expectation: Expectation) -> Commit {
        Commit::new(stream.parse().unwrap(), expectation, Events::parse("[1,2]").unwrap())
    }

    fn after(stream: &str, changeset: u64) -> Job {
        Job(commit(stream, Expectation::LastChangeset(ChangesetId::new(changeset))), false)
    }

    fn in_order(job: Job) -> Job {
        Job(job.0, true)
    }

    fn form(jobs: impl IntoIterator<Item = Job>) -> (Batch<Job>, usize) {
        let mut queue: VecDeque<_> = jobs.into_iter().collect();
        let batch = Batch::form(&mut queue, Timestamp::from_micros(100));
        (batch, queue.len())
    }

    #[test]
    fn commits_that_build_on_one_another_are_one_run() {
        let (batch, left) = form([after("a", 3), after("b", 0), after("a", 4), after("a", 5)]);
        assert_eq!((batch.jobs.len(), batch.runs, left), (4, 2, 0));
        let of_a: Vec<_> = batch.places.iter().filter(|place| place.run == 0).collect();
        assert_eq!(
            of_a.iter().map(|place| (place.nth, place.events_before)).collect::<Vec<_>>(),
            [(0, 0), (1, 2), (2, 4)]
        );
        assert!(of_a.is_sorted_by(|a, b| a.time < b.time));
    }

    #[test]
    fn a_rival_waits_for_the_next_batch_and_others_overtake_it() {
        let (batch, left) = form([after("a", 3), after("a", 3), after("b", 0)]);
        assert_eq!((batch.jobs.len(), left, batch.all_or_none), (2, 1, false));
    }

    #[test]
    fn nothing_overtakes_what_is_in_order() {
        let (batch, left) = form([in_order(after("a", 3)), in_order(after("a", 3)), in_order(after("b", 0))]);
        assert_eq!((batch.jobs.len(), left), (1, 2));
        let (batch, _) = form([in_order(after("a", 0)), in_order(after("b", 0))]);
        assert!(batch.all_or_none);
    }

    #[test]
    fn an_expectation_in_other_units_continues_only_what_is_known() {
        let by_event = |event| Job(commit("a", Expectation::LastEvent(EventId::new(event))), false);
        assert_eq!(form([after("a", 0), by_event(2), after("a", 2)]).1, 0, "a new stream: both are known");
        assert_eq!(form([after("a", 3), by_event(8)]).1, 1);
        assert_eq!(form([by_event(8), by_event(10)]).1, 0);
    }

    #[test]
    fn another_type_is_not_taken_for_the_same_run() {
        let typed = |job: Job, name: &str| Job(job.0.with_stream_type(name.parse().unwrap()), job.1);
        assert_eq!(form([typed(after("a", 0), "x"), typed(after("a", 1), "x"), after("a", 2)]).1, 0);
        assert_eq!(form([typed(after("a", 0), "x"), typed(after("a", 1), "y")]).1, 1);
        assert_eq!(form([after("a", 0), typed(after("a", 1), "y")]).1, 1);
    }

    #[test]
    fn a_key_is_in_a_batch_once() {
        let keyed = |job: Job| Job(job.0.with_idempotency_key("k".parse().unwrap()), job.1);
        assert_eq!(form([keyed(after("a", 0)), keyed(after("a", 1))]).1, 1);
    }
}
