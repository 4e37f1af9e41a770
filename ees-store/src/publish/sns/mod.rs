//! Messages onto SNS topics.

mod call;
mod client;
mod pace;
mod progress;
mod refusal;
mod sending;

use std::sync::Arc;
use std::time::Instant;

use aws_sdk_sns::Client;

use self::progress::{Portion, Progress};
use super::outbox::Outbox;
use super::{DeadLetter, DeadLetters, Message};
use crate::{Changeset, ChangesetId, Timestamp};

/// Publishes changesets and their events to FIFO topics, and notifications of typed streams to a standard one.
///
/// Guarantees: of each stream, the messages of a topic are sent in order, the next one when the topic took the one before.
/// What passes (throttling, a lost connection, a topic that may not be written yet) is tried again, for that stream only,
/// while the others go on. A message that was taken and whose answer was lost is sent again, and removed by the topic, which
/// must have content-based deduplication on. What a topic took of changesets that are not done with is remembered, up to some
/// 10,000 of them, by the publisher and its clones: given the same changesets again it goes on behind that. A crash forgets it.
///
/// What a topic refuses for what it is goes to the dead letters, if there are any; without, it is an error.
///
/// Connects with the client it is given: the region, the credentials and the endpoint are yours to choose.
///
/// ```no_run
/// # async fn example(config: &aws_sdk_sns::Config, changesets: Vec<ees_store::Changeset>) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::{Duration, Instant};
/// use ees_store::publish::sns::Publisher;
///
/// let client = aws_sdk_sns::Client::from_conf(config.clone());
/// let publisher = Publisher::new(client)
///     .with_changesets_topic("arn:aws:sns:eu-west-1:123456789012:changesets.fifo")
///     .with_events_topic("arn:aws:sns:eu-west-1:123456789012:events.fifo");
/// publisher.publish(&changesets, Instant::now() + Duration::from_secs(10)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Publisher {
    client: Client,
    topics: Vec<Topic>,
    dead_letters: Option<Arc<dyn DeadLetters>>,
    progress: Progress,
}

#[derive(Clone)]
struct Topic {
    arn: String,
    of: Of,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Changesets,
    Events,
    Notifications,
}

impl Of {
    fn messages(self, changeset: &Changeset) -> Vec<Message> {
        match self {
            Self::Changesets => vec![Message::of_changeset(changeset)],
            Self::Events => Message::of_events(changeset).collect(),
            Self::Notifications => Message::of_notification(changeset).into_iter().collect(),
        }
    }
}

/// What was not published.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unpublished {
    /// So many changesets at the front are done with, all of them. Of the later ones, some may be.
    pub done: usize,
    /// Whether it may be otherwise the next time. If not, somebody has to look.
    pub passes: bool,
    /// Whether nothing went wrong, and some was taken, but there was more than fits the time. The next call goes on there.
    pub goes_on: bool,
    /// What the topic said.
    pub error: String,
}

impl Publisher {
    /// A publisher without topics. An attempt of a call has 5 s, unless the client says otherwise; its own retries are off, since
    /// each stream is tried again by itself.
    #[expect(clippy::needless_pass_by_value, reason = "a client is a handle, and given as everywhere else")]
    pub fn new(client: Client) -> Self {
        Self {
            client: client::bounded(&client),
            topics: Vec::new(),
            dead_letters: None,
            progress: Progress::default(),
        }
    }

    /// Each changeset goes to this topic.
    #[must_use]
    pub fn with_changesets_topic(self, arn: impl Into<String>) -> Self {
        self.with(Of::Changesets, arn.into())
    }

    /// Each event goes to this topic.
    #[must_use]
    pub fn with_events_topic(self, arn: impl Into<String>) -> Self {
        self.with(Of::Events, arn.into())
    }

    /// For each changeset of a typed stream whose id is a UUID, a notification goes to this standard topic.
    #[must_use]
    pub fn with_notifications_topic(self, arn: impl Into<String>) -> Self {
        self.with(Of::Notifications, arn.into())
    }

    /// What a topic refuses for what it is goes here.
    #[must_use]
    pub fn with_dead_letters(self, dead_letters: Arc<dyn DeadLetters>) -> Self {
        Self { dead_letters: Some(dead_letters), ..self }
    }

    fn with(mut self, of: Of, arn: String) -> Self {
        self.topics.push(Topic { arn, of });
        self
    }

    /// Publishes changesets: of each stream in the order given. What passes is tried again until the deadline, at which a call
    /// that is under way is cut off.
    ///
    /// # Errors
    /// [`Unpublished`] says how many at the front are done with, and whether to try again.
    ///
    /// # Cancellation
    /// Safe to repeat: what was taken is sent again, and removed by the topics within their five minutes.
    pub async fn publish<C: AsRef<Changeset>>(
        &self,
        changesets: &[C],
        deadline: Instant,
    ) -> Result<(), Unpublished> {
        let mut portions = Vec::new();
        for (number, changeset) in changesets.iter().enumerate() {
            for (topic, Topic { of, .. }) in self.topics.iter().enumerate() {
                let messages = of.messages(changeset.as_ref());
                portions.push(Portion { number, topic, messages, taken: 0 });
            }
        }
        let arn = |topic: usize| self.topics[topic].arn.as_str();
        self.progress.recall(&mut portions, arn);
        let mut outbox = Outbox::of(portions.iter().flat_map(Portion::waiting));
        let published = self.send_all(&mut outbox, deadline).await;
        let done = published.as_ref().map_or_else(|unpublished| unpublished.done, |()| changesets.len());
        self.progress.note(&portions, &outbox, done, arn);
        published
    }

    /// Leaves a dead letter for each topic about a changeset that can't be read, so that what follows it can go on. `false`
    /// when there is nowhere to leave them: then it is for the caller to say so.
    ///
    /// # Errors
    /// Why one could not be kept.
    pub async fn give_up(
        &self,
        stream_id: &str,
        changeset_id: ChangesetId,
        error: &str,
    ) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        let Some(dead_letters) = &self.dead_letters else { return Ok(false) };
        for Topic { arn, of } in &self.topics {
            let letter = DeadLetter {
                topic_arn: arn.clone(),
                stream_id: stream_id.to_owned(),
                changeset_id,
                event_id: None,
                each_event: *of == Of::Events,
                error: error.to_owned(),
                at: Timestamp::now(),
            };
            dead_letters.keep(&letter).await?;
        }
        Ok(true)
    }

    /// Puts a dead letter's message on its topic once more. The changeset is the one it names.
    ///
    /// # Errors
    /// [`Unpublished`].
    pub async fn redrive(
        &self,
        letter: &DeadLetter,
        changeset: &Changeset,
        deadline: Instant,
    ) -> Result<(), Unpublished> {
        // Only a FIFO topic may be named so, and only those of changesets and events are FIFO.
        let is_notification = !letter.topic_arn.ends_with(".fifo");
        let messages = match letter.event_id {
            None if is_notification => Of::Notifications.messages(changeset),
            None if letter.each_event => Of::Events.messages(changeset),
            None => Of::Changesets.messages(changeset),
            Some(event_id) => {
                Message::of_events(changeset).filter(|it| it.event_id() == Some(event_id)).collect()
            }
        };
        // Whoever gave up a changeset that can't be read did not know whether it has a notification.
        if messages.is_empty() && !is_notification {
            let error = "the changeset has no such message".to_owned();
            return Err(Unpublished { done: 0, passes: false, goes_on: false, error });
        }
        let only = Self::new(self.client.clone()).with(Of::Changesets, letter.topic_arn.clone());
        let portion = Portion { number: 0, topic: 0, messages, taken: 0 };
        only.send_all(&mut Outbox::of(portion.waiting()), deadline).await
    }
}
