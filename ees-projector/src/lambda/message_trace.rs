//! The trace that a message of a queue belongs to.

use aws_lambda_events::sqs::SqsMessage;
use ees_store::TraceContext;
use ees_store::publish::trace_of_message;

/// The trace that the changeset of a message belongs to, if it has one: from a message of the store's topics,
/// delivered raw or in the envelope of SNS.
pub fn trace_of(message: &SqsMessage) -> Option<TraceContext> {
    let attribute = |name: &str| message.message_attributes.get(name)?.string_value.as_deref();
    trace_of_message(message.body.as_deref().unwrap_or_default(), attribute)
}
