//! What a topic says no for: pure.

use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sns::types::BatchResultErrorEntry;

use crate::aws::told;

/// What a topic said no to.
#[derive(Clone)]
pub(super) struct Refused {
    /// Whether it is for what the messages are; otherwise it may be otherwise the next time, if only because
    /// somebody mends the topic or its policy.
    pub(super) about_messages: bool,
    pub(super) text: String,
}

impl Refused {
    /// Of all messages of a call.
    pub(super) fn of_call<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let code = error.code().unwrap_or_default();
        let about_messages = is_about_messages(code, error.message().unwrap_or_default());
        Self { about_messages, text: told(error) }
    }

    /// Of one message of a call.
    pub(super) fn of_message(failed: &BatchResultErrorEntry) -> Self {
        let message = failed.message().unwrap_or_default();
        Self {
            about_messages: failed.sender_fault() && is_about_messages(failed.code(), message),
            text: format!("{}: {message}", failed.code()),
        }
    }
}

/// Whether a message is refused for what it is.
///
/// SNS has the same codes for a topic that is not what it should be: of another region or kind, or without
/// content-based deduplication. Then every message would become a dead letter, and somebody has to mend the
/// topic. Only the text tells them apart.
fn is_about_messages(code: &str, message: &str) -> bool {
    const CODES: [&str; 5] = [
        "InvalidParameter",
        "ParameterValueInvalid",
        "Validation",
        "InvalidMessageContents",
        "BatchRequestTooLong",
    ];
    // No more than these: a text may quote what is wrong with a message.
    const TOPICS: [&str; 6] = [
        "TopicArn",
        "The topic should",
        "ContentBasedDeduplication",
        "MessageDeduplicationId",
        "MessageGroupId",
        "for this topic type",
    ];
    CODES.iter().any(|known| code.starts_with(known)) && !TOPICS.iter().any(|known| message.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_refused_for_what_it_is_becomes_a_dead_letter() {
        let texts = [
            (true, "InvalidParameter", "Invalid parameter: Message too long"),
            (true, "InvalidParameter", "Invalid parameter: Message Reason: Message can not be empty"),
            (true, "InvalidParameter", "Invalid parameter: Message contains invalid characters"),
            (true, "InvalidParameterValue", "The message attribute 'event_types' has an invalid value."),
            (true, "ParameterValueInvalid", "Message attribute value is empty: topic_created"),
            (true, "ValidationException", "1 validation error detected"),
            (
                true,
                "BatchRequestTooLong",
                "The length of all the messages put together is more than the limit.",
            ),
            // The topic is of another region, or none.
            (false, "InvalidParameter", "Invalid parameter: TopicArn"),
            (
                false,
                "InvalidParameter",
                "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1",
            ),
            // It has no content-based deduplication.
            (
                false,
                "InvalidParameter",
                "Invalid parameter: The topic should either have ContentBasedDeduplication enabled or \
                 MessageDeduplicationId provided explicitly",
            ),
            // It is a FIFO topic, and given for notifications.
            (
                false,
                "InvalidParameter",
                "Invalid parameter: The MessageGroupId parameter is required for FIFO topics",
            ),
            // It is a standard topic, and given for changesets or events.
            (
                false,
                "InvalidParameter",
                "Invalid parameter: MessageGroupId Reason: The request includes MessageGroupId parameter that is \
                 not valid for this topic type",
            ),
            (false, "NotFound", "Topic does not exist"),
            (
                false,
                "AuthorizationError",
                "User: arn:aws:iam::1:user/a is not authorized to perform: SNS:Publish",
            ),
            (false, "Throttling", "Rate exceeded"),
            (false, "InternalError", ""),
            (false, "", ""),
        ];
        for (about_messages, code, message) in texts {
            assert_eq!(is_about_messages(code, message), about_messages, "{code}: {message}");
        }
    }
}
