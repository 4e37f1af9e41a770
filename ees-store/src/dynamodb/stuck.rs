//! Streams that can't go on in the global order. They are set aside, and must not hold up the others.
//!
//! DynamoDB does not update an item that would become too large, nor one of a stream that has reached 10 GB.
//! And nobody may guess what an item means that has half a place, or one that was never given out. Such a
//! changeset can't get its place, and so none after it in its stream can.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::misplaced::Misplacement;
use super::plan::Candidate;
use crate::{ChangesetId, StreamId};

/// Streams that are remembered. More than are in one batch; one that was forgotten is found stuck again.
const STREAMS_MAX: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// After this time a write is tried again: somebody may have made room.
const TRY_AGAIN: Duration = Duration::from_secs(60 * 60);
/// After this time the item is read again: somebody may have mended it.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// What stays in the way is told again after this time.
const TELL_AGAIN: Duration = Duration::from_secs(60 * 60);

/// What is in the way of a changeset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// DynamoDB does not update the item, and says why.
    Full(String),
    /// The place that it has can't be right.
    Misplaced(Misplacement),
}

/// A stream that is set aside.
#[derive(Clone, Debug)]
struct SetAside {
    /// The changeset at which it is stuck.
    from: ChangesetId,
    obstacle: Obstacle,
    /// When to see whether it can go on.
    again_at: Instant,
    told_at: Instant,
    /// The last of its changesets that was left out. Those before it are found from there.
    left_out: Candidate,
}

/// A stream that may go on, if what was in its way is gone.
pub(super) struct Due {
    pub(super) stream_id: StreamId,
    pub(super) changeset_id: ChangesetId,
    /// Only a new write tells.
    pub(super) is_full: bool,
}

/// The streams that are set aside.
pub(super) struct Stuck {
    streams: LruCache<StreamId, SetAside>,
    /// How many they are, for those who watch.
    count: Arc<AtomicUsize>,
}

impl Stuck {
    pub(super) fn new() -> Self {
        Self { streams: LruCache::new(STREAMS_MAX), count: Arc::default() }
    }

    pub(super) fn count(&self) -> Arc<AtomicUsize> {
        self.count.clone()
    }

    /// The streams, each with the changeset at which it is stuck.
    pub(super) fn streams(&self) -> impl Iterator<Item = (&StreamId, ChangesetId)> {
        self.streams.iter().map(|(stream_id, stuck)| (stream_id, stuck.from))
    }

    /// This one can't get its place now.
    pub(super) fn add(&mut self, candidate: &Candidate, obstacle: Obstacle) {
        let Candidate { stream_id, changeset_id, .. } = candidate;
        let now = Instant::now();
        let again_at = now + obstacle.pause();
        if let Some(known) = self.streams.get_mut(stream_id) {
            if *changeset_id < known.from {
                (known.from, known.obstacle, known.again_at) = (*changeset_id, obstacle, again_at);
            }
            return;
        }
        obstacle.tell(stream_id, *changeset_id);
        let left_out = candidate.clone();
        let found = SetAside { from: *changeset_id, obstacle, again_at, told_at: now, left_out };
        self.streams.put(stream_id.clone(), found);
        self.count.store(self.streams.len(), Relaxed);
    }

    /// Leaves out what can't get its place, and what must not get one before it. What stands before it stays.
    /// Whether it was any.
    pub(super) fn leave_out(&mut self, waiting: &mut Vec<Candidate>) -> bool {
        if self.streams.is_empty() {
            return false;
        }
        let before = waiting.len();
        waiting.retain(|candidate| {
            let Some(stuck) = self.streams.peek_mut(&candidate.stream_id) else { return true };
            if candidate.changeset_id < stuck.from {
                return true;
            }
            if stuck.left_out.changeset_id < candidate.changeset_id {
                stuck.left_out = candidate.clone();
            }
            false
        });
        waiting.len() < before
    }

    /// When the first of them may go on.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.streams.iter().map(|(_, stuck)| stuck.again_at).min()
    }

    /// Items that somebody may have mended are to be read now.
    pub(super) fn hurry(&mut self) {
        let now = Instant::now();
        for (_, stuck) in &mut self.streams {
            if matches!(stuck.obstacle, Obstacle::Misplaced(_)) {
                stuck.again_at = now;
            }
        }
    }

    /// Those that may go on by now.
    pub(super) fn due(&self) -> Vec<Due> {
        let now = Instant::now();
        let due = self.streams.iter().filter(|(_, stuck)| stuck.again_at <= now);
        due.map(|(stream_id, stuck)| Due {
            stream_id: stream_id.clone(),
            changeset_id: stuck.from,
            is_full: matches!(stuck.obstacle, Obstacle::Full(_)),
        })
        .collect()
    }

    /// It is still in the way.
    pub(super) fn stays(&mut self, stream_id: &StreamId) {
        let Some(stuck) = self.streams.peek_mut(stream_id) else { return };
        let now = Instant::now();
        stuck.again_at = now + stuck.obstacle.pause();
        if now.duration_since(stuck.told_at) >= TELL_AGAIN {
            stuck.told_at = now;
            stuck.obstacle.tell(stream_id, stuck.from);
        }
    }

    /// It goes on, up to what was left out.
    pub(super) fn goes_on(&mut self, stream_id: &StreamId) -> Option<Candidate> {
        let left_out = self.streams.pop(stream_id).map(|stuck| stuck.left_out);
        self.count.store(self.streams.len(), Relaxed);
        left_out
    }
}

impl Obstacle {
    fn pause(&self) -> Duration {
        match self {
            Self::Full(_) => TRY_AGAIN,
            Self::Misplaced(_) => LOOK_AGAIN,
        }
    }

    fn tell(&self, stream_id: &StreamId, changeset_id: ChangesetId) {
        match self {
            Self::Full(why) => tracing::error!(
                %stream_id,
                %changeset_id,
                why,
                "a changeset can't be indexed, and so neither can later ones of its stream; other streams continue. The \
                 item is full, or its stream has reached 10 GB: commit to another stream and make room in this one. The \
                 indexer retries after an hour"
            ),
            Self::Misplaced(why) => tracing::error!(
                %stream_id,
                %changeset_id,
                %why,
                "a changeset has a place in the order that can't be right, so it is set aside, and so are later ones of \
                 its stream; other streams continue. `ees dynamodb mend TABLE --stream ID` mends it (with --dry-run: \
                 shows it). The indexer looks again after a minute"
            ),
        }
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

    fn full() -> Obstacle {
        Obstacle::Full("it is full".to_owned())
    }

    #[test]
    fn what_is_stuck_holds_up_what_follows_in_its_stream_and_nothing_else() {
        let mut stuck = Stuck::new();
        let all = candidates(&[("a", 1), ("a", 2), ("b", 1), ("a", 3), ("b", 2)]);
        let mut waiting = all.clone();
        stuck.leave_out(&mut waiting);
        assert_eq!(waiting, all);
        stuck.add(&all[3], full());
        stuck.leave_out(&mut waiting);
        assert_eq!(waiting, candidates(&[("a", 1), ("a", 2), ("b", 1), ("b", 2)]));
        stuck.add(&all[1], full());
        stuck.add(&all[3], full());
        stuck.leave_out(&mut waiting);
        assert_eq!(waiting, candidates(&[("a", 1), ("b", 1), ("b", 2)]), "the first of them counts");
        assert_eq!(stuck.count().load(Relaxed), 1);
    }

    #[test]
    fn what_was_stuck_goes_on_later_with_what_was_left_out() {
        let mut stuck = Stuck::new();
        let all = candidates(&[("a", 2), ("b", 1), ("a", 5), ("a", 4)]);
        stuck.add(&all[0], Obstacle::Misplaced(Misplacement::Malformed));
        stuck.add(&all[1], full());
        stuck.leave_out(&mut all.clone());
        assert!(stuck.due().is_empty() && stuck.due_at().is_some());
        stuck.hurry();
        let due = stuck.due();
        assert_eq!((due.len(), due[0].stream_id.as_str(), due[0].is_full), (1, "a", false));
        stuck.stays(&due[0].stream_id);
        assert!(stuck.due().is_empty());
        assert_eq!(stuck.goes_on(&all[0].stream_id), Some(all[2].clone()));
        assert_eq!(stuck.goes_on(&all[1].stream_id), Some(all[1].clone()));
        assert_eq!((stuck.due_at(), stuck.count().load(Relaxed)), (None, 0));
    }
}
