//! One call, and what it says of each message.

use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};

use super::Publisher;
use super::refusal::Refused;
use crate::publish::Message;

impl Publisher {
    /// Sends messages to a topic: what it says of each, or of the whole call.
    pub(super) async fn call(
        &self,
        topic: usize,
        messages: &[(usize, &Message)],
    ) -> Result<Vec<Result<(), Refused>>, Refused> {
        let entries = messages.iter().enumerate().map(|(id, (_, message))| entry(id, message));
        let entries: Result<Vec<_>, _> = entries.collect();
        // Only a missing member fails, and none is.
        let entries = entries.map_err(|e| Refused { about_messages: true, text: e.to_string() })?;
        let call = self.client.publish_batch().topic_arn(&self.topics[topic].arn);
        let answer = call.set_publish_batch_request_entries(Some(entries)).send().await;
        let answer = answer.map_err(|e| Refused::of_call(&e))?;
        let lost =
            || Refused { about_messages: false, text: "the answer does not mention the message".to_owned() };
        let mut outcomes: Vec<Result<(), Refused>> = messages.iter().map(|_| Err(lost())).collect();
        for taken in answer.successful() {
            if let Some(outcome) = number(taken.id()).and_then(|id| outcomes.get_mut(id)) {
                *outcome = Ok(());
            }
        }
        for failed in answer.failed() {
            if let Some(outcome) = number(Some(failed.id())).and_then(|id| outcomes.get_mut(id)) {
                *outcome = Err(Refused::of_message(failed));
            }
        }
        Ok(outcomes)
    }
}

type Answered<'a> = ((usize, &'a Message), Result<(), Refused>);

/// What was said of a whole call is said of each of its messages.
pub(super) fn one_each<'a>(
    messages: &[(usize, &'a Message)],
    answered: Result<Vec<Result<(), Refused>>, Refused>,
) -> Vec<Answered<'a>> {
    let answers = answered.unwrap_or_else(|error| vec![Err(error); messages.len()]);
    messages.iter().copied().zip(answers).collect()
}

fn entry(id: usize, message: &Message) -> Result<PublishBatchRequestEntry, aws_sdk_sns::error::BuildError> {
    let mut entry = PublishBatchRequestEntry::builder().id(id.to_string()).message(message.body());
    if !message.is_notification() {
        entry = entry.message_group_id(message.group_id());
    }
    for (name, data_type, value) in message.attributes() {
        let value = MessageAttributeValue::builder().data_type(data_type).string_value(value).build()?;
        entry = entry.message_attributes(name, value);
    }
    entry.build()
}

fn number(id: Option<&str>) -> Option<usize> {
    id?.parse().ok()
}
