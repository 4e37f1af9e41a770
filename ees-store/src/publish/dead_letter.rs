//! What is left of a message that no topic takes.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Message;
use crate::{ChangesetId, EventId, Timestamp};

/// A message that a topic refused for what it is, or that could not be made: which one, for which topic, and why.
///
/// It names the message and does not hold it: whoever puts it back reads the changeset from the store, which has it
/// whole. As JSON it is what a dead-letter queue keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The topic it was for.
    pub topic_arn: String,
    /// Its stream. A text: it may be why.
    pub stream_id: String,
    /// Its changeset.
    pub changeset_id: ChangesetId,
    /// Its event, when it was a message about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
    /// Whether it was for messages about each of the changeset's events, when nobody could read which there are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub each_event: bool,
    /// What the topic said, or why the changeset could not be read.
    pub error: String,
    /// When.
    pub at: Timestamp,
}

impl DeadLetter {
    /// What is left of this message.
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

/// Where dead letters are kept until somebody looks at them: an SQS queue, or what you have.
#[async_trait]
pub trait DeadLetters: Send + Sync + 'static {
    /// Keeps a letter. When this comes back, the message it is about is taken for done with.
    ///
    /// # Errors
    /// Why it could not be kept; the message is tried again then.
    async fn keep(&self, letter: &DeadLetter) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}
