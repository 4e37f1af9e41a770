//! What a worker knows about its reactor's timers.

use std::time::Duration;

use ees_store::Timestamp;

use crate::projection_state::Position;
use crate::status::Kind;
use crate::worker::batch::Batch;

/// The shortest wait for a timer. One that is due fires after the next read of the log.
const WAIT_MIN: Duration = Duration::from_millis(10);

/// What a worker knows about its reactor's timers. A projection has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timers {
    is_reactor: bool,
    /// When the first of them fires, or an earlier time. `None`: there are none.
    pub(crate) first: Option<Timestamp>,
    /// The position of the reactor's row when that was so.
    pub(crate) known_at: Option<Position>,
    /// When the worker began the read of the log that the current batch is from. `None` for a batch that was
    /// read ahead.
    pub(crate) read_at: Option<Timestamp>,
    /// Everything that was committed before this time is acted on or parked. (By the clocks of the committers:
    /// an event that is committed at the time of a timer may come before or after it.)
    pub(crate) seen_until: Option<Timestamp>,
}

impl Timers {
    pub(crate) fn of(kind: Kind) -> Self {
        Self { is_reactor: kind == Kind::Reactor, ..Self::default() }
    }

    /// Records that the database may have timers that this worker does not know.
    pub(crate) fn unread(&mut self) {
        self.first = self.is_reactor.then_some(Timestamp::from_micros(i64::MIN));
    }

    /// Records that the row was read. The worker that moved it may have set timers.
    pub(crate) fn row_read(&mut self, position: Position) {
        if self.known_at != Some(position) {
            if self.known_at.is_some_and(|known| position.next < known.next) {
                // An operator has moved it back: what comes next may never have been acted on.
                self.seen_until = None;
            }
            self.unread();
            self.known_at = Some(position);
        }
    }

    /// Records that this worker moved the row.
    pub(crate) fn row_moved(&mut self, position: Position) {
        self.known_at = Some(position);
    }

    /// Records that the first of the timers that were set since fires at this time.
    pub(crate) fn note(&mut self, set: Option<Timestamp>) {
        self.first = self.first.into_iter().chain(set).min();
    }

    /// Returns until when the log will be acted on once this batch is. Not a time that this worker's clock has not
    /// reached: a committer whose clock is ahead says nothing about the commits of others.
    pub(crate) fn seen_until(&self, batch: &Batch, now: Timestamp) -> Option<Timestamp> {
        let at_end = batch.next >= batch.head.checkpoint;
        let last = batch.changesets.last().map(|last| last.timestamp);
        self.read_at.filter(|_| at_end).or(last).max(self.seen_until).map(|seen| seen.min(now))
    }

    /// Returns how long the worker may wait for new changesets.
    pub(crate) fn wait(&self, now: Timestamp) -> Option<Duration> {
        let micros = self.first?.as_micros().saturating_sub(now.as_micros());
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)).max(WAIT_MIN))
    }

    /// Returns the latest time of timers that may fire, if some may.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.seen_until?.min(now);
        self.first.filter(|first| *first <= until).map(|_| until)
    }
}

#[cfg(test)]
mod tests {
    use ees_store::Checkpoint;

    use super::*;

    #[test]
    fn a_worker_waits_for_the_log_again_when_its_reactor_was_moved_back() {
        let at = |next, epoch| Position { next: Checkpoint::new(next), epoch };
        let now = Timestamp::from_micros(7);
        let mut timers = Timers::of(Kind::Reactor);
        timers.row_read(at(5, 0));
        timers.seen_until = Some(now);
        timers.row_read(at(6, 1));
        assert_eq!(timers.due(now), Some(now), "what another worker has passed, it has acted on");
        timers.row_read(at(2, 2));
        assert_eq!(timers.due(now), None);
    }
}
