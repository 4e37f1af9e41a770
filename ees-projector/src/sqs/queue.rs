//! Receives, converts and acknowledges messages.

use std::marker::PhantomData;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageSystemAttributeName,
};
use ees_store::TraceContext;
use ees_store::aws::told;
use ees_store::publish::{Notification, Readable, Received, UnreadableMessage, trace_of_message};

use super::client::Bounded;

/// The most messages in one call to a queue.
const AT_ONCE: i32 = 10;

/// A queue that is subscribed to a store's topics. Cloning it is cheap.
///
/// Subscriptions may deliver raw or in the envelope of SNS. One queue may be subscribed to both the
/// changesets topic and the events topic.
///
/// A message stays in the queue until it is acknowledged. Until then, it is delivered again when its
/// visibility timeout is over. A message may arrive more than once in any case. A FIFO queue delivers the
/// messages of a stream in order; the next ones come when the earlier ones are acknowledged.
///
/// ```no_run
/// # async fn example(client: aws_sdk_sqs::Client) -> Result<(), ees_projector::sqs::QueueError> {
/// use ees_projector::sqs::Queue;
/// use ees_store::publish::Received;
///
/// let queue = Queue::new(client, "https://sqs.eu-west-1.amazonaws.com/123456789012/mine.fifo");
/// for delivery in queue.receive().await? {
///     match &delivery.message {
///         Ok(Received::Event { stream_id, data, .. }) => println!("{stream_id}: {data:?}"),
///         Ok(other) => println!("{other:?}"),
///         // Left alone: the queue's redrive policy takes it away.
///         Err(unreadable) => { eprintln!("{unreadable}"); continue }
///     }
///     queue.acknowledge(&[delivery]).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Queue<M = Received> {
    client: Bounded,
    url: String,
    wait: Duration,
    visibility: Duration,
    of: PhantomData<fn() -> M>,
}

/// A delivered message. It is hidden from others until its visibility timeout is over.
#[derive(Clone, Debug)]
pub struct Delivery<M = Received> {
    /// The content, or why the message is not from the store.
    pub message: Result<M, UnreadableMessage>,
    /// The text of the message.
    pub body: String,
    /// How often the message was delivered, this time included. SQS counts approximately.
    pub times: u32,
    /// The trace that the message's changeset belongs to, if it has one.
    pub trace: Option<TraceContext>,
    id: String,
    receipt: String,
}

impl<M> Delivery<M> {
    /// The id that the queue gave to the message.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// A call to a queue that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The call failed. Try again later.
    #[error("the call to the queue failed: {0}")]
    Unavailable(String),
    /// The queue changed only some of the messages. The others are delivered again.
    #[error("the queue refused to change {count} messages; the first because: {error}")]
    Partly {
        /// How many messages were not changed.
        count: usize,
        /// Why the first of them was not changed.
        error: String,
    },
}

impl Queue {
    /// The queue at this URL, subscribed to changesets or events.
    ///
    /// A receive waits 5 s for messages, and hides them from others for 30 s. An attempt of any other call
    /// may take 5 s, and of a receive 5 s more than it waits, unless the client has an attempt timeout of its
    /// own.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self::at(client, url.into())
    }
}

impl Queue<Notification> {
    /// The queue at this URL, subscribed to the notifications of typed streams.
    ///
    /// ```no_run
    /// # async fn example(client: aws_sdk_sqs::Client) -> Result<(), ees_projector::sqs::QueueError> {
    /// use ees_projector::sqs::Queue;
    ///
    /// let queue = Queue::of_notifications(client, "https://sqs.eu-west-1.amazonaws.com/123456789012/mine");
    /// for delivery in queue.receive().await? {
    ///     if let Ok(notification) = &delivery.message {
    ///         println!("{} {} is at {}", notification.stream_type, notification.stream_id, notification.revision);
    ///         queue.acknowledge(&[delivery]).await?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn of_notifications(client: Client, url: impl Into<String>) -> Self {
        Self::at(client, url.into())
    }
}

impl<M: Readable> Queue<M> {
    fn at(client: Client, url: String) -> Self {
        // Long enough to cost little (about 500,000 calls a month on an empty queue), and short enough to
        // wait for when a process ends.
        let (wait, visibility) = (Duration::from_secs(5), Duration::from_secs(30));
        Self { client: Bounded::new(client), url, wait, visibility, of: PhantomData }
    }

    /// Sets how long a receive waits for messages. Whole seconds, rounded up; at most 20. Default: 5 s.
    #[must_use]
    pub fn with_wait(self, wait: Duration) -> Self {
        let rounded_up = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        Self { wait: rounded_up.min(Duration::from_secs(20)), ..self }
    }

    /// Sets how long delivered messages are hidden from others, unless they are [extended](Self::extend).
    /// Whole seconds, 1 s to 12 hours. Default: 30 s.
    #[must_use]
    pub fn with_visibility(self, visibility: Duration) -> Self {
        Self { visibility: visibility.max(Duration::from_secs(1)), ..self }
    }

    /// Whether a receive waits for messages.
    pub(super) fn waits(&self) -> bool {
        !self.wait.is_zero()
    }

    /// How long delivered messages are hidden from others.
    pub fn visibility(&self) -> Duration {
        self.visibility
    }

    /// Receives the next messages, at most 10; none when none arrived in time. Does not retry: call it again.
    ///
    /// # Errors
    /// Returns [`QueueError::Unavailable`] when the call fails.
    ///
    /// # Cancellation
    /// Messages that were being delivered are delivered again after the visibility timeout.
    pub async fn receive(&self) -> Result<Vec<Delivery<M>>, QueueError> {
        let wait = self.wait;
        let call = self.client().receive_message().queue_url(&self.url).max_number_of_messages(AT_ONCE);
        let call = call.wait_time_seconds(seconds(wait));
        let call = call.visibility_timeout(seconds(self.visibility));
        let call = call.message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        let call = call.message_attribute_names("traceparent").message_attribute_names("tracestate");
        let call = call.customize().config_override(self.client.waiting(wait));
        let answer = call.send().await.map_err(unavailable)?;
        Ok(answer.messages.unwrap_or_default().into_iter().map(delivery).collect())
    }

    /// Deletes messages that were handled.
    ///
    /// # Errors
    /// A [`QueueError`]. Messages that were not deleted are delivered again.
    pub async fn acknowledge(&self, deliveries: &[Delivery<M>]) -> Result<(), QueueError> {
        let mut refused = Vec::new();
        for portion in deliveries.chunks(AT_ONCE as usize) {
            let entries = portion.iter().enumerate().map(|(number, it)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(number.to_string())
                    .receipt_handle(&it.receipt)
                    .build()
            });
            let entries = entries.collect::<Result<Vec<_>, _>>().map_err(|e| unbuilt(&e))?;
            let call = self.client().delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
            refused.extend(call.send().await.map_err(unavailable)?.failed);
        }
        all_changed(&refused)
    }

    /// Hides messages from others for another visibility timeout, from now on.
    ///
    /// # Errors
    /// A [`QueueError`].
    pub async fn extend(&self, deliveries: &[Delivery<M>]) -> Result<(), QueueError> {
        self.invisible_for(deliveries, self.visibility).await
    }

    /// Makes messages visible again after this time; at once if it is zero. Whole seconds, at most 12 hours.
    ///
    /// # Errors
    /// A [`QueueError`]. Messages that were not changed are delivered again after their visibility timeout.
    pub async fn give_back(&self, deliveries: &[Delivery<M>], after: Duration) -> Result<(), QueueError> {
        self.invisible_for(deliveries, after).await
    }

    async fn invisible_for(&self, deliveries: &[Delivery<M>], time: Duration) -> Result<(), QueueError> {
        let mut refused = Vec::new();
        for portion in deliveries.chunks(AT_ONCE as usize) {
            let entries = portion.iter().enumerate().map(|(number, it)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(number.to_string())
                    .receipt_handle(&it.receipt)
                    .visibility_timeout(seconds(time))
                    .build()
            });
            let entries = entries.collect::<Result<Vec<_>, _>>().map_err(|e| unbuilt(&e))?;
            let call = self.client().change_message_visibility_batch().queue_url(&self.url);
            refused.extend(call.set_entries(Some(entries)).send().await.map_err(unavailable)?.failed);
        }
        all_changed(&refused)
    }

    pub(super) fn client(&self) -> &Client {
        self.client.client()
    }

    /// Its name: the end of its URL.
    pub(super) fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

fn delivery<M: Readable>(message: aws_sdk_sqs::types::Message) -> Delivery<M> {
    let times = message
        .attributes
        .as_ref()
        .and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount));
    let times = times.and_then(|times| times.parse().ok()).unwrap_or(1);
    let body = message.body.unwrap_or_default();
    let attributes = message.message_attributes.unwrap_or_default();
    let trace = trace_of_message(&body, |name| attributes.get(name)?.string_value());
    Delivery {
        message: M::read(&body),
        body,
        times,
        trace,
        id: message.message_id.unwrap_or_default(),
        receipt: message.receipt_handle.unwrap_or_default(),
    }
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs().min(12 * 60 * 60)).unwrap_or(0)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
pub(super) fn unavailable<E, R>(error: SdkError<E, R>) -> QueueError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    QueueError::Unavailable(told(&error))
}

/// Only a missing member fails, and every member is set.
fn unbuilt(error: &aws_sdk_sqs::error::BuildError) -> QueueError {
    QueueError::Unavailable(error.to_string())
}

fn all_changed(refused: &[aws_sdk_sqs::types::BatchResultErrorEntry]) -> Result<(), QueueError> {
    match refused.first() {
        None => Ok(()),
        Some(first) => Err(QueueError::Partly {
            count: refused.len(),
            error: format!("{}: {}", first.code(), first.message().unwrap_or_default()),
        }),
    }
}
