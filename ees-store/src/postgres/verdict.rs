//! What the commits of a batch are told, now that its transaction is committed. Pure.

use super::append::Answer;
use super::batch::{Batch, Waiting};
use crate::decide::{Refusal, decide};
use crate::{Committed, Timestamp};

/// By job. Nothing for one that was held up by another one, which has its verdict now: it is to be tried again.
pub(super) fn verdicts<J: Waiting>(
    batch: &Batch<J>,
    answer: &Answer,
    limit_bytes: usize,
    now: Timestamp,
) -> Vec<Option<Result<Committed, Refusal>>> {
    let mut next = answer.first;
    let mut verdicts = Vec::with_capacity(batch.jobs.len());
    // Of each run, whether a commit that has no verdict stands before the next one.
    let mut held_up = vec![false; answer.tails.len()];
    for (number, (job, place)) in batch.jobs.iter().zip(&batch.places).enumerate() {
        let tail = &answer.tails[place.run];
        verdicts.push(if answer.has_appended(place) {
            let committed =
                Committed { changeset_id: tail.last_changeset.plus(place.nth + 1), checkpoint: Some(next) };
            next = next.next();
            Some(Ok(committed))
        } else if let Some(repeat) = answer.repeats.get(&number) {
            Some(repeat.clone())
        } else {
            // Behind commits that are refused, the stream ends where it did.
            let refusal = (!held_up[place.run]).then(|| decide(tail, job.commit(), limit_bytes, now).err());
            refusal.flatten().map(Err)
        });
        held_up[place.run] |= verdicts.last().is_some_and(Option::is_none);
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};

    use super::*;
    use crate::{ChangesetId, Checkpoint, Commit, Events, Expectation, Tail};

    impl Waiting for Commit {
        fn commit(&self) -> &Commit {
            self
        }
        fn digest(&self) -> Option<[u8; 32]> {
            None
        }
        fn in_order(&self) -> bool {
            true
        }
    }

    /// Four commits that build on one another, from changeset 1 on, to a stream that ends somewhere.
    fn codes_for_a_stream_of(last: u64) -> Vec<Option<&'static str>> {
        let commit = |last: u64| {
            let expectation = Expectation::LastChangeset(ChangesetId::new(last));
            Commit::new("a".parse().unwrap(), expectation, Events::parse("[1]").unwrap())
        };
        let now = Timestamp::from_micros(100);
        let batch = Batch::form(&mut VecDeque::from([commit(1), commit(2), commit(3), commit(4)]), now);
        let tail = Tail { last_changeset: ChangesetId::new(last), ..Tail::default() };
        let answer = Answer {
            first: Checkpoint::START,
            appended: 0,
            met: vec![false],
            tails: vec![tail],
            repeats: HashMap::new(),
        };
        let verdicts = verdicts(&batch, &answer, 1_000, now);
        verdicts.into_iter().map(|verdict| verdict.map(|verdict| verdict.unwrap_err().code())).collect()
    }

    #[test]
    fn commits_behind_refused_ones_are_refused_with_them_up_to_one_that_is_not() {
        let (outdated, ahead) =
            (Some("OPTIMISTIC_CONCURRENCY_EXCEPTION"), Some("INVALID_EXPECTED_CHANGESET_ID"));
        assert_eq!(codes_for_a_stream_of(7), [outdated; 4]);
        assert_eq!(codes_for_a_stream_of(3), [outdated, outdated, None, None]);
        assert_eq!(codes_for_a_stream_of(0), [ahead; 4]);
    }
}
