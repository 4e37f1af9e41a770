//! The publisher of a DynamoDB store: from the table's stream to the topics.

use std::time::{Duration, Instant};

use aws_lambda_events::dynamodb::{Event as Records, EventRecord};
use aws_lambda_events::streams::DynamoDbEventResponse;
use ees_store::publish::sns::Publisher;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;

use super::function::deadline;
use super::records;

/// Publishes the changesets that a table's stream tells of, in its order.
///
/// What passes is tried again until the deadline; then the first record that is not done with is reported, so that it and all
/// later ones come again. What a topic refuses for what it is goes to the [`Publisher`]'s dead letters; without, it holds up its
/// shard until the mapping's retries are over.
///
/// A record of a changeset that can't be read, as of an item that somebody wrote by hand, will not be readable the next time
/// either: it becomes a dead letter for each topic if it can be named and there is somewhere to put it, and is said in the logs
/// in any case.
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
                tracing::error!(record = record.event_id, error, "a record that can't be read");
                unreadable.push((place, error));
            }
        }
    }
    let mut failed = None;
    if let Err(unpublished) = publisher.publish(&changesets, deadline).await {
        if unpublished.goes_on {
            tracing::info!("more than fits the time: the next call goes on");
        } else {
            tracing::error!(error = %unpublished, "changesets could not be published");
        }
        // Without a place all of them come again.
        failed = Some(places.get(unpublished.done).copied().unwrap_or(0));
    }
    for (place, error) in unreadable {
        // What lies behind a failure comes again, and its letter is written then.
        if failed.is_some_and(|failed| failed < place) {
            break;
        }
        let given_up = give_up(publisher, &event.records[place], &error);
        let given_up = tokio::time::timeout_at(deadline.into(), given_up).await;
        if let Err(error) = given_up.unwrap_or_else(|_| Err("no answer in time".into())) {
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

/// Which changeset a record is about: its keys.
#[derive(Deserialize)]
struct Named {
    stream_id: String,
    changeset_id: u64,
}

/// Leaves letters about a record that can't be read, as far as it says which it is.
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
            "will not be published: it can't be read"
        );
    }
    Ok(())
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
