//! Notifications of typed streams, read from the event of a queue.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use ees_store::TraceContext;
use ees_store::publish::{Notification, UnreadableMessage};

use super::message_trace::trace_of;

/// A message of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notified {
    /// The id that the queue gave to the message.
    pub message_id: String,
    /// The notification, or why the message is none.
    pub message: Result<Notification, UnreadableMessage>,
    /// The trace that the append belongs to, if it has one.
    pub trace: Option<TraceContext>,
}

/// Reads the notifications of a call, delivered raw or in the envelope of SNS.
pub fn notifications(event: &SqsEvent) -> Vec<Notified> {
    let notified = event.records.iter().map(|record| Notified {
        message_id: record.message_id.clone().unwrap_or_default(),
        message: Notification::read(record.body.as_deref().unwrap_or_default()),
        trace: trace_of(record),
    });
    notified.collect()
}

/// Acknowledges all messages of a call except the failed ones, which are delivered again. Return the result
/// from the function.
///
/// The event source mapping must have `ReportBatchItemFailures` among its `FunctionResponseTypes`. Report
/// unreadable messages as failed too, so that the queue's redrive policy removes them.
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
