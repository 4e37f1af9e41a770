//! The publisher of a DynamoDB store: from the table's stream to the topics.

use std::time::{Duration, Instant};

use aws_lambda_events::dynamodb::Event as Records;
use aws_lambda_events::streams::DynamoDbEventResponse;
use ees_store::publish::sns::Publisher;
use lambda_runtime::{Error, LambdaEvent, service_fn};

use super::function::deadline;
use super::records;

/// Publishes the changesets that a table's stream tells of, in its order.
///
/// What passes is tried again until the deadline; then the first record that is not done with is reported, so that it and all
/// later ones come again. What a topic refuses for what it is goes to the [`Publisher`]'s dead letters; without, it holds up its
/// shard until the mapping's retries are over.
pub async fn publish_records(
    publisher: &Publisher,
    event: &Records,
    deadline: Instant,
) -> DynamoDbEventResponse {
    let mut response = DynamoDbEventResponse::default();
    let (mut changesets, mut numbers, mut unreadable) = (Vec::new(), Vec::new(), None);
    for record in &event.records {
        let number = record.change.sequence_number.clone();
        match records::changeset(record) {
            Ok(None) => {}
            Ok(Some(changeset)) => {
                changesets.push(changeset);
                numbers.push(number);
            }
            Err(error) => {
                tracing::error!(record = record.event_id, error, "a record that can't be read");
                unreadable = Some(number);
                // What lies before it can be published.
                break;
            }
        }
    }
    match publisher.publish(&changesets, deadline).await {
        Ok(()) => {
            if let Some(number) = unreadable {
                response.batch_item_failures.push(records::failure(number));
            }
        }
        Err(unpublished) => {
            if unpublished.goes_on {
                tracing::info!("more than fits the time: the next call goes on");
            } else {
                tracing::error!(error = %unpublished, "changesets could not be published");
            }
            response
                .batch_item_failures
                .push(records::failure(numbers.get(unpublished.done).cloned().flatten()));
        }
    }
    response
}

/// Serves the stream of a table, until the runtime ends the process: the one line of `main`. Ends its work 2 s before its
/// time is over.
///
/// # Errors
/// When there is no Lambda runtime around it.
pub async fn serve_publisher(publisher: Publisher) -> Result<(), Error> {
    let publisher = &publisher;
    lambda_runtime::run(service_fn(|call: LambdaEvent<Records>| async move {
        let deadline = deadline(&call.context, Duration::from_secs(2));
        Ok::<_, Error>(publish_records(publisher, &call.payload, deadline).await)
    }))
    .await
}
