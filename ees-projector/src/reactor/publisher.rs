//! The publisher: a reactor that sends changesets and events to SNS topics.

use std::error::Error;
use std::time::{Duration, Instant};

use ees_store::Changeset;
use ees_store::publish::sns::{Publisher, Unpublished};
use serde::de::IgnoredAny;

use crate::error::BoxError;
use crate::reactor::{self, Cause, Interrupted, Reactor, Unfinished};
use crate::subscription::Subscription;

/// Sends changesets and events to SNS topics, starting with what is committed from now on. On DynamoDB use a
/// function on the table's stream instead.
///
/// # Guarantees
/// At least once, in the order of each stream. A crash sends some messages again; the topics remove
/// repetitions within five minutes by their content.
///
/// # Failures
/// Transient faults are retried for ever and hold up everything after them; see its status. A message that a
/// topic refuses because of its content parks its stream. It is retried for a day and then given up, unless
/// the [`Publisher`] writes dead letters.
///
/// ```no_run
/// # fn example(client: aws_sdk_sns::Client, log: std::sync::Arc<dyn ees_store::ChangesetLog>) -> Result<(), Box<dyn std::error::Error>> {
/// use ees_projector::{Projector, publisher::Publishing, sqlite::Database};
/// use ees_store::publish::sns::Publisher;
///
/// let publisher = Publisher::new(client).with_changesets_topic("arn:aws:sns:eu-west-1:123456789012:changesets.fifo");
/// let mut projector = Projector::new(log);
/// projector.reactor(Publishing::new("publisher", publisher), Database::open("publisher.db")?, Publishing::settings())?;
/// # Ok(())
/// # }
/// ```
pub struct Publishing {
    name: String,
    publisher: Publisher,
    subscription: Subscription,
}

/// The most changesets in progress at once. Messages of different streams share a call.
const CHANGESETS_AT_ONCE: usize = 200;

/// After this time, the reactor stores its checkpoint and its errors.
const AT_ONCE_MAX: Duration = Duration::from_secs(10);

impl Publishing {
    /// Creates a publisher with this name. Use one for each set of topics.
    pub fn new(name: impl Into<String>, publisher: Publisher) -> Self {
        Self { name: name.into(), publisher, subscription: Subscription::default() }
    }

    /// Sets which changesets it publishes. Default: all changesets.
    #[must_use]
    pub fn with_subscription(self, subscription: Subscription) -> Self {
        Self { subscription, ..self }
    }

    /// Returns the settings for a publisher: start at the end of the log, 200 changesets at once.
    pub fn settings() -> reactor::Settings {
        reactor::Settings { batch_changesets_max: CHANGESETS_AT_ONCE, ..reactor::Settings::default() }
    }
}

impl Reactor for Publishing {
    type Event = IgnoredAny;

    fn name(&self) -> &str {
        &self.name
    }

    fn subscription(&self) -> Subscription {
        self.subscription.clone()
    }

    async fn react(&self, cause: Cause<'_, IgnoredAny>) -> Result<(), BoxError> {
        self.react_batch(&[cause]).await.map_err(|interrupted| interrupted.error)
    }

    async fn react_batch(&self, causes: &[Cause<'_, IgnoredAny>]) -> Result<(), Interrupted> {
        // A changeset is published as a whole, whichever of its events passed the filter.
        let mut changesets: Vec<&Changeset> = causes.iter().map(|cause| cause.changeset()).collect();
        changesets.dedup_by(|one, other| std::ptr::eq(*one, *other));
        let Err(unpublished) = self.publisher.publish(&changesets, Instant::now() + AT_ONCE_MAX).await else {
            return Ok(());
        };
        let left = changesets.get(unpublished.done);
        let first =
            causes.iter().position(|cause| left.is_some_and(|left| std::ptr::eq(*left, cause.changeset())));
        let error = if unpublished.goes_on { Unfinished.into() } else { unpublished.into() };
        Err(Interrupted { done: first.unwrap_or(0), error })
    }

    fn is_transient(&self, error: &(dyn Error + 'static)) -> bool {
        error.downcast_ref::<Unpublished>().is_some_and(|unpublished| unpublished.passes)
    }
}
