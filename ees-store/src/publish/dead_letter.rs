//! Records of messages that a topic refused.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Message;
use crate::{ChangesetId, EventId, Timestamp};

/// A message that a topic refused permanently, or that could not be built: which one, for which topic, and
/// why.
///
/// It identifies the message but does not contain it: to redrive it, read the changeset from the store. A
/// dead-letter queue keeps it as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The topic it was for.
    pub topic_arn: String,
    /// Its stream id, unvalidated: an invalid id may be the error.
    pub stream_id: String,
    /// Its changeset.
    pub changeset_id: ChangesetId,
    /// Its event, if the message was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
    /// Whether it stands for the messages about all events of the changeset, because the events could not be
    /// read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub each_event: bool,
    /// The topic's error, or why the changeset could not be read.
    pub error: String,
    /// When it was recorded.
    pub at: Timestamp,
}

impl DeadLetter {
    /// The dead letter of a message.
    pub fn of(message: &Message, topic_arn: &str, error: &str) -> Self {
        Self {
            topic_arn: topic_arn.to_owned(),
            stream_id: message.stream_id().as_str().to_owned(),
            changeset_id: message.changeset_id(),
            event_id: message.event_id(),
            each_event: false,
            error: error.to_owned(),
            at: Timestamp::now(),
        }
    }
}

/// Stores dead letters until an operator handles them, in an SQS queue for example.
#[async_trait]
pub trait DeadLetters: Send + Sync + 'static {
    /// Stores a letter. Once it returns `Ok`, the publisher treats the message as done.
    ///
    /// # Errors
    /// Why the letter could not be stored. The publisher then retries the message.
    async fn keep(&self, letter: &DeadLetter) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}
