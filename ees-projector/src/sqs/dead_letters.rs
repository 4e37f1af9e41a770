//! A queue for what could not be published, and the way back.

use std::time::Duration;

use async_trait::async_trait;
use ees_store::publish::{DeadLetter, DeadLetters};

use super::queue::unavailable;
use super::{Delivery, Queue, QueueError};
use crate::error::BoxError;

/// An SQS queue, standard or FIFO, that keeps dead letters: each as JSON.
///
/// What is in it names the changeset and the topic; whoever puts it back reads the changeset from the store
/// (`ees dead-letters redrive`).
#[derive(Clone)]
pub struct DeadLetterQueue(Queue);

/// A dead letter that was taken out of the queue for a while.
#[derive(Clone, Debug)]
pub struct WaitingLetter {
    /// What it says; `None` when something else was put there.
    pub letter: Option<DeadLetter>,
    delivery: Delivery,
}

impl WaitingLetter {
    /// The queue's own name for it: the same whenever it is taken.
    pub fn id(&self) -> &str {
        self.delivery.id()
    }

    /// The text as it is in the queue.
    pub fn body(&self) -> &str {
        &self.delivery.body
    }
}

impl DeadLetterQueue {
    /// The queue at this URL.
    pub fn new(client: aws_sdk_sqs::Client, url: impl Into<String>) -> Self {
        Self(Queue::new(client, url).with_wait(Duration::from_secs(1)))
    }

    /// The next letters, at most 10, which nobody else sees for 30 s; none when none are left.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`].
    pub async fn take(&self) -> Result<Vec<WaitingLetter>, QueueError> {
        let deliveries = self.0.receive().await?.into_iter();
        let letter = |delivery: Delivery| WaitingLetter {
            letter: serde_json::from_str(&delivery.body).ok(),
            delivery,
        };
        Ok(deliveries.map(letter).collect())
    }

    /// Removes a letter that was put back, or that nobody wants.
    ///
    /// # Errors
    /// [`QueueError`]; it is there again after 30 s.
    pub async fn remove(&self, letter: &WaitingLetter) -> Result<(), QueueError> {
        self.0.acknowledge(std::slice::from_ref(&letter.delivery)).await
    }

    /// Leaves a letter in the queue.
    ///
    /// # Errors
    /// [`QueueError`]; it is there again after 30 s.
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
            // Each letter by itself: one that stays does not hold up the others.
            let id = uuid::Uuid::new_v4().to_string();
            call.message_group_id(&id).message_deduplication_id(&id)
        } else {
            call
        };
        call.send().await.map(drop).map_err(|error| unavailable(error).into())
    }
}
