//! Publishes messages to SNS topics.

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
use crate::{Changeset, ChangesetId, Quarantined, Timestamp};

/// Publishes changesets and their events to FIFO topics, and notifications of typed streams to a standard
/// one.
///
/// # Guarantees
/// - A topic receives the messages of a stream in order: the publisher sends the next one after the topic has
///   accepted the previous one.
/// - The publisher retries transient errors (throttling, a lost connection, a missing permission) for that
///   stream only; the other streams continue.
/// - If the answer to a call is lost, the publisher sends the messages again, and the topic removes the
///   duplicates. It must have content-based deduplication on.
/// - The publisher and its clones remember, in memory, which messages of unfinished changesets a topic has
///   accepted, for up to some 10,000 changesets. Given the same changesets again, they continue after those.
///
/// A message that a topic refuses permanently becomes a dead letter, if there is a store for them; otherwise
/// it is an error.
///
/// It uses the client that you give it, so you choose region, credentials and endpoint.
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
    fn messages(self, changeset: &Changeset) -> Result<Vec<Message>, Quarantined> {
        Ok(match self {
            Self::Changesets => vec![Message::of_changeset(changeset)?],
            Self::Events => Message::of_events(changeset)?.collect(),
            Self::Notifications => Message::of_notification(changeset).into_iter().collect(),
        })
    }
}

/// Why not all changesets were published.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unpublished {
    /// How many changesets at the front are completely done. Some of the later ones may be done too.
    pub done: usize,
    /// Whether a retry may succeed. If not, an operator has to act.
    pub passes: bool,
    /// Whether nothing failed, and some messages were accepted, but the deadline came first. The next call
    /// continues there.
    pub goes_on: bool,
    /// The topic's error.
    pub error: String,
}

/// It has no message, and will have none until it is repaired.
fn refused(quarantined: &Quarantined) -> Unpublished {
    Unpublished { done: 0, passes: false, goes_on: false, error: quarantined.to_string() }
}

impl Publisher {
    /// A publisher without topics. An attempt at a call may take 5 seconds by default; the client's
    /// configuration can set another limit. The publisher turns the client's own retries off, because it
    /// retries each stream separately.
    #[expect(clippy::needless_pass_by_value, reason = "a client is a handle, and given as everywhere else")]
    pub fn new(client: Client) -> Self {
        Self {
            client: client::bounded(&client),
            topics: Vec::new(),
            dead_letters: None,
            progress: Progress::default(),
        }
    }

    /// Publishes each changeset to this FIFO topic.
    #[must_use]
    pub fn with_changesets_topic(self, arn: impl Into<String>) -> Self {
        self.with(Of::Changesets, arn.into())
    }

    /// Publishes each event to this FIFO topic.
    #[must_use]
    pub fn with_events_topic(self, arn: impl Into<String>) -> Self {
        self.with(Of::Events, arn.into())
    }

    /// Publishes a notification to this standard topic for each changeset of a typed stream whose id is a
    /// UUID.
    #[must_use]
    pub fn with_notifications_topic(self, arn: impl Into<String>) -> Self {
        self.with(Of::Notifications, arn.into())
    }

    /// Stores messages here that a topic refuses permanently. Default: such a message is an error.
    #[must_use]
    pub fn with_dead_letters(self, dead_letters: Arc<dyn DeadLetters>) -> Self {
        Self { dead_letters: Some(dead_letters), ..self }
    }

    fn with(mut self, of: Of, arn: String) -> Self {
        self.topics.push(Topic { arn, of });
        self
    }

    /// Publishes changesets, those of a stream in the order given. It retries transient errors until the
    /// deadline, which also cancels a call in progress.
    ///
    /// # Errors
    /// [`Unpublished`] says how many changesets at the front are done, and whether to retry.
    ///
    /// # Cancellation
    /// Safe to repeat within the topics' deduplication interval of five minutes: messages that a topic has
    /// accepted are sent again, and the topic removes the duplicates.
    pub async fn publish<C: AsRef<Changeset>>(
        &self,
        changesets: &[C],
        deadline: Instant,
    ) -> Result<(), Unpublished> {
        let mut done = 0;
        while let Some(next) = changesets.get(done) {
            if let Some(quarantined) = next.as_ref().events.quarantined() {
                self.leave_out(next.as_ref(), quarantined, done).await?;
                done += 1;
                continue;
            }
            let is_readable = |it: &&C| it.as_ref().events.quarantined().is_none();
            let end = done + changesets[done..].iter().take_while(is_readable).count();
            let published = self.publish_readable(&changesets[done..end], deadline).await;
            published.map_err(|unpublished| Unpublished { done: done + unpublished.done, ..unpublished })?;
            done = end;
        }
        Ok(())
    }

    /// Stores dead letters about a quarantined changeset; without a place for them, an operator has to act.
    async fn leave_out(
        &self,
        changeset: &Changeset,
        quarantined: &Quarantined,
        done: usize,
    ) -> Result<(), Unpublished> {
        let Changeset { stream_id, changeset_id, .. } = changeset;
        let error = format!("changeset {changeset_id} of stream {stream_id}: {quarantined}");
        match self.give_up(stream_id.as_str(), *changeset_id, &error).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Unpublished { done, passes: false, goes_on: false, error }),
            Err(failed) => {
                Err(Unpublished { done, passes: true, goes_on: false, error: format!("{error}: {failed}") })
            }
        }
    }

    async fn publish_readable<C: AsRef<Changeset>>(
        &self,
        changesets: &[C],
        deadline: Instant,
    ) -> Result<(), Unpublished> {
        let mut portions = Vec::new();
        for (number, changeset) in changesets.iter().enumerate() {
            for (topic, Topic { of, .. }) in self.topics.iter().enumerate() {
                let messages = of.messages(changeset.as_ref()).map_err(|it| refused(&it))?;
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

    /// Stores a dead letter for each topic about a changeset that can't be read, so that later changesets can
    /// be published. Returns `false` if the publisher has no store for dead letters: then the caller has to
    /// report it.
    ///
    /// # Errors
    /// Why a letter could not be stored.
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

    /// Publishes the message of a dead letter to its topic again. `changeset` is the one that the letter
    /// names.
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
            Some(event_id) => Message::of_events(changeset)
                .map(|messages| messages.filter(|it| it.event_id() == Some(event_id)).collect()),
        };
        let messages = messages.map_err(|it| refused(&it))?;
        // When an unreadable changeset was given up, it was not known whether it has a notification.
        if messages.is_empty() && !is_notification {
            let error = "the changeset has no such message".to_owned();
            return Err(Unpublished { done: 0, passes: false, goes_on: false, error });
        }
        let only = Self::new(self.client.clone()).with(Of::Changesets, letter.topic_arn.clone());
        let portion = Portion { number: 0, topic: 0, messages, taken: 0 };
        only.send_all(&mut Outbox::of(portion.waiting()), deadline).await
    }
}
