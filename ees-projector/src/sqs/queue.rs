//! Receiving, converting, acknowledging.

use std::marker::PhantomData;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageSystemAttributeName,
};
use ees_store::aws::told;
use ees_store::publish::{Notification, Readable, Received, UnreadableMessage};

use super::client::Bounded;

/// A queue takes and gives so many messages at once.
const AT_ONCE: i32 = 10;

/// A queue that is subscribed to a store's topics. Cloning is cheap.
///
/// Subscriptions may deliver raw or in the envelope of SNS; both topics may go to one queue.
///
/// A message stays in the queue until it is acknowledged: what is not, comes again when its visibility timeout is over. It
/// may come more than once in any case. In a FIFO queue the messages of a stream come in order, the next ones when those
/// before are acknowledged.
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

/// A message that was delivered, and is invisible to others for a while.
#[derive(Clone, Debug)]
pub struct Delivery<M = Received> {
    /// What it says, if it is one of ours.
    pub message: Result<M, UnreadableMessage>,
    /// The text as it came.
    pub body: String,
    /// How often it was delivered by now, as far as the queue knows.
    pub times: u32,
    id: String,
    receipt: String,
}

impl<M> Delivery<M> {
    /// The queue's own name for the message.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// A queue that did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The call failed. The SDK has tried it again already; later it may succeed.
    #[error("the queue can't be used: {0}")]
    Unavailable(String),
    /// The queue took some of the messages only. The others come again.
    #[error("{count} messages were not changed; the first: {error}")]
    Partly {
        /// How many were not.
        count: usize,
        /// Why the first was not.
        error: String,
    },
}

impl Queue {
    /// The queue at this URL, subscribed to changesets or events. Waits 5 s for messages, and has them invisible for 30 s. An
    /// attempt of a call has 5 s, and as long as it waits for messages, unless the client says otherwise.
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
        // Long enough to cost little (some 500,000 calls a month, while nothing comes), and short enough to be waited for when a
        // process ends.
        let (wait, visibility) = (Duration::from_secs(5), Duration::from_secs(30));
        Self { client: Bounded::new(client), url, wait, visibility, of: PhantomData }
    }

    /// Waits so long for messages when there are none; whole seconds, rounded up, 20 at most.
    #[must_use]
    pub fn with_wait(self, wait: Duration) -> Self {
        let rounded_up = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        Self { wait: rounded_up.min(Duration::from_secs(20)), ..self }
    }

    /// Keeps what was delivered from others for so long, unless it is [extended](Self::extend); whole seconds, at least 1,
    /// 12 hours at most.
    #[must_use]
    pub fn with_visibility(self, visibility: Duration) -> Self {
        Self { visibility: visibility.max(Duration::from_secs(1)), ..self }
    }

    /// Whether a receive waits for messages at all.
    pub(super) fn waits(&self) -> bool {
        !self.wait.is_zero()
    }

    /// How long what was delivered is kept from others.
    pub fn visibility(&self) -> Duration {
        self.visibility
    }

    /// The next messages, at most 10; none when none came in time. Asked for once: what fails is for the next call.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`].
    ///
    /// # Cancellation
    /// What was under way comes again after the visibility timeout.
    pub async fn receive(&self) -> Result<Vec<Delivery<M>>, QueueError> {
        let wait = self.wait;
        let call = self.client().receive_message().queue_url(&self.url).max_number_of_messages(AT_ONCE);
        let call = call.wait_time_seconds(seconds(wait));
        let call = call.visibility_timeout(seconds(self.visibility));
        let call = call.message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        let call = call.customize().config_override(self.client.waiting(wait));
        let answer = call.send().await.map_err(unavailable)?;
        Ok(answer.messages.unwrap_or_default().into_iter().map(delivery).collect())
    }

    /// Removes messages that were handled.
    ///
    /// # Errors
    /// [`QueueError`]; what was not removed comes again.
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

    /// Keeps messages from others for another visibility timeout, from now on.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn extend(&self, deliveries: &[Delivery<M>]) -> Result<(), QueueError> {
        self.invisible_for(deliveries, self.visibility).await
    }

    /// Lets messages come again after so long, at once if it is zero.
    ///
    /// # Errors
    /// [`QueueError`]; what was not changed comes again after its visibility timeout.
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
    Delivery {
        message: M::read(&body),
        body,
        times,
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

/// Only a missing member fails, and none is.
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
