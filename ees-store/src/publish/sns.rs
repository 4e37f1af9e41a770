//! Messages onto SNS topics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_sns::Client;
use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::{FutureExt, StreamExt};

use super::outbox::{Batch, Outbox, Waiting};
use super::{DeadLetter, DeadLetters, Message};
use crate::Changeset;

/// Calls under way at a time.
const CALLS_AT_ONCE: usize = 8;
/// What may pass is tried again after so long, and then ever later.
const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// Publishes changesets and their events to FIFO topics, and notifications of typed streams to a standard one.
///
/// Guarantees: of each stream, the messages of a topic are sent in order, the next one when the topic took the one before.
/// What passes (throttling, a lost connection, a topic that may not be written yet) is tried again, for that stream only,
/// while the others go on. A message that was taken and whose answer was lost is sent again, and removed by the topic, which
/// must have content-based deduplication on.
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

/// What was not published.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unpublished {
    /// So many changesets at the front are done with, all of them. Of the later ones, some may be.
    pub done: usize,
    /// Whether it may be otherwise the next time. If not, somebody has to look.
    pub passes: bool,
    /// What the topic said.
    pub error: String,
}

impl Publisher {
    /// A publisher without topics.
    pub fn new(client: Client) -> Self {
        Self { client, topics: Vec::new(), dead_letters: None }
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

    /// Publishes changesets: of each stream in the order given. What passes is tried again until the deadline.
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
        let mut messages = Vec::new();
        for (number, changeset) in changesets.iter().enumerate() {
            for (topic, Topic { of, .. }) in self.topics.iter().enumerate() {
                match of {
                    Of::Changesets => {
                        messages.push((number, topic, Message::of_changeset(changeset.as_ref())));
                    }
                    Of::Events => {
                        let events = Message::of_events(changeset.as_ref());
                        messages.extend(events.map(|message| (number, topic, message)));
                    }
                    Of::Notifications => {
                        let notification = Message::of_notification(changeset.as_ref());
                        messages.extend(notification.map(|message| (number, topic, message)));
                    }
                }
            }
        }
        self.send_all(&messages, deadline).await
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
        let message = match letter.event_id {
            None if is_notification => Message::of_notification(changeset),
            None => Some(Message::of_changeset(changeset)),
            Some(event_id) => Message::of_events(changeset).find(|it| it.event_id() == Some(event_id)),
        };
        let gone =
            || Unpublished { done: 0, passes: false, error: "the changeset has no such message".to_owned() };
        let message = message.ok_or_else(gone)?;
        let topic = Topic { arn: letter.topic_arn.clone(), of: Of::Changesets };
        let only = Self { client: self.client.clone(), topics: vec![topic], dead_letters: None };
        only.send_all(&[(0, 0, message)], deadline).await
    }

    async fn send_all(
        &self,
        messages: &[(usize, usize, Message)],
        deadline: Instant,
    ) -> Result<(), Unpublished> {
        let waiting = messages.iter();
        let waiting =
            waiting.map(|(number, topic, message)| Waiting { number: *number, topic: *topic, message });
        let mut outbox = Outbox::of(waiting);
        let mut paces: Vec<Pace> = (0..outbox.groups()).map(|_| Pace::default()).collect();
        let mut trouble: Option<Unpublished> = None;
        loop {
            let now = Instant::now();
            let batches = outbox.batches(|group| paces[group].may_go(now));
            if batches.is_empty() {
                let Some(next) = paces.iter().filter_map(Pace::next).min() else { break };
                tokio::time::sleep_until(next.into()).await;
                continue;
            }
            // Boxed: the compiler can't see yet that such a stream of calls is `Send`.
            let calls: Vec<_> = batches.iter().map(|batch| self.send(batch).boxed()).collect();
            let calls = futures::stream::iter(calls).buffer_unordered(CALLS_AT_ONCE);
            let answers: Vec<_> = calls.collect().await;
            for (group, answer) in answers.into_iter().flatten() {
                match answer {
                    Ok(()) => {
                        outbox.done(group);
                        paces[group] = Pace::default();
                    }
                    Err(Failed { passes, error }) => {
                        tracing::warn!(error, passes, "a message could not be published");
                        let goes_on = passes && paces[group].wait(deadline);
                        if !goes_on {
                            paces[group] = Pace::Stopped;
                            // What does not pass is what somebody has to see.
                            if trouble.as_ref().is_none_or(|known| known.passes && !passes) {
                                trouble = Some(Unpublished { done: 0, passes, error });
                            }
                        }
                    }
                }
            }
        }
        let done = outbox.left().map(|waiting| waiting.number).min();
        match (trouble, done) {
            (Some(trouble), Some(done)) => Err(Unpublished { done, ..trouble }),
            _ => Ok(()),
        }
    }

    /// What became of each message, by its group.
    async fn send(&self, batch: &Batch<'_>) -> Vec<(usize, Result<(), Failed>)> {
        let answers = match self.call(batch.topic, &batch.messages).await {
            Err(error) if error.about_messages && batch.messages.len() > 1 => {
                // One of them is to blame: alone, it can be told from the others.
                let mut answers = Vec::with_capacity(batch.messages.len());
                for message in &batch.messages {
                    answers.extend(one_each(&[*message], self.call(batch.topic, &[*message]).await));
                }
                answers
            }
            answered => one_each(&batch.messages, answered),
        };
        let mut outcomes = Vec::with_capacity(answers.len());
        for ((group, message), answer) in answers {
            let outcome = match answer {
                Err(refused) if refused.about_messages => self.bury(batch.topic, message, refused.text).await,
                Err(passing) => Err(Failed { passes: true, error: passing.text }),
                Ok(()) => Ok(()),
            };
            outcomes.push((group, outcome));
        }
        outcomes
    }

    /// Keeps what the topic will never take, so that the others can go on.
    async fn bury(&self, topic: usize, message: &Message, error: String) -> Result<(), Failed> {
        let Some(dead_letters) = &self.dead_letters else { return Err(Failed { passes: false, error }) };
        let letter = DeadLetter::of(message, &self.topics[topic].arn, &error);
        tracing::error!(stream = %message.stream_id(), changeset = %message.changeset_id(), error, "a dead letter");
        dead_letters.keep(&letter).await.map_err(|e| Failed {
            passes: true,
            error: format!("the dead letter could not be kept: {e} (it is one because: {error})"),
        })
    }

    async fn call(
        &self,
        topic: usize,
        messages: &[(usize, &Message)],
    ) -> Result<Vec<Result<(), Refused>>, Refused> {
        let entries = messages.iter().enumerate().map(|(id, (_, message))| entry(id, message));
        let entries: Result<Vec<_>, _> = entries.collect();
        // Only a missing member fails, and none is.
        let entries = entries.map_err(|e| Refused { about_messages: true, text: e.to_string() })?;
        let call = self.client.publish_batch().topic_arn(&self.topics[topic].arn);
        let answer = call.set_publish_batch_request_entries(Some(entries)).send().await;
        let answer = answer.map_err(|e| Refused::of_call(&e))?;
        let lost = || Refused { about_messages: false, text: "the answer does not mention it".to_owned() };
        let mut outcomes: Vec<Result<(), Refused>> = messages.iter().map(|_| Err(lost())).collect();
        for taken in answer.successful() {
            if let Some(outcome) = number(taken.id()).and_then(|id| outcomes.get_mut(id)) {
                *outcome = Ok(());
            }
        }
        for failed in answer.failed() {
            if let Some(outcome) = number(Some(failed.id())).and_then(|id| outcomes.get_mut(id)) {
                let text = format!("{}: {}", failed.code(), failed.message().unwrap_or_default());
                let about_messages = failed.sender_fault() && is_about_messages(failed.code());
                *outcome = Err(Refused { about_messages, text });
            }
        }
        Ok(outcomes)
    }
}

struct Failed {
    passes: bool,
    error: String,
}

/// What a topic said no to.
#[derive(Clone)]
struct Refused {
    /// Whether it is for what the messages are; otherwise it may be otherwise the next time, if only because somebody
    /// mends the topic or its policy.
    about_messages: bool,
    text: String,
}

impl Refused {
    fn of_call<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let about_messages = error.code().is_some_and(is_about_messages);
        let text = aws_sdk_sns::error::DisplayErrorContext(error).to_string();
        Self { about_messages, text }
    }
}

fn is_about_messages(code: &str) -> bool {
    const CODES: [&str; 5] = [
        "InvalidParameter",
        "ParameterValueInvalid",
        "Validation",
        "InvalidMessageContents",
        "BatchRequestTooLong",
    ];
    CODES.iter().any(|known| code.starts_with(known))
}

type Answered<'a> = ((usize, &'a Message), Result<(), Refused>);

/// What was said of a whole call is said of each of its messages.
fn one_each<'a>(
    messages: &[(usize, &'a Message)],
    answered: Result<Vec<Result<(), Refused>>, Refused>,
) -> Vec<Answered<'a>> {
    let answers = answered.unwrap_or_else(|error| vec![Err(error); messages.len()]);
    messages.iter().copied().zip(answers).collect()
}

fn entry(id: usize, message: &Message) -> Result<PublishBatchRequestEntry, aws_sdk_sns::error::BuildError> {
    let mut entry = PublishBatchRequestEntry::builder().id(id.to_string()).message(message.body());
    if !message.is_notification() {
        entry = entry.message_group_id(message.group_id());
    }
    for (name, data_type, value) in message.attributes() {
        let value = MessageAttributeValue::builder().data_type(data_type).string_value(value).build()?;
        entry = entry.message_attributes(name, value);
    }
    entry.build()
}

fn number(id: Option<&str>) -> Option<usize> {
    id?.parse().ok()
}

/// When a group may go on.
#[derive(Default)]
enum Pace {
    #[default]
    Now,
    /// After a failure.
    At(Instant, ExponentialBackoff),
    /// Not in this call any more.
    Stopped,
}

impl Pace {
    fn may_go(&self, now: Instant) -> bool {
        match self {
            Self::Now => true,
            Self::At(at, _) => *at <= now,
            Self::Stopped => false,
        }
    }

    fn next(&self) -> Option<Instant> {
        match self {
            Self::At(at, _) => Some(*at),
            Self::Now | Self::Stopped => None,
        }
    }

    /// Waits once more, if that ends before the deadline.
    fn wait(&mut self, deadline: Instant) -> bool {
        let mut delays = match std::mem::take(self) {
            Self::At(_, delays) => delays,
            Self::Now | Self::Stopped => ExponentialBuilder::new()
                .with_min_delay(DELAY_MIN)
                .with_max_delay(DELAY_MAX)
                .with_jitter()
                .without_max_times()
                .build(),
        };
        let at = Instant::now() + delays.next().unwrap_or(DELAY_MAX);
        *self = Self::At(at, delays);
        at < deadline
    }
}
