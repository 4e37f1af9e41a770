//! Publishes changesets, events and notifications to the topics.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::dynamodb::Event as Records;
use ees_projector::lambda::{deadline, publish_records};
use ees_projector::sqs::DeadLetterQueue;
use ees_store::publish::sns::Publisher;
use lambda_runtime::{Error, LambdaEvent};

use crate::environment::given;
use crate::{Environment, calls};

/// The time to answer after the last message was published.
const MARGIN: Duration = Duration::from_secs(2);

/// Serves the table's stream until the runtime ends the process.
///
/// # Errors
/// When the process does not run in a Lambda runtime.
pub async fn serve(environment: &Environment) -> Result<(), Error> {
    let mut publisher = topics(environment);
    if let Some(queue) = dead_letters(environment) {
        publisher = publisher.with_dead_letters(Arc::new(queue));
    }
    let publisher = &publisher;
    calls::serve(environment, |call: LambdaEvent<Records>| async move {
        let deadline = deadline(&call.context, MARGIN);
        Ok(publish_records(publisher, &call.payload, deadline).await)
    })
    .await
}

/// What publishes to the stack's topics.
pub(crate) fn topics(environment: &Environment) -> Publisher {
    let mut publisher = Publisher::new(aws_sdk_sns::Client::new(&environment.config));
    if let Some(topic) = given("EES_CHANGESETS_TOPIC") {
        publisher = publisher.with_changesets_topic(topic);
    }
    if let Some(topic) = given("EES_EVENTS_TOPIC") {
        publisher = publisher.with_events_topic(topic);
    }
    if let Some(topic) = given("EES_NOTIFICATIONS_TOPIC") {
        publisher = publisher.with_notifications_topic(topic);
    }
    publisher
}

/// What the topics rejected.
pub(crate) fn dead_letters(environment: &Environment) -> Option<DeadLetterQueue> {
    let queue = |url| DeadLetterQueue::new(aws_sdk_sqs::Client::new(&environment.config), url);
    given("EES_DEAD_LETTERS").map(queue)
}
