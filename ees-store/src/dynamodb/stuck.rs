//! Streams that can't go on in the global order. They must not hold up the others.
//!
//! DynamoDB does not update an item that would become too large, nor one of a stream that has reached 10 GB.
//! Such a changeset can't get its place, and so none after it in its stream can.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::plan::Candidate;
use crate::{ChangesetId, StreamId};

/// Streams that are remembered. More than are in one batch; one that was forgotten is found stuck again.
const STREAMS_MAX: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// After this time it is tried again: somebody may have made room.
const TRY_AGAIN: Duration = Duration::from_secs(60 * 60);

/// The changeset at which each of them is stuck, and since when.
pub(super) struct Stuck(LruCache<StreamId, (ChangesetId, Instant)>);

impl Stuck {
    pub(super) fn new() -> Self {
        Self(LruCache::new(STREAMS_MAX))
    }

    /// This one can't get its place now.
    pub(super) fn add(&mut self, candidate: &Candidate, why: &str) {
        let Candidate { stream_id, changeset_id, .. } = candidate;
        tracing::error!(
            %stream_id,
            %changeset_id,
            why,
            "a changeset can't be indexed, and so neither can later ones of its stream; other streams continue. The item is \
             full, or its stream has reached 10 GB: commit to another stream and make room in this one. The next sweep, in \
             an hour or in a new process, retries"
        );
        let found = self.0.get_or_insert_mut(stream_id.clone(), || (*changeset_id, Instant::now()));
        found.0 = found.0.min(*changeset_id);
    }

    /// Leaves out what can't get its place, and what must not get one before it. What stands before it stays.
    /// Whether it was any.
    pub(super) fn leave_out(&mut self, waiting: &mut Vec<Candidate>) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let before = waiting.len();
        waiting.retain(|candidate| {
            let Some((from, since)) = self.0.peek(&candidate.stream_id).copied() else { return true };
            if since.elapsed() >= TRY_AGAIN {
                self.0.pop(&candidate.stream_id);
                return true;
            }
            candidate.changeset_id < from
        });
        waiting.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(numbers: &[(&str, u64)]) -> Vec<Candidate> {
        let candidate = |(stream, number): &(&str, u64)| Candidate {
            stream_id: stream.parse().unwrap(),
            changeset_id: (*number).into(),
            size_bytes: 10,
        };
        numbers.iter().map(candidate).collect()
    }

    #[test]
    fn what_is_stuck_holds_up_what_follows_in_its_stream_and_nothing_else() {
        let mut stuck = Stuck::new();
        let all = candidates(&[("a", 1), ("a", 2), ("b", 1), ("a", 3), ("b", 2)]);
        let mut waiting = all.clone();
        stuck.leave_out(&mut waiting);
        assert_eq!(waiting, all);
        stuck.add(&all[3], "it is full");
        stuck.leave_out(&mut waiting);
        assert_eq!(waiting, candidates(&[("a", 1), ("a", 2), ("b", 1), ("b", 2)]));
        stuck.add(&all[1], "it is full");
        stuck.add(&all[3], "it is full");
        stuck.leave_out(&mut waiting);
        assert_eq!(waiting, candidates(&[("a", 1), ("b", 1), ("b", 2)]), "the first of them counts");
    }

    #[test]
    fn what_was_stuck_is_tried_again_later() {
        let mut stuck = Stuck::new();
        let all = candidates(&[("a", 1), ("a", 2)]);
        let Some(long_ago) = Instant::now().checked_sub(TRY_AGAIN) else { return };
        stuck.0.put(all[0].stream_id.clone(), (all[0].changeset_id, long_ago));
        let mut waiting = all.clone();
        stuck.leave_out(&mut waiting);
        assert_eq!(waiting, all);
    }
}
