//! The reactors that publish to SNS topics.

use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use clap::Args;
use ees_projector::publisher::Publishing;
use ees_projector::sqs::DeadLetterQueue;
use ees_projector::{Projector, reactor};
use ees_store::EventStore;
use ees_store::http::Api;
use ees_store::publish::sns::Publisher;

use super::read_models::ReadModels;
use crate::exit::Outcome;

/// The names of the reactors. Each topic has its own, so that none waits for another.
const CHANGESETS: &str = "publish_changesets";
const EVENTS: &str = "publish_events";
const NOTIFICATIONS: &str = "publish_notifications";

#[derive(Args)]
pub(super) struct Publish {
    /// Publish each new changeset to this FIFO topic of SNS. Region and credentials come from the environment
    #[arg(long, env = "EES_PUBLISH_CHANGESETS", value_name = "ARN")]
    publish_changesets: Option<String>,
    /// Publish each new event to this FIFO topic of SNS
    #[arg(long, env = "EES_PUBLISH_EVENTS", value_name = "ARN")]
    publish_events: Option<String>,
    /// Publish a notification for each new changeset of a typed stream to this standard topic of SNS
    #[arg(long, env = "EES_PUBLISH_NOTIFICATIONS", value_name = "ARN")]
    publish_notifications: Option<String>,
    /// Send messages that a topic rejects permanently to this SQS queue; `ees dead-letters redrive` publishes
    /// them again. By default, the stream of a rejected message waits
    #[arg(long, env = "EES_PUBLISH_DEAD_LETTERS", value_name = "URL")]
    publish_dead_letters: Option<String>,
}

impl Publish {
    pub(super) async fn register(
        self,
        projector: &mut Projector,
        read_models: &ReadModels,
        keep_audit: Duration,
    ) -> Outcome<Option<DeadLetters>> {
        let topics = [&self.publish_changesets, &self.publish_events, &self.publish_notifications];
        if topics.iter().all(|topic| topic.is_none()) {
            return Ok(None);
        }
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let queue = self.publish_dead_letters.as_ref();
        let queue = queue.map(|url| DeadLetterQueue::new(aws_sdk_sqs::Client::new(&config), url));
        let topics = || Publisher::new(aws_sdk_sns::Client::new(&config));
        let publisher = || match &queue {
            Some(queue) => topics().with_dead_letters(Arc::new(queue.clone())),
            None => topics(),
        };
        let settings = reactor::Settings { keep_audit, ..Publishing::settings() };
        if let Some(topic) = self.publish_changesets {
            let publishing = Publishing::new(CHANGESETS, publisher().with_changesets_topic(topic));
            read_models.register_reactor(projector, publishing, settings)?;
        }
        if let Some(topic) = self.publish_events {
            let publishing = Publishing::new(EVENTS, publisher().with_events_topic(topic));
            read_models.register_reactor(projector, publishing, settings)?;
        }
        if let Some(topic) = self.publish_notifications {
            let publishing = Publishing::new(NOTIFICATIONS, publisher().with_notifications_topic(topic));
            read_models.register_reactor(projector, publishing, settings)?;
        }
        Ok(queue.clone().map(|queue| DeadLetters { queue, publisher: topics() }))
    }
}

/// The queue of what a topic rejects, and what publishes it again.
pub(super) struct DeadLetters {
    queue: DeadLetterQueue,
    publisher: Publisher,
}

impl DeadLetters {
    /// Shows them, and lets them be published again, over HTTP.
    pub(super) fn install(self, api: Api, store: Arc<dyn EventStore>) -> Api {
        ees_projector::http::install_dead_letters(api, self.queue, self.publisher, store)
    }
}
