//! A queue for dead letters: messages that a topic refused.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use ees_store::publish::{DeadLetter, DeadLetters};

use super::queue::unavailable;
use super::{Delivery, Queue, QueueError};
use crate::error::BoxError;

/// An SQS queue, standard or FIFO, that keeps dead letters as JSON.
///
/// A dead letter names its changeset and topic. `ees dead-letters redrive` reads the changeset from the store
/// and publishes it again.
#[derive(Clone)]
pub struct DeadLetterQueue(Queue);

/// A dead letter that is hidden from others for a while.
#[derive(Clone, Debug)]
pub struct WaitingLetter {
    /// The dead letter; `None` when the message in the queue is something else.
    pub letter: Option<DeadLetter>,
    delivery: Delivery,
}

impl WaitingLetter {
    /// The id that the queue gave to the message. It stays the same.
    pub fn id(&self) -> &str {
        self.delivery.id()
    }

    /// The text of the message.
    pub fn body(&self) -> &str {
        &self.delivery.body
    }
}

impl DeadLetterQueue {
    /// The queue at this URL. A name that ends in `.fifo` is a FIFO queue.
    pub fn new(client: aws_sdk_sqs::Client, url: impl Into<String>) -> Self {
        Self(Queue::new(client, url).with_wait(Duration::from_secs(1)))
    }

    /// Takes the next letters, at most 10, and hides them from others for 30 s. Waits 1 s for letters;
    /// returns none when the queue is empty.
    ///
    /// # Errors
    /// Returns [`QueueError::Unavailable`] when the call fails.
    pub async fn take(&self) -> Result<Vec<WaitingLetter>, QueueError> {
        let deliveries = self.0.receive().await?.into_iter();
        let letter = |delivery: Delivery| WaitingLetter {
            letter: serde_json::from_str(&delivery.body).ok(),
            delivery,
        };
        Ok(deliveries.map(letter).collect())
    }

    /// Takes the next letters that were not seen before. Returns none once the queue has no others.
    ///
    /// What was taken is visible again after 30 s, so a long queue shows it again before its end is reached.
    pub(super) async fn take_unseen(&self, seen: &HashSet<String>) -> Result<Vec<WaitingLetter>, QueueError> {
        let mut again = 0;
        loop {
            let mut waiting = self.take().await?;
            let taken = waiting.len();
            waiting.retain(|letter| !seen.contains(letter.id()));
            again += taken - waiting.len();
            let all_came_again = again > seen.len();
            if taken == 0 || !waiting.is_empty() || all_came_again {
                return Ok(waiting);
            }
        }
    }

    /// Lists letters, at most `max` and some of the last batch, and leaves them in the queue.
    ///
    /// They are hidden from others meanwhile.
    ///
    /// # Errors
    /// Returns a [`QueueError`] if the queue can't be read. Letters that were seen by then are visible again after
    /// 30 s.
    pub async fn list(&self, max: usize) -> Result<Vec<WaitingLetter>, QueueError> {
        let (mut seen, mut ids) = (Vec::new(), HashSet::new());
        while seen.len() < max {
            let waiting = self.take_unseen(&ids).await?;
            if waiting.is_empty() {
                break;
            }
            ids.extend(waiting.iter().map(|letter| letter.id().to_owned()));
            seen.extend(waiting);
        }
        for letter in &seen {
            if let Err(error) = self.leave(letter).await {
                tracing::debug!(%error, "a dead letter stays hidden for some seconds");
            }
        }
        Ok(seen)
    }

    /// The URL of the queue.
    pub fn url(&self) -> &str {
        self.0.url()
    }

    /// Deletes a letter that was published again, or that nobody needs.
    ///
    /// # Errors
    /// A [`QueueError`]. The letter is visible again after 30 s.
    pub async fn remove(&self, letter: &WaitingLetter) -> Result<(), QueueError> {
        self.0.acknowledge(std::slice::from_ref(&letter.delivery)).await
    }

    /// Makes a letter visible to others again at once.
    ///
    /// # Errors
    /// A [`QueueError`]. The letter is visible again after 30 s.
    pub async fn leave(&self, letter: &WaitingLetter) -> Result<(), QueueError> {
        self.0.give_back(std::slice::from_ref(&letter.delivery), Duration::ZERO).await
    }
}

#[async_trait]
impl DeadLetters for DeadLetterQueue {
    async fn keep(&self, letter: &DeadLetter) -> Result<(), BoxError> {
        let call = self.0.client().send_message().queue_url(self.0.url());
        let call = call.message_body(serde_json::to_string(letter)?);
        let call = if self.0.url().ends_with(".fifo") {
            // Each letter has a group of its own, so that a letter that stays does not hold up the others.
            let id = uuid::Uuid::new_v4().to_string();
            call.message_group_id(&id).message_deduplication_id(&id)
        } else {
            call
        };
        call.send().await.map(drop).map_err(|error| unavailable(error).into())
    }
}
