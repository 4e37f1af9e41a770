//! The task that reads new changesets for all waiting readers.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::AbortHandle;

use super::Identity;
use super::ring::Ring;
use super::watches::Watches;
use crate::{ChangesetLog, Checkpoint, Error, LogHead, LogPage, LogQuery, Result};

/// Bytes of changesets in memory.
const RING_BYTES: usize = 16 * 1024 * 1024;
/// Changesets in one page at most.
const PAGE_CHANGESETS: usize = 1_000;
/// How long one read waits for something to arrive.
const WAIT: Duration = Duration::from_secs(20);
/// The first pause after a read that failed; the next ones are longer.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Reads on from the end of the ring for as long as somebody waits, and wakes those for whom something arrives.
pub(super) struct TailReader {
    log: Arc<dyn ChangesetLog>,
    state: Mutex<State>,
    /// The read under way. Not held by the task, so that nothing outlives this.
    reading: Mutex<Option<Reading>>,
}

struct Reading {
    generation: u64,
    page: BoxFuture<'static, Result<LogPage>>,
}

pub(super) struct State {
    pub(super) ring: Ring,
    pub(super) watches: Watches,
    /// The farthest end that was seen of the log, and which log it is: that of all changesets in the ring.
    pub(super) head: Option<LogHead>,
    /// Rises when the read under way is given up, as when the ring begins at another place.
    generation: u64,
    /// Whether the read under way was asked for, so that it does not wait.
    is_looking: bool,
    /// Whether another one was asked for since then.
    looks_again: bool,
    failures: u32,
    task: Option<AbortHandle>,
    waker: Option<Waker>,
}

impl State {
    /// Whether somebody reads on from the end of the ring.
    pub(super) fn is_in_use(&self) -> bool {
        !self.watches.is_empty()
    }

    /// Whether the last read failed.
    pub(super) fn last_read_failed(&self) -> bool {
        self.failures > 0
    }

    /// Begins at this place.
    pub(super) fn begin_at(&mut self, place: Checkpoint) {
        self.ring.begin_at(place);
        self.failures = 0;
        self.restart();
    }

    /// Gives up the read under way.
    fn restart(&mut self) {
        self.generation += 1;
        self.wake();
    }

    fn look_again(&mut self) {
        if self.is_looking {
            self.looks_again = true;
        } else {
            self.is_looking = self.is_in_use();
            self.restart();
        }
    }

    /// Makes the reader look whether there is something to do.
    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Records where the log ends, as a read told. Returns whether it is another log than before.
    ///
    /// Another incarnation may be another history, so the ring forgets what it has. The readers stay: the servers
    /// behind one address may answer in turn, each with its own incarnation. Each page tells its reader which one
    /// it is of.
    pub(super) fn record_head(&mut self, told: &LogHead) -> bool {
        let head = self.head.get_or_insert_with(|| told.clone());
        if Identity::of(head) == Identity::of(told) {
            head.checkpoint = head.checkpoint.max(told.checkpoint);
            return false;
        }
        *head = told.clone();
        let end = self.ring.end();
        self.ring.begin_at(end);
        self.watches.wake_all();
        true
    }

    /// The log ends before the ring does: all watches end; each reader continues from its own checkpoint.
    fn went_back(&mut self, head: LogHead) {
        self.head = Some(head);
        self.watches.end_all();
        let end = self.ring.end();
        self.begin_at(end);
    }
}

impl TailReader {
    pub(super) fn new(log: Arc<dyn ChangesetLog>) -> Self {
        let state = State {
            ring: Ring::at(Checkpoint::START, RING_BYTES),
            watches: Watches::default(),
            head: None,
            generation: 0,
            is_looking: false,
            looks_again: false,
            failures: 0,
            task: None,
            waker: None,
        };
        Self { log, state: Mutex::new(state), reading: Mutex::new(None) }
    }

    pub(super) fn log(&self) -> &dyn ChangesetLog {
        &*self.log
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = locked(&self.state);
        state.ring.forget_old(Instant::now());
        state
    }

    /// Reads once more, without waiting for what the log may not notice. A read that was asked for so is never
    /// given up for the next one, which follows it: calls that come faster than reads end would let none end.
    pub(super) fn look_again(&self) {
        self.state().look_again();
    }

    /// Records where the log ends, as another read than the task's told.
    pub(super) fn record_head(&self, told: &LogHead) {
        let mut state = self.state();
        if state.record_head(told) {
            // The read under way may wait for something that arrives in the old one.
            state.look_again();
        }
    }

    /// Makes sure that there is a task that reads.
    pub(super) fn start(self: &Arc<Self>, state: &mut State) {
        if state.task.as_ref().is_none_or(AbortHandle::is_finished) {
            let reader = Arc::downgrade(self);
            let read_on = std::future::poll_fn(move |context| match reader.upgrade() {
                Some(reader) => reader.poll(context),
                None => Poll::Ready(()),
            });
            state.task = Some(tokio::spawn(read_on).abort_handle());
        }
        state.wake();
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut reading = locked(&self.reading);
        let outdated = {
            let mut state = self.state();
            state.waker = Some(context.waker().clone());
            let outdated = reading.take_if(|reading| reading.generation != state.generation);
            if reading.is_none() && state.is_in_use() {
                *reading = Some(self.next_page(&state));
            }
            outdated
        };
        // Not under the lock: it may be the last to hold something of the log's.
        drop(outdated);
        // Out of its place while it is polled: nobody polls it again if it panics.
        let Some(Reading { generation, mut page }) = reading.take() else { return Poll::Pending };
        let Poll::Ready(page) = Pin::new(&mut page).poll(context) else {
            *reading = Some(Reading { generation, page });
            return Poll::Pending;
        };
        drop(reading);
        self.arrived(generation, page);
        // Others have their turn before the next page.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn next_page(&self, state: &State) -> Reading {
        let wait = if state.is_looking { Duration::ZERO } else { WAIT };
        let query = LogQuery::from(state.ring.end(), PAGE_CHANGESETS).with_wait(wait);
        let pause = match state.failures {
            0 => Duration::ZERO,
            failures => PAUSE_MIN.saturating_mul(1 << failures.min(10)).min(PAUSE_MAX),
        };
        let log = self.log.clone();
        let page = async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            log.read(query).await
        };
        // A log that panics is one that can't be read: the task and its readers go on.
        let page = AssertUnwindSafe(page).catch_unwind().map(|page| {
            page.unwrap_or_else(|_| Err(Error::Unavailable("a read of the log panicked".to_owned())))
        });
        Reading { generation: state.generation, page: page.boxed() }
    }

    fn arrived(&self, generation: u64, page: Result<LogPage>) {
        let mut state = self.state();
        if state.generation != generation {
            return;
        }
        state.is_looking = std::mem::take(&mut state.looks_again);
        match page {
            Ok(page) => {
                state.failures = 0;
                state.record_head(&page.head);
                let end = state.ring.end();
                if page.head.checkpoint < end {
                    state.went_back(page.head);
                } else if page.next > end {
                    let arrived: Vec<_> = page.changesets.into_iter().map(Arc::new).collect();
                    state.watches.wake(end, &arrived);
                    state.ring.add(arrived, page.next, Instant::now());
                }
            }
            Err(error) => {
                if state.failures == 0 {
                    tracing::warn!(%error, "failed to read the log; will retry");
                }
                state.failures = state.failures.saturating_add(1);
                state.watches.wake_after_failure();
            }
        }
    }
}

impl Drop for TailReader {
    fn drop(&mut self) {
        if let Some(task) = self.state().task.take() {
            task.abort();
        }
    }
}

/// A state is whole whatever panicked.
fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
