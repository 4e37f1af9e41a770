//! What is committed, published to SNS topics.

use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use clap::Args;
use ees_projector::publisher::Publishing;
use ees_projector::sqs::DeadLetterQueue;
use ees_projector::{Projector, reactor};
use ees_store::publish::sns::Publisher;

use super::read_models::ReadModels;
use crate::exit::Outcome;

/// The reactors' names: each topic is told at its own pace.
const CHANGESETS: &str = "publish_changesets";
const EVENTS: &str = "publish_events";

#[derive(Args)]
pub(super) struct Publish {
    /// Publish each changeset to this FIFO topic of SNS, from now on; the region and the credentials are those of the
    /// environment
    #[arg(long, env = "EES_PUBLISH_CHANGESETS", value_name = "ARN")]
    publish_changesets: Option<String>,
    /// Publish each event to this FIFO topic of SNS, from now on
    #[arg(long, env = "EES_PUBLISH_EVENTS", value_name = "ARN")]
    publish_events: Option<String>,
    /// Put what a topic refuses for what it is into this queue of SQS, from where `ees dead-letters redrive` puts it back;
    /// without, its stream waits then
    #[arg(long, env = "EES_PUBLISH_DEAD_LETTERS", value_name = "URL")]
    publish_dead_letters: Option<String>,
}

impl Publish {
    pub(super) async fn register(
        self,
        projector: &mut Projector,
        read_models: &ReadModels,
        keep_audit: Duration,
    ) -> Outcome {
        if self.publish_changesets.is_none() && self.publish_events.is_none() {
            return Ok(());
        }
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let publisher = || {
            let publisher = Publisher::new(aws_sdk_sns::Client::new(&config));
            match &self.publish_dead_letters {
                Some(url) => {
                    let queue = DeadLetterQueue::new(aws_sdk_sqs::Client::new(&config), url);
                    publisher.with_dead_letters(Arc::new(queue))
                }
                None => publisher,
            }
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
        Ok(())
    }
}
