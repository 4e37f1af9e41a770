//! When a worker fires a reactor's timers: when they are due, and it has acted on all that the log had before.

use std::time::{Duration, Instant};

use ees_store::Timestamp;
use futures::FutureExt;

use crate::database::{Database, TimerRows};
use crate::projection_state::Position;
use crate::reactor::{Timer, TimerQuery};
use crate::status::Kind;
use crate::worker::batch::Batch;
use crate::worker::error::StepError;
use crate::worker::runner::Runner;

/// The most timers that fire before new changesets get their turn.
const FIRED_AT_ONCE: usize = 100;
/// The shortest wait for a timer. One that is due fires after the next read of the log.
const WAIT_MIN: Duration = Duration::from_millis(10);

/// What a worker knows about its reactor's timers. A projection has none.
#[derive(Default)]
pub(crate) struct Timers {
    is_reactor: bool,
    /// When the first of them fires, or an earlier time. `None`: there are none.
    first: Option<Timestamp>,
    /// The position of the reactor's row when that was so.
    known_at: Option<Position>,
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

    /// Records that the row was read. Whoever moved it may have set timers.
    pub(crate) fn row_read(&mut self, position: Position) {
        if self.known_at != Some(position) {
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
    /// reached: whose clock is ahead says nothing about the commits of others.
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
    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.seen_until?.min(now);
        self.first.filter(|first| *first <= until).map(|_| until)
    }
}

impl<D: Database> Runner<D> {
    /// Fires timers that are due, at most [`FIRED_AT_ONCE`]. Returns `true` if more may be due.
    pub(crate) async fn fire_due_timers(&mut self) -> Result<bool, StepError> {
        let Some(until) = self.timers.due(self.core.clock.now()) else { return Ok(false) };
        self.fire_timers(until).boxed().await
    }

    /// Fires timers that are due until no more are, for hosts that do not stay.
    pub(crate) async fn fire_due_timers_until(&mut self, deadline: Instant) -> Result<(), StepError> {
        while self.fire_due_timers().await? && Instant::now() < deadline {}
        Ok(())
    }

    async fn fire_timers(&mut self, until: Timestamp) -> Result<bool, StepError> {
        // Retries may have taken long.
        if !self.may_retry().await? {
            return Ok(false);
        }
        let (due, first) = self.due_timers(until).await?;
        let is_full = due.len() == FIRED_AT_ONCE;
        if !due.is_empty() {
            let state = self.take_state().await?;
            let held = self.hold(state.clone(), self.core.processor.effect_timeout());
            let fired = held.keeping_lease(self.core.processor.fire(due, &held)).await;
            let set = held.first_timer();
            let is_done = fired?;
            held.interruption()?;
            self.set_state(state);
            self.timers.first = first;
            self.timers.note(set);
            if !is_done {
                self.timers.unread();
            }
            return Ok(is_full || !is_done);
        }
        self.timers.first = first;
        Ok(false)
    }

    /// Returns the timers that may fire, and when the first of the others does. The timers of a parked stream wait
    /// for it: one of its events may cancel them.
    async fn due_timers(&mut self, until: Timestamp) -> Result<(Vec<Timer>, Option<Timestamp>), StepError> {
        let parked = self.parked.streams.clone();
        let (mut due, mut after) = (Vec::new(), None);
        loop {
            let core = self.core.clone();
            let page = TimerQuery { after, limit: FIRED_AT_ONCE, ..TimerQuery::default() };
            let page =
                self.core.read(move |tx| async move { Ok(tx.timers(core.id(), &page).await?) }.boxed());
            let page = page.await?;
            let is_last = page.len() < FIRED_AT_ONCE;
            after = page.last().map(Timer::place);
            for timer in page {
                let is_own = self.core.partition().is_none_or(|partition| partition.owns(&timer.stream_id));
                if !is_own || parked.contains(&timer.stream_id) {
                    continue;
                }
                if timer.next_at > until || due.len() == FIRED_AT_ONCE {
                    return Ok((due, Some(timer.next_at)));
                }
                due.push(timer);
            }
            if is_last {
                return Ok((due, None));
            }
        }
    }
}
