//! Notifications of typed streams, from the event of a function for a queue.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use ees_store::publish::{Notification, UnreadableMessage};

/// A message that a function was called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notified {
    /// The queue's own name for it.
    pub message_id: String,
    /// What it says, if it is one of ours.
    pub message: Result<Notification, UnreadableMessage>,
}

/// The notifications of a call, raw or in the envelope of SNS.
pub fn notifications(event: &SqsEvent) -> Vec<Notified> {
    let notified = event.records.iter().map(|record| Notified {
        message_id: record.message_id.clone().unwrap_or_default(),
        message: Notification::read(record.body.as_deref().unwrap_or_default()),
    });
    notified.collect()
}

/// Acknowledges all messages of a call but these: they come again. The function's answer.
///
/// The event source mapping must have `ReportBatchItemFailures` among its `FunctionResponseTypes`. Name those that can't be
/// read too, so that the queue's redrive policy takes them away.
///
/// ```
/// use ees_projector::lambda::{acknowledge_all_but, notifications};
/// # let event: aws_lambda_events::sqs::SqsEvent = serde_json::from_str(r#"{"Records": []}"#)?;
/// let all = notifications(&event);
/// let failed = all.iter().filter(|notified| notified.message.is_err());
/// let answer = acknowledge_all_but(failed);
/// assert!(answer.batch_item_failures.is_empty());
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn acknowledge_all_but<'a>(failed: impl IntoIterator<Item = &'a Notified>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    response.set_failures(failed.into_iter().map(|notified| notified.message_id.as_str()));
    response
}
