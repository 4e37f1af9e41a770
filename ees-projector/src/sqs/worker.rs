//! Wakes projections by messages. A message only says that something is new; the changesets come from the
//! log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ees_store::{ChangesetId, Checkpoint, StreamId};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Delivery, Queue};
use crate::Handle;
use crate::host::pending_changesets::PendingChangesets;
use crate::host::poll_backoff;
use crate::spans;

/// The most portions of messages in work at the same time. A portion has at most 10 messages.
const PORTIONS_AT_ONCE: usize = 20;
/// The pause after a receive that failed, or that returned nothing without waiting.
const PAUSE: Duration = Duration::from_secs(1);

/// Wakes the projections of this process when a queue's message says that something is new.
///
/// Changesets come from the log, never from a message. So lost, repeated or reordered messages change
/// nothing, and the projections look for news by themselves as well.
///
/// A message is deleted when all projections have applied its changeset. When they don't in time (the
/// changeset has no checkpoint yet, or a projection is paused), the message is delivered again. After some
/// deliveries the queue's redrive policy removes it, which loses nothing.
///
/// A message that is not from the store is counted and left to the redrive policy.
///
/// ```no_run
/// # async fn example(running: ees_projector::Running, client: aws_sdk_sqs::Client) {
/// use ees_projector::sqs::{Queue, Worker};
///
/// let queue = Queue::new(client, "https://sqs.eu-west-1.amazonaws.com/123456789012/mine.fifo");
/// let worker = Worker::new(queue, running.handle().clone());
/// worker.run(async { let _ = tokio::signal::ctrl_c().await; }).await;
/// running.shut_down().await;
/// # }
/// ```
pub struct Worker {
    queue: Queue,
    handle: Handle,
    within: Duration,
    again_after: Duration,
    counts: Arc<Counted>,
}

/// How many messages a worker has handled since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that were received.
    pub received: u64,
    /// Messages that were deleted, because all projections have applied their changesets.
    pub handled: u64,
    /// Messages that are delivered again, because the projections did not apply them in time.
    pub given_back: u64,
    /// Messages that are not from the store. The redrive policy removes them.
    pub unreadable: u64,
}

#[derive(Default)]
struct Counted {
    received: AtomicU64,
    handled: AtomicU64,
    given_back: AtomicU64,
    unreadable: AtomicU64,
}

impl Worker {
    /// A worker that wakes all projections of this handle.
    pub fn new(queue: Queue, handle: Handle) -> Self {
        let (within, again_after) = (Duration::from_secs(60), Duration::from_secs(30));
        Self { queue, handle, within, again_after, counts: Arc::default() }
    }

    /// Sets how long to wait until the projections have applied a message's changeset. Default: 60 s.
    #[must_use]
    pub fn with_patience(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// Sets after how long a message is delivered again that was not applied in time. Whole seconds. Default:
    /// 30 s.
    #[must_use]
    pub fn with_again_after(self, again_after: Duration) -> Self {
        Self { again_after, ..self }
    }

    /// The numbers of messages so far.
    pub fn counts(&self) -> Counts {
        let Counted { received, handled, given_back, unreadable } = &*self.counts;
        Counts {
            received: received.load(Relaxed),
            handled: handled.load(Relaxed),
            given_back: given_back.load(Relaxed),
            unreadable: unreadable.load(Relaxed),
        }
    }

    /// Receives messages until `stop` completes. Then makes unfinished messages visible again at once, and
    /// returns.
    ///
    /// It does not cancel a running receive: the queue would hide the messages of that receive for the
    /// visibility timeout, and in a FIFO queue everything behind them. So the end takes up to the queue's
    /// [wait](Queue::with_wait). Shorten that wait for a process that must end sooner.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let (tasks, stopped) = (TaskTracker::new(), CancellationToken::new());
        // When this future is dropped, running portions end and give their messages back.
        let _ending = stopped.clone().drop_guard();
        let room = Arc::new(Semaphore::new(PORTIONS_AT_ONCE));
        let mut stop = std::pin::pin!(stop);
        while !stopped.is_cancelled() {
            // Receives no more than can be in work: other messages stay safely in the queue.
            let permit = tokio::select! {
                biased;
                () = &mut stop => break,
                permit = room.clone().acquire_owned() => permit,
            };
            let mut receiving = std::pin::pin!(self.queue.receive());
            let deliveries = tokio::select! {
                biased;
                () = &mut stop => {
                    let last = receiving.await;
                    // Cancelled only after the receive, which would otherwise get the messages that are given
                    // back.
                    stopped.cancel();
                    last
                }
                received = &mut receiving => received,
            };
            match deliveries {
                Ok(deliveries) if deliveries.is_empty() && self.queue.waits() => {}
                Ok(deliveries) if !deliveries.is_empty() => {
                    let portion = self.portion(deliveries, stopped.clone());
                    tasks.spawn(async move {
                        let traces: Vec<_> =
                            portion.deliveries.iter().filter_map(|it| it.trace.clone()).collect();
                        let span = spans::messages(portion.queue.name(), &traces);
                        span.run(portion.handle()).await;
                        drop(permit);
                    });
                }
                _ if stopped.is_cancelled() => {}
                other => {
                    if let Err(error) = other {
                        tracing::warn!(%error, "messages can't be received from the queue; retrying");
                    }
                    tokio::select! {
                        biased;
                        () = &mut stop => break,
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
        }
        stopped.cancel();
        tasks.close();
        tasks.wait().await;
    }

    fn portion(&self, deliveries: Vec<Delivery>, stopped: CancellationToken) -> Portion {
        Portion {
            queue: self.queue.clone(),
            handle: self.handle.clone(),
            deadline: Instant::now() + self.within,
            again_after: self.again_after,
            counts: self.counts.clone(),
            stopped,
            deliveries,
        }
    }
}

/// Messages that were received together.
struct Portion {
    queue: Queue,
    handle: Handle,
    deadline: Instant,
    again_after: Duration,
    counts: Arc<Counted>,
    stopped: CancellationToken,
    deliveries: Vec<Delivery>,
}

impl Portion {
    async fn handle(self) {
        let count = |counter: &AtomicU64, deliveries: &[Delivery]| {
            counter.fetch_add(deliveries.len() as u64, Relaxed);
        };
        count(&self.counts.received, &self.deliveries);
        self.handle.wake();
        // When the worker has stopped, all messages are given back unread.
        let is_kept = |delivery: &Delivery| delivery.message.is_ok() || self.stopped.is_cancelled();
        let (mut waiting, unreadable): (Vec<_>, Vec<_>) = self.deliveries.iter().cloned().partition(is_kept);
        for delivery in &unreadable {
            let error = delivery.message.as_ref().err().map(ToString::to_string);
            tracing::warn!(
                id = delivery.id(),
                times = delivery.times,
                error,
                "a message is not from the store; the queue's redrive policy removes it"
            );
        }
        count(&self.counts.unreadable, &unreadable);
        let mut pending = PendingChangesets::of(waiting.iter().filter_map(changeset));
        let mut extend_at = Instant::now() + self.queue.visibility() / 2;
        let mut pauses = poll_backoff::pauses(poll_backoff::AFTER_MIN);
        while !waiting.is_empty() && !self.stopped.is_cancelled() && Instant::now() < self.deadline {
            let is_answered = self.look(&mut pending, extend_at.min(self.deadline)).await;
            let is_passed = |delivery: &Delivery| {
                changeset(delivery).is_some_and(|(stream_id, id)| pending.is_passed(stream_id, id))
            };
            let (done, left): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_passed);
            waiting = left;
            if !done.is_empty() {
                match self.queue.acknowledge(&done).await {
                    Ok(()) => count(&self.counts.handled, &done),
                    // They are delivered again, and then deleted at once.
                    Err(error) => {
                        tracing::warn!(%error, "messages could not be deleted; they are delivered again");
                    }
                }
            }
            if waiting.is_empty() {
                break;
            }
            // Extends the messages before the queue delivers them again.
            if Instant::now() >= extend_at {
                self.extend(&waiting).await;
                extend_at = Instant::now() + self.queue.visibility() / 2;
            }
            let pause = pauses.next().unwrap_or(poll_backoff::AFTER_MAX);
            let until = (Instant::now() + pause).min(extend_at).min(self.deadline);
            self.wait(pending.next_checkpoint().filter(|_| is_answered), until).await;
        }
        if waiting.is_empty() {
            return;
        }
        count(&self.counts.given_back, &waiting);
        let after = if self.stopped.is_cancelled() { Duration::ZERO } else { self.again_after };
        if let Err(error) = self.queue.give_back(&waiting, after).await {
            tracing::debug!(%error, "messages could not be given back; they are delivered again later");
        }
    }

    /// Checks how far the projections are. Returns whether the log has answered. Only the stop or the
    /// deadline cancels the call: a slow log would be asked the same again.
    async fn look(&self, pending: &mut PendingChangesets, until: Instant) -> bool {
        let known = pending.next_checkpoint();
        let looking = pending.look(&self.handle.log, |checkpoint| self.handle.all_are_past(checkpoint));
        let looked = tokio::select! {
            biased;
            () = self.stopped.cancelled() => return false,
            looked = tokio::time::timeout_at(until, looking) => looked,
        };
        let is_answered = matches!(looked, Ok(Ok(())));
        if let Ok(Err(error)) = looked {
            tracing::debug!(%error, "the log did not answer; retrying");
        }
        // Wakes the projections again: the log did not have the changeset before.
        if pending.next_checkpoint().is_some_and(|checkpoint| Some(checkpoint) != known) {
            self.handle.wake();
        }
        is_answered
    }

    /// Waits until the projections are past this checkpoint, or until that time.
    async fn wait(&self, checkpoint: Option<Checkpoint>, until: Instant) {
        let progress = async {
            match checkpoint {
                Some(checkpoint) => self.handle.when_all_are_past(checkpoint).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stopped.cancelled() => {}
            () = progress => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    async fn extend(&self, waiting: &[Delivery]) {
        if let Err(error) = self.queue.extend(waiting).await {
            tracing::debug!(%error, "messages could not be extended; another worker may receive them too");
        }
    }
}

fn changeset(delivery: &Delivery) -> Option<(&StreamId, ChangesetId)> {
    let message = delivery.message.as_ref().ok()?;
    Some((message.stream_id(), message.changeset_id()))
}
