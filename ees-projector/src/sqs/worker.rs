//! Messages as wake-ups: they say "look", and the log says what is there.

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

/// Portions of messages that are waited for at once, of 10 at most.
const PORTIONS_AT_ONCE: usize = 20;
/// The wait after a receive that failed, or that gave nothing and did not wait itself.
const PAUSE: Duration = Duration::from_secs(1);

/// Wakes the projections of this process when a queue's message says that something is new.
///
/// What is applied comes from the log, never from a message: messages that are lost, repeated or out of order change
/// nothing, and the projections go on looking by themselves as well. A message is deleted once all of them are past its
/// changeset. One that they do not get to in time (its changeset has no place in the log yet, or a projection is paused) comes
/// again; after so many times the queue's redrive policy takes it away, which loses nothing.
///
/// A message that is none of the store's is counted and left alone, for the redrive policy.
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

/// How many messages there were since the worker was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Delivered.
    pub received: u64,
    /// Deleted, because the projections are past them.
    pub handled: u64,
    /// Left to come again, because they were not in time.
    pub given_back: u64,
    /// None of the store's, left to the redrive policy.
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
    /// A worker for all projections of this handle.
    pub fn new(queue: Queue, handle: Handle) -> Self {
        let (within, again_after) = (Duration::from_secs(60), Duration::from_secs(30));
        Self { queue, handle, within, again_after, counts: Arc::default() }
    }

    /// How long a message waits for the projections to get past its changeset; 60 s unless set.
    #[must_use]
    pub fn with_patience(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// After how long a message comes again that waited in vain; 30 s unless set. Whole seconds.
    #[must_use]
    pub fn with_again_after(self, again_after: Duration) -> Self {
        Self { again_after, ..self }
    }

    /// How many messages there were.
    pub fn counts(&self) -> Counts {
        let Counted { received, handled, given_back, unreadable } = &*self.counts;
        Counts {
            received: received.load(Relaxed),
            handled: handled.load(Relaxed),
            given_back: given_back.load(Relaxed),
            unreadable: unreadable.load(Relaxed),
        }
    }

    /// Receives until it is told to stop; then gives back at once what was not handled.
    ///
    /// A receive that has begun then is not cut off, since the queue would hide what it gives away at that moment for the
    /// visibility timeout, from a FIFO queue everything behind it too. So the end takes up to the queue's
    /// [wait](Queue::with_wait): for a process that is given less time than that, shorten it.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let (tasks, stopped) = (TaskTracker::new(), CancellationToken::new());
        // Whoever drops this: what is under way ends, and gives back what it has.
        let _ending = stopped.clone().drop_guard();
        let room = Arc::new(Semaphore::new(PORTIONS_AT_ONCE));
        let mut stop = std::pin::pin!(stop);
        while !stopped.is_cancelled() {
            // Not more than are waited for: what is in the queue is safe there.
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
                    // Not before: it would get what is given back.
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
                        portion.handle().await;
                        drop(permit);
                    });
                }
                _ if stopped.is_cancelled() => {}
                other => {
                    if let Err(error) = other {
                        tracing::warn!(%error, "the queue's messages can't be received");
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

/// Messages that came together.
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
        // What came too late is left for others as it is.
        let is_kept = |delivery: &Delivery| delivery.message.is_ok() || self.stopped.is_cancelled();
        let (mut waiting, unreadable): (Vec<_>, Vec<_>) = self.deliveries.iter().cloned().partition(is_kept);
        for delivery in &unreadable {
            let error = delivery.message.as_ref().err().map(ToString::to_string);
            tracing::warn!(
                id = delivery.id(),
                times = delivery.times,
                error,
                "a message that is none of ours"
            );
        }
        count(&self.counts.unreadable, &unreadable);
        let mut passing = PendingChangesets::of(waiting.iter().filter_map(changeset));
        let mut extend_at = Instant::now() + self.queue.visibility() / 2;
        let mut pauses = poll_backoff::pauses(poll_backoff::AFTER_MIN);
        while !waiting.is_empty() && !self.stopped.is_cancelled() && Instant::now() < self.deadline {
            let is_answered = self.look(&mut passing, extend_at.min(self.deadline)).await;
            let is_passed = |delivery: &Delivery| {
                changeset(delivery).is_some_and(|(stream_id, id)| passing.is_passed(stream_id, id))
            };
            let (done, left): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_passed);
            waiting = left;
            if !done.is_empty() {
                match self.queue.acknowledge(&done).await {
                    Ok(()) => count(&self.counts.handled, &done),
                    // They come again, and are done with at once then.
                    Err(error) => tracing::warn!(%error, "handled messages could not be deleted"),
                }
            }
            if waiting.is_empty() {
                break;
            }
            // Before the queue takes them for lost.
            if Instant::now() >= extend_at {
                self.extend(&waiting).await;
                extend_at = Instant::now() + self.queue.visibility() / 2;
            }
            let pause = pauses.next().unwrap_or(poll_backoff::AFTER_MAX);
            let until = (Instant::now() + pause).min(extend_at).min(self.deadline);
            self.wait(passing.next_place().filter(|_| is_answered), until).await;
        }
        if waiting.is_empty() {
            return;
        }
        count(&self.counts.given_back, &waiting);
        let after = if self.stopped.is_cancelled() { Duration::ZERO } else { self.again_after };
        if let Err(error) = self.queue.give_back(&waiting, after).await {
            tracing::debug!(%error, "messages come again later than they could");
        }
    }

    /// Looks how far the projections are; whether the log has answered. Nothing but the end or what the messages need cuts it
    /// off: a log that is slow would be asked the same again.
    async fn look(&self, passing: &mut PendingChangesets, until: Instant) -> bool {
        let known = passing.next_place();
        let looking = passing.look(&*self.handle.log, |place| self.handle.all_are_past(place));
        let looked = tokio::select! {
            biased;
            () = self.stopped.cancelled() => return false,
            looked = tokio::time::timeout_at(until, looking) => looked,
        };
        let is_answered = matches!(looked, Ok(Ok(())));
        if let Ok(Err(error)) = looked {
            tracing::debug!(%error, "the log can't be asked");
        }
        // When they were woken last, the log did not have it yet.
        if passing.next_place().is_some_and(|place| Some(place) != known) {
            self.handle.wake();
        }
        is_answered
    }

    /// Until the projections are past this place, or until that moment.
    async fn wait(&self, place: Option<Checkpoint>, until: Instant) {
        let progress = async {
            match place {
                Some(place) => self.handle.when_all_are_past(place).await,
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
            tracing::debug!(%error, "some messages may come to another worker as well");
        }
    }
}

fn changeset(delivery: &Delivery) -> Option<(&StreamId, ChangesetId)> {
    let message = delivery.message.as_ref().ok()?;
    Some((message.stream_id(), message.changeset_id()))
}
