//! When a worker fires a reactor's timers: when they are due, and it has acted on all that the log had before.

use std::time::Instant;

use ees_store::Timestamp;
use futures::FutureExt;

use crate::database::{Database, TimerRows};
use crate::reactor::{Timer, TimerQuery};
use crate::worker::error::StepError;
use crate::worker::runner::Runner;

/// The most timers that fire before new changesets get their turn.
const FIRED_AT_ONCE: usize = 100;

impl<D: Database> Runner<D> {
    /// Fires timers that are due, at most [`FIRED_AT_ONCE`]. Returns `true` if more may be due.
    pub(crate) async fn fire_due_timers(&mut self) -> Result<bool, StepError> {
        if self.timers.due(self.core.clock.now()).is_none() {
            return Ok(false);
        }
        self.fire_timers().boxed().await
    }

    /// Fires timers that are due until no more are, for hosts that do not stay.
    pub(crate) async fn fire_due_timers_until(&mut self, deadline: Instant) -> Result<(), StepError> {
        while self.fire_due_timers().await? && Instant::now() < deadline {}
        Ok(())
    }

    async fn fire_timers(&mut self) -> Result<bool, StepError> {
        // Retries may have taken long.
        if !self.may_retry().await? {
            return Ok(false);
        }
        // An operator may have moved the reactor back meanwhile.
        let Some(until) = self.timers.due(self.core.clock.now()) else { return Ok(false) };
        let DueTimers { due, first } = self.due_timers(until).await?;
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
    async fn due_timers(&mut self, until: Timestamp) -> Result<DueTimers, StepError> {
        let parked = self.parked.streams.clone();
        let waits = |timer: &Timer| {
            let is_own = self.core.partition().is_none_or(|partition| partition.owns(&timer.stream_id));
            !is_own || parked.contains(&timer.stream_id)
        };
        let (mut due, mut after) = (DueTimers::default(), None);
        loop {
            let core = self.core.clone();
            let page = TimerQuery { after, limit: FIRED_AT_ONCE, ..TimerQuery::default() };
            let page =
                self.core.read(move |tx| async move { Ok(tx.timers(core.id(), &page).await?) }.boxed());
            let page = page.await?;
            let is_last = page.len() < FIRED_AT_ONCE;
            after = page.last().map(Timer::place);
            if !due.take(page, until, waits) || is_last {
                return Ok(due);
            }
        }
    }
}

/// The timers that may fire, in their order.
#[derive(Default)]
pub(crate) struct DueTimers {
    pub(crate) due: Vec<Timer>,
    /// When the first of the others fires.
    pub(crate) first: Option<Timestamp>,
}

impl DueTimers {
    /// Takes those of a page that are due and don't wait. Returns `false` if none of a later page is.
    pub(crate) fn take(
        &mut self,
        page: Vec<Timer>,
        until: Timestamp,
        waits: impl Fn(&Timer) -> bool,
    ) -> bool {
        for timer in page.into_iter().filter(|timer| !waits(timer)) {
            if timer.next_at > until || self.due.len() == FIRED_AT_ONCE {
                self.first = Some(timer.next_at);
                return false;
            }
            self.due.push(timer);
        }
        true
    }
}
