//! The publisher of a DynamoDB store: publishes from the table's stream to the topics.

use std::time::{Duration, Instant};

use aws_lambda_events::dynamodb::{Event as Records, EventRecord};
use aws_lambda_events::streams::DynamoDbEventResponse;
use ees_store::publish::sns::Publisher;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;

use super::function::deadline;
use super::invocation::traced;
use super::records;

/// Publishes the changesets in a batch of the table's stream, in order.
///
/// Transient errors are retried until the deadline. Then the first record that is not published is reported,
/// and it and all later ones are delivered again. When a topic refuses a message because of its content, the
/// message goes to the [`Publisher`]'s dead letters. Without dead letters, it holds up its shard until the
/// mapping's retries are used up.
///
/// An unreadable record (somebody wrote the item by hand) would stay unreadable. It is logged as an error. If
/// its keys can be read and there is a place for dead letters, it also becomes a dead letter for each topic.
pub async fn publish_records(
    publisher: &Publisher,
    event: &Records,
    deadline: Instant,
) -> DynamoDbEventResponse {
    let (mut changesets, mut places, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    for (place, record) in event.records.iter().enumerate() {
        match records::changeset(record) {
            Ok(None) => {}
            Ok(Some(changeset)) => {
                changesets.push(changeset);
                places.push(place);
            }
            Err(error) => {
                tracing::error!(
                    record = record.event_id,
                    error,
                    "a record of the table's stream can't be read"
                );
                unreadable.push((place, error));
            }
        }
    }
    let mut failed = None;
    if let Err(unpublished) = publisher.publish(&changesets, deadline).await {
        if unpublished.goes_on {
            tracing::info!("the time is over; the next call publishes the rest");
        } else {
            tracing::error!(error = %unpublished, "changesets could not be published");
        }
        // Without an index, all records are delivered again.
        failed = Some(places.get(unpublished.done).copied().unwrap_or(0));
    }
    for (place, error) in unreadable {
        // Records after a failure are delivered again, and their dead letters are written then.
        if failed.is_some_and(|failed| failed < place) {
            break;
        }
        let given_up = give_up(publisher, &event.records[place], &error);
        let given_up = tokio::time::timeout_at(deadline.into(), given_up).await;
        if let Err(error) = given_up.unwrap_or_else(|_| Err("no answer before the deadline".into())) {
            tracing::error!(error, "a dead letter could not be kept");
            failed = Some(place);
            break;
        }
    }
    let mut response = DynamoDbEventResponse::default();
    if let Some(record) = failed.and_then(|place| event.records.get(place)) {
        response.batch_item_failures.push(records::failure(record.change.sequence_number.clone()));
    }
    response
}

/// The keys of a record, which identify its changeset.
#[derive(Deserialize)]
struct Named {
    stream_id: String,
    changeset_id: u64,
}

/// Writes dead letters for an unreadable record, if its keys can be read.
async fn give_up(publisher: &Publisher, record: &EventRecord, error: &str) -> Result<(), String> {
    let Ok(Named { stream_id, changeset_id }) = serde_dynamo::from_item(record.change.keys.clone()) else {
        return Ok(());
    };
    let error = format!("the record can't be read: {error}");
    let kept = publisher.give_up(&stream_id, changeset_id.into(), &error).await;
    if !kept.map_err(|e| e.to_string())? {
        tracing::error!(
            stream = stream_id,
            changeset = changeset_id,
            "a changeset will not be published, because its record can't be read"
        );
    }
    Ok(())
}

/// Serves the stream of a table until the runtime ends the process. This is the one line of `main`. Stops 2 s
/// before the function's timeout.
///
/// # Errors
/// When the process does not run in a Lambda runtime.
pub async fn serve_publisher(publisher: Publisher) -> Result<(), Error> {
    let publisher = &publisher;
    lambda_runtime::run(service_fn(|call: LambdaEvent<Records>| async move {
        let deadline = deadline(&call.context, Duration::from_secs(2));
        let publishing = async { Ok(publish_records(publisher, &call.payload, deadline).await) };
        traced(&call.context, publishing).await
    }))
    .await
}
