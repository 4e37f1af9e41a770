//! The one who reads what arrives, for everybody who waits.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::AbortHandle;

use super::ring::Ring;
use super::watches::Watches;
use crate::{ChangesetLog, Checkpoint, LogHead, LogPage, LogQuery, Result};

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
    /// The farthest end that was seen of the log, and which log it is.
    pub(super) head: Option<LogHead>,
    /// Rises when the ring begins anew: what was asked for before does not belong to it.
    generation: u64,
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
    pub(super) fn is_in_trouble(&self) -> bool {
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

    /// Makes the reader look whether there is something to do.
    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Notes where the log ends, as a read told. Another incarnation may be another history: everybody is
    /// dismissed, and begins where he is.
    pub(super) fn note(&mut self, told: &LogHead) {
        let head = self.head.get_or_insert_with(|| told.clone());
        if (head.log_id, head.incarnation) == (told.log_id, told.incarnation) {
            head.checkpoint = head.checkpoint.max(told.checkpoint);
            return;
        }
        *head = told.clone();
        self.forget();
    }

    fn forget(&mut self) {
        self.watches.dismiss();
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

    /// Reads once more, without waiting for what the log may not notice.
    pub(super) fn look_again(&self) {
        self.state().restart();
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
        let Some(Reading { generation, page }) = &mut *reading else { return Poll::Pending };
        let Poll::Ready(page) = Pin::new(page).poll(context) else { return Poll::Pending };
        let generation = *generation;
        *reading = None;
        drop(reading);
        self.arrived(generation, page);
        // Others have their turn before the next page.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn next_page(&self, state: &State) -> Reading {
        let query = LogQuery::from(state.ring.end(), PAGE_CHANGESETS).with_wait(WAIT);
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
        Reading { generation: state.generation, page: page.boxed() }
    }

    fn arrived(&self, generation: u64, page: Result<LogPage>) {
        let mut state = self.state();
        if state.generation != generation {
            return;
        }
        match page {
            Ok(page) => {
                state.failures = 0;
                state.note(&page.head);
                let end = state.ring.end();
                if state.generation != generation {
                    return;
                }
                if page.head.checkpoint < end {
                    // The log went back.
                    state.head = Some(page.head);
                    state.forget();
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
                state.watches.wake_for_trouble();
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
