//! What a worker shows of itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ees_store::Checkpoint;
use tokio::sync::{Notify, watch};

use crate::projection_state::{Pause, ProjectionState};
use crate::status::{Failure, PartitionStatus, Rebuild, StandbyStatus, State};
use crate::worker::event_tally::EventTally;
use crate::worker::figures::Figures;

/// The status that a worker shares with the rest of its process.
pub(crate) struct WorkerStatus {
    inner: Mutex<Inner>,
    position: watch::Sender<Checkpoint>,
    /// Signalled when somebody announces new changesets.
    news: Notify,
    figures: Arc<Figures>,
}

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) state: State,
    pub(crate) owner: Option<String>,
    pub(crate) partitions: Vec<PartitionStatus>,
    /// The projection's row, as the worker knows it.
    pub(crate) row: Option<ProjectionState>,
    pub(crate) head: Checkpoint,
    /// The age of the oldest changeset that is not applied, as of the last look that found it.
    pub(crate) lag: Duration,
    pub(crate) failure: Option<Failure>,
    pub(crate) parked_streams: usize,
    pub(crate) given_up_streams: usize,
    pub(crate) events: EventTally,
    /// Since when it has been behind without moving.
    waiting_since: Option<Instant>,
    /// Since when all steps have failed.
    failing_since: Option<Instant>,
    rate: Rate,
}

impl WorkerStatus {
    pub(crate) fn new() -> Self {
        let inner = Inner {
            state: State::Starting,
            owner: None,
            partitions: Vec::new(),
            row: None,
            head: Checkpoint::START,
            lag: Duration::ZERO,
            failure: None,
            parked_streams: 0,
            given_up_streams: 0,
            events: EventTally::default(),
            waiting_since: None,
            failing_since: None,
            rate: Rate::default(),
        };
        Self {
            inner: Mutex::new(inner),
            position: watch::Sender::new(Checkpoint::START),
            news: Notify::new(),
            figures: Arc::default(),
        }
    }

    /// The status of a worker of a partition, which counts what it does for the whole projection. It knows where the
    /// log ends, and so how far behind it is, before it reads.
    pub(crate) fn of_partition(whole: &Self) -> Self {
        let status = Self { figures: whole.figures.clone(), ..Self::new() };
        status.update(|status| status.head = whole.snapshot().head);
        status
    }

    /// What was done in this process.
    pub(crate) fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// Lets the worker poll the log now.
    pub(crate) fn wake(&self) {
        self.news.notify_one();
    }

    /// Waits for [`wake`](Self::wake). One that comes within `delay` from now counts at the end of it.
    pub(crate) async fn woken_after(&self, delay: Duration) {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.news.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> Inner {
        self.lock().clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        change(&mut inner);
        inner.look_at_lag();
    }

    /// Shows the projection's row.
    pub(crate) fn set_state(&self, state: &ProjectionState) {
        let next = state.position.next;
        {
            let mut inner = self.lock();
            let (before, passed) = (inner.row.as_ref().map(passed), passed(state));
            if before != Some(passed) {
                inner.waiting_since = None;
                inner.rate.note(passed.saturating_sub(before.unwrap_or(passed)));
            }
            inner.row = Some(state.clone());
            inner.look_at_lag();
        }
        self.position.send_if_modified(|known| std::mem::replace(known, next) != next);
    }

    /// Shows a projection that others run, as they have left it. How fast they are is not known.
    pub(crate) fn see(&self, state: &ProjectionState, head: Checkpoint, partitions: Vec<PartitionStatus>) {
        self.set_state(state);
        self.update(|status| {
            status.head = head;
            status.partitions = partitions;
            status.rate = Rate::default();
        });
    }

    /// Shows that there is no row.
    pub(crate) fn never_started(&self) {
        self.update(|status| {
            status.state = State::Starting;
            status.row = None;
            status.recovers();
        });
    }

    /// Returns `true` if somebody waits for the projection to reach a checkpoint.
    pub(crate) fn is_awaited(&self) -> bool {
        self.position.receiver_count() > 0
    }

    pub(crate) fn position(&self) -> watch::Receiver<Checkpoint> {
        self.position.subscribe()
    }
}

impl Inner {
    pub(crate) fn fails(&mut self, failure: Failure) {
        self.failure = Some(failure);
        self.failing_since.get_or_insert_with(Instant::now);
    }

    pub(crate) fn recovers(&mut self) {
        self.failure = None;
        self.failing_since = None;
    }

    fn look_at_lag(&mut self) {
        if self.lag_changesets() == 0 {
            self.waiting_since = None;
        } else {
            self.waiting_since.get_or_insert_with(Instant::now);
        }
    }

    pub(crate) fn is_rebuilding(&self) -> bool {
        self.row.as_ref().is_some_and(|row| row.rebuild_until.is_some())
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        self.row.as_ref().map_or(Checkpoint::START, |row| row.position.next)
    }

    pub(crate) fn skipped(&self) -> Vec<u64> {
        let skips = self.row.iter().flat_map(|row| &row.skips);
        skips.map(|skipped| skipped.checkpoint.get()).collect()
    }

    pub(crate) fn pause(&self) -> Option<&Pause> {
        self.row.as_ref()?.pause.as_ref()
    }

    pub(crate) fn lag_changesets(&self) -> u64 {
        self.head.get().saturating_sub(self.checkpoint().get())
    }

    /// Returns the age of the oldest changeset that is not applied: at least the time that it has been waited
    /// for, also where the log can't give it.
    pub(crate) fn lag(&self) -> Duration {
        self.lag.max(self.waiting_since.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// Returns why it is stopped, if it is.
    pub(crate) fn stopped(&self) -> Option<String> {
        let error = self.failure.as_ref().map_or("no error", |failure| &failure.message);
        (self.state == State::Stopped).then(|| format!("stopped: {error}"))
    }

    /// Returns why an operator should look, if one should.
    pub(crate) fn stalled(&self, after: Duration) -> Option<String> {
        let error = self.failure.as_ref().map_or("no error", |failure| &failure.message);
        if let Some(pause) = self.pause() {
            let why = if pause.reason.is_empty() { "no reason was given" } else { &pause.reason };
            return Some(format!("paused: {why}"));
        }
        if let Some(why) = self.stopped() {
            return Some(why);
        }
        let long = |since: Option<Instant>| since.map(|since| since.elapsed()).filter(|time| *time >= after);
        if let Some(still) = long(self.waiting_since) {
            let behind = self.lag_changesets();
            return Some(format!(
                "{behind} changesets behind, and not moving for {} s ({error})",
                still.as_secs()
            ));
        }
        if self.given_up_streams > 0 {
            return Some(format!(
                "{} streams are given up: retry them, or discard what failed",
                self.given_up_streams
            ));
        }
        long(self.failing_since).map(|time| format!("failing for {} s ({error})", time.as_secs()))
    }

    /// Returns why an operator should look at a projection that others run, if what it has not applied is that old.
    pub(crate) fn left_behind(&self, after: Duration) -> Option<String> {
        let (behind, oldest) = (self.lag_changesets(), self.lag.as_secs());
        let is_left = behind > 0 && self.lag >= after && !self.is_rebuilding();
        is_left.then(|| format!("{behind} changesets behind, of which the oldest is {oldest} s old"))
    }

    /// Returns the status of the standby, if this worker runs one.
    pub(crate) fn as_standby(&self) -> Option<StandbyStatus> {
        let row = self.row.as_ref().filter(|_| self.state != State::Absent)?;
        Some(StandbyStatus {
            version: row.version,
            plan: row.standby.clone()?,
            state: self.state,
            checkpoint: row.position.next,
            epoch: row.position.epoch,
            rate: self.rate(),
            rebuild: self.rebuild(),
            last_error: self.failure.clone(),
            pause: row.pause.clone(),
            owner: self.owner.clone(),
            partitions: self.partitions.clone(),
        })
    }

    pub(crate) fn rate(&self) -> f64 {
        self.rate.per_second()
    }

    pub(crate) fn rebuild(&self) -> Option<Rebuild> {
        let row = self.row.as_ref()?;
        let until = row.rebuild_until?;
        let (done, all) = (passed(row) as f64, until.get() as f64);
        let rate = self.rate();
        let seconds_left = (rate > 0.0).then(|| ((all - done) / rate).max(0.0));
        Some(Rebuild { until, percent: (100.0 * done / all).min(100.0), seconds_left })
    }
}

/// How many changesets are passed, whatever the order in which they are read.
fn passed(row: &ProjectionState) -> u64 {
    row.segment.as_ref().map_or(row.position.next.get(), |segment| segment.passed)
}

/// The rate in changesets per second over the last seconds.
#[derive(Clone)]
struct Rate {
    window_began: Instant,
    in_window: u64,
    before: f64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { window_began: Instant::now(), in_window: 0, before: 0.0 }
    }
}

impl Rate {
    const WINDOW: Duration = Duration::from_secs(5);

    fn note(&mut self, changesets: u64) {
        let elapsed = self.window_began.elapsed();
        if elapsed > Self::WINDOW {
            let ended_lately = elapsed < 2 * Self::WINDOW;
            self.before = if ended_lately { self.in_window as f64 / elapsed.as_secs_f64() } else { 0.0 };
            self.in_window = 0;
            self.window_began = Instant::now();
        }
        self.in_window += changesets;
    }

    fn per_second(&self) -> f64 {
        let elapsed = self.window_began.elapsed();
        if elapsed > 2 * Self::WINDOW {
            return 0.0;
        }
        let now = self.in_window as f64 / elapsed.as_secs_f64().max(0.1);
        let weight = (elapsed.as_secs_f64() / Self::WINDOW.as_secs_f64()).min(1.0);
        if self.before > 0.0 { now * weight + self.before * (1.0 - weight) } else { now }
    }
}
