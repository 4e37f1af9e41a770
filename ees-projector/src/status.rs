//! What can be seen of a projection.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ees_store::{ChangesetId, Checkpoint, StreamId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::control::{Control, Pause};
use crate::standby::Standby;

/// What a projection is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has not read its own row yet.
    #[default]
    Starting,
    /// It has applied everything, and waits for more.
    Following,
    /// It applies what it has not seen yet.
    CatchingUp,
    /// It was wiped, and has not yet reached where the log ended then.
    Rebuilding,
    /// Something failed, and is tried again.
    Retrying,
    /// Not there for this program: the one that is read is another version's.
    Absent,
    /// Another worker is at work in it; see the owner.
    Elsewhere,
    /// It stands still until it is resumed.
    Paused,
    /// It can't go on: the log was replaced, or its tables belong to a newer version. See the error.
    Stopped,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It keeps a read model, which can be built anew.
    #[default]
    Projection,
    /// It acts outside of any read model, and is never replayed.
    Reactor,
}

/// What went wrong last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Failure {
    /// What, in words.
    pub message: String,
    /// When.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub at: Timestamp,
    /// How often in a row.
    pub attempts: u32,
    /// The changeset it failed at, if it was one.
    #[cfg_attr(feature = "http", schema(value_type = Option<u64>))]
    pub checkpoint: Option<Checkpoint>,
    /// Its stream.
    #[cfg_attr(feature = "http", schema(value_type = Option<String>))]
    pub stream_id: Option<StreamId>,
    /// Its number in the stream.
    #[cfg_attr(feature = "http", schema(value_type = Option<u64>))]
    pub changeset_id: Option<ChangesetId>,
}

/// How far a rebuild is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Rebuild {
    /// The checkpoint at which it is done.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub until: Checkpoint,
    /// 0 to 100.
    pub percent: f64,
    /// Seconds left at the current rate, once there is one.
    pub seconds_left: Option<f64>,
}

/// All that can be seen of a projection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Status {
    /// Its name.
    pub name: String,
    /// A projection or a reactor.
    #[serde(default)]
    pub kind: Kind,
    /// Its version; 0 for a reactor.
    pub version: u32,
    /// What it is doing.
    pub state: State,
    /// The checkpoint it reads next.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// The checkpoint after the newest changeset of the log, as far as known.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub head: Checkpoint,
    /// The worker that is at work in it, where several share a database.
    pub owner: Option<String>,
    /// How many changesets it is behind.
    pub lag_changesets: u64,
    /// How many seconds ago the oldest changeset was committed that it has not applied; 0 when there is none.
    pub lag_seconds: f64,
    /// Changesets a second, over the last seconds.
    pub rate: f64,
    /// What went wrong last, until it went right again.
    pub last_error: Option<Failure>,
    /// Why it is paused, if it is.
    pub pause: Option<Pause>,
    /// Streams that wait because one of their changesets failed.
    pub parked_streams: usize,
    /// Of these, those that a reactor has given up on: they wait for an operator.
    #[serde(default)]
    pub given_up_streams: usize,
    /// Of a reactor, its effects since this process began.
    #[serde(default)]
    pub effects: Option<EffectCounts>,
    /// How far the rebuild is, while there is one.
    pub rebuild: Option<Rebuild>,
    /// The partitions, where its streams are dealt out.
    pub partitions: Vec<PartitionStatus>,
    /// The read model beside it, while there is one that this program can work on.
    pub standby: Option<StandbyStatus>,
    /// Why somebody should look: it is paused, stopped, or behind and not moving. `None` when all is well.
    pub stalled: Option<String>,
}

/// How many effects a reactor's worker saw the end of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct EffectCounts {
    /// Done.
    pub done: u64,
    /// Attempts that failed.
    pub failed: u64,
}

/// A part of a projection's streams, and who is at work in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct PartitionStatus {
    /// Which one, from 0.
    pub partition: u32,
    /// The checkpoint it reads next.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// The worker that is at work in it.
    pub owner: Option<String>,
    /// Why it is paused, if it is.
    pub pause: Option<Pause>,
}

/// A read model beside the live one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct StandbyStatus {
    /// Its version.
    pub version: u32,
    /// What it is for.
    pub plan: Standby,
    /// What it is doing.
    pub state: State,
    /// The checkpoint it reads next.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// Changes when it is made, when it is swapped, and when an operator or another worker takes it over: for telling
    /// one that was made just now from the one that was there before.
    pub epoch: u64,
    /// Changesets a second, over the last seconds.
    pub rate: f64,
    /// How far it is, while it is being built.
    pub rebuild: Option<Rebuild>,
    /// What went wrong last, until it went right again.
    pub last_error: Option<Failure>,
    /// Why it is paused, if it is.
    pub pause: Option<Pause>,
    /// The worker that is at work in it.
    pub owner: Option<String>,
}

/// The state a worker shares with those who look at it.
pub(crate) struct Live {
    inner: Mutex<Inner>,
    position: watch::Sender<Checkpoint>,
    /// Somebody has heard of news.
    news: Notify,
}

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) state: State,
    pub(crate) owner: Option<String>,
    pub(crate) partitions: Vec<PartitionStatus>,
    pub(crate) control: Option<Control>,
    pub(crate) head: Checkpoint,
    /// The age of the oldest changeset it has not applied, as of the last look.
    pub(crate) lag: Duration,
    pub(crate) failure: Option<Failure>,
    pub(crate) parked_streams: usize,
    pub(crate) given_up_streams: usize,
    pub(crate) effects: EffectCounts,
    /// Since when it has had something to do without moving.
    waiting_since: Option<Instant>,
    /// Since when nothing has gone right.
    failing_since: Option<Instant>,
    rate: Rate,
}

impl Live {
    pub(crate) fn new() -> Self {
        let inner = Inner {
            state: State::Starting,
            owner: None,
            partitions: Vec::new(),
            control: None,
            head: Checkpoint::START,
            lag: Duration::ZERO,
            failure: None,
            parked_streams: 0,
            given_up_streams: 0,
            effects: EffectCounts::default(),
            waiting_since: None,
            failing_since: None,
            rate: Rate::default(),
        };
        Self {
            inner: Mutex::new(inner),
            position: watch::Sender::new(Checkpoint::START),
            news: Notify::new(),
        }
    }

    /// Lets the worker look for news at once.
    pub(crate) fn wake(&self) {
        self.news.notify_one();
    }

    /// Until somebody has heard of news.
    pub(crate) async fn woken(&self) {
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

    /// The projection's row is known to be this.
    pub(crate) fn placed(&self, control: &Control) {
        let next = control.position.next;
        {
            let mut inner = self.lock();
            let before = inner.control.as_ref().map(|known| known.position.next);
            if before != Some(next) {
                inner.waiting_since = None;
                inner.rate.note(next.get().saturating_sub(before.unwrap_or(next).get()));
            }
            inner.control = Some(control.clone());
            inner.look_at_lag();
        }
        self.position.send_if_modified(|known| std::mem::replace(known, next) != next);
    }

    /// Whether somebody waits for the projection to get somewhere.
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

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        self.control.as_ref().map_or(Checkpoint::START, |control| control.position.next)
    }

    pub(crate) fn pause(&self) -> Option<&Pause> {
        self.control.as_ref()?.pause.as_ref()
    }

    pub(crate) fn lag_changesets(&self) -> u64 {
        self.head.get().saturating_sub(self.checkpoint().get())
    }

    /// Why it can't go on, if so.
    pub(crate) fn stopped(&self) -> Option<String> {
        let error = self.failure.as_ref().map_or("no error", |failure| &failure.message);
        (self.state == State::Stopped).then(|| format!("stopped: {error}"))
    }

    /// Why somebody should look, if so.
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
                "{behind} changesets behind and not moving for {} s ({error})",
                still.as_secs()
            ));
        }
        if self.given_up_streams > 0 {
            return Some(format!(
                "{} streams were given up and wait for somebody to retry or discard what failed",
                self.given_up_streams
            ));
        }
        long(self.failing_since).map(|time| format!("failing for {} s ({error})", time.as_secs()))
    }

    /// It as the read model beside a live one, if it is one.
    pub(crate) fn as_standby(&self) -> Option<StandbyStatus> {
        let control = self.control.as_ref().filter(|_| self.state != State::Absent)?;
        Some(StandbyStatus {
            version: control.version,
            plan: control.standby.clone()?,
            state: self.state,
            checkpoint: control.position.next,
            epoch: control.position.epoch,
            rate: self.rate(),
            rebuild: self.rebuild(),
            last_error: self.failure.clone(),
            pause: control.pause.clone(),
            owner: self.owner.clone(),
        })
    }

    pub(crate) fn rate(&self) -> f64 {
        self.rate.per_second()
    }

    pub(crate) fn rebuild(&self) -> Option<Rebuild> {
        let control = self.control.as_ref()?;
        let until = control.rebuild_until?;
        let (done, all) = (control.position.next.get() as f64, until.get() as f64);
        let rate = self.rate();
        let seconds_left = (rate > 0.0).then(|| ((all - done) / rate).max(0.0));
        Some(Rebuild { until, percent: (100.0 * done / all).min(100.0), seconds_left })
    }
}

/// Changesets a second over a window of some seconds.
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
