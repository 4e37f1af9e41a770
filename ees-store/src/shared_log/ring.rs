//! The newest part of the log, in memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{Checkpoint, LogEntry};

/// How long a changeset is kept. Somebody may change it in the storage: then its readers see that a moment later.
const AGE_MAX: Duration = Duration::from_secs(5);

/// What a changeset costs in memory besides its texts, about.
const OVERHEAD_BYTES: usize = 512;

/// The changesets from one checkpoint to another, without a gap. It forgets the oldest ones.
///
/// It keeps no quarantined changeset: somebody may repair that one. So it begins after it.
pub(super) struct Ring {
    start: Checkpoint,
    end: Checkpoint,
    entries: VecDeque<Arc<LogEntry>>,
    /// When each of them came.
    arrivals: VecDeque<Instant>,
    bytes: usize,
    bytes_max: usize,
}

impl Ring {
    /// An empty one, which begins and ends at this place.
    pub(super) fn at(place: Checkpoint, bytes_max: usize) -> Self {
        Self {
            start: place,
            end: place,
            entries: VecDeque::new(),
            arrivals: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Forgets everything, and begins at this place.
    pub(super) fn begin_at(&mut self, place: Checkpoint) {
        *self = Self::at(place, self.bytes_max);
    }

    /// The first checkpoint that it has.
    pub(super) fn start(&self) -> Checkpoint {
        self.start
    }

    /// The checkpoint after the last one that it has.
    pub(super) fn end(&self) -> Checkpoint {
        self.end
    }

    /// Whether it has what is at this checkpoint, be it a changeset or nothing.
    pub(super) fn has(&self, checkpoint: Checkpoint) -> bool {
        self.start <= checkpoint && checkpoint < self.end
    }

    /// Adds what is between the end and `next`, and came now.
    pub(super) fn add(&mut self, entries: Vec<Arc<LogEntry>>, next: Checkpoint, now: Instant) {
        for entry in entries {
            if entry.events.quarantined().is_some() {
                self.begin_at(entry.checkpoint.next());
            } else {
                self.bytes += bytes_of(&entry);
                self.entries.push_back(entry);
                self.arrivals.push_back(now);
            }
        }
        self.end = next;
        while self.bytes > self.bytes_max && self.forget_oldest() {}
    }

    /// Forgets what came long ago.
    pub(super) fn forget_old(&mut self, now: Instant) {
        let is_old = |arrival: &Instant| now.saturating_duration_since(*arrival) > AGE_MAX;
        while self.arrivals.front().is_some_and(is_old) && self.forget_oldest() {}
    }

    fn forget_oldest(&mut self) -> bool {
        self.arrivals.pop_front();
        let Some(oldest) = self.entries.pop_front() else { return false };
        self.bytes -= bytes_of(&oldest);
        self.start = oldest.checkpoint.next();
        true
    }

    /// The changesets from this checkpoint on.
    pub(super) fn since(&self, checkpoint: Checkpoint) -> impl Iterator<Item = &Arc<LogEntry>> {
        let first = self.entries.partition_point(|entry| entry.checkpoint < checkpoint);
        self.entries.range(first..)
    }
}

fn bytes_of(entry: &LogEntry) -> usize {
    let trace = entry.trace.as_ref().map_or(0, |trace| trace.as_stored().len());
    entry.size_bytes() + trace + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Changeset, Events, Json, Quarantined, Timestamp};

    fn entry(checkpoint: u64, events: Events) -> Arc<LogEntry> {
        let changeset = Changeset {
            stream_id: "a".parse().unwrap(),
            changeset_id: (checkpoint + 1).into(),
            first_event_id: (checkpoint + 1).into(),
            events,
            metadata: Json::parse("{}").unwrap(),
            timestamp: Timestamp::default(),
            stream_type: None,
            trace: None,
        };
        Arc::new(LogEntry { checkpoint: Checkpoint::new(checkpoint), changeset })
    }

    fn places(ring: &Ring, from: u64) -> Vec<u64> {
        ring.since(Checkpoint::new(from)).map(|entry| entry.checkpoint.get()).collect()
    }

    #[test]
    fn it_forgets_the_oldest_and_knows_where_it_begins() {
        let mut ring = Ring::at(Checkpoint::new(5), 3 * (OVERHEAD_BYTES + 10));
        for checkpoint in [5, 6, 9, 10] {
            let read = vec![entry(checkpoint, Events::parse("[1]").unwrap())];
            ring.add(read, Checkpoint::new(checkpoint + 1), Instant::now());
        }
        assert_eq!(places(&ring, 0), [6, 9, 10]);
        assert_eq!(places(&ring, 7), [9, 10]);
        assert_eq!((ring.start().get(), ring.end().get()), (6, 11));
        // A hole is known to be one.
        assert!(ring.has(Checkpoint::new(8)) && !ring.has(Checkpoint::new(5)));
    }

    #[test]
    fn what_it_has_is_never_old() {
        let mut ring = Ring::at(Checkpoint::START, 1 << 20);
        let began = Instant::now();
        for checkpoint in 0..4 {
            let came = began + Duration::from_secs(checkpoint * 2);
            ring.add(
                vec![entry(checkpoint, Events::parse("[1]").unwrap())],
                Checkpoint::new(checkpoint + 1),
                came,
            );
        }
        ring.forget_old(began + AGE_MAX);
        assert_eq!(places(&ring, 0), [0, 1, 2, 3]);
        ring.forget_old(began + AGE_MAX + Duration::from_secs(3));
        assert_eq!((places(&ring, 0), ring.start().get()), (vec![2, 3], 2));
        ring.forget_old(began + Duration::from_secs(3_600));
        assert_eq!((places(&ring, 0), ring.start().get(), ring.end().get(), ring.bytes), (vec![], 4, 4, 0));
    }

    #[test]
    fn it_keeps_nothing_that_somebody_may_repair() {
        let good = || Events::parse("[1]").unwrap();
        let bad = Events::quarantine(Quarantined::new("why", "[", "{}"), 1);
        let mut ring = Ring::at(Checkpoint::START, 1 << 20);
        let read = vec![entry(0, good()), entry(1, bad), entry(2, good())];
        ring.add(read, Checkpoint::new(3), Instant::now());
        assert_eq!(places(&ring, 0), [2]);
        assert!(!ring.has(Checkpoint::new(1)) && ring.has(Checkpoint::new(2)));
    }
}
