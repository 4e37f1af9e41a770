//! Publishes dead letters again.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use ees_store::publish::DeadLetter;
use ees_store::publish::sns::Publisher;
use ees_store::{EventStore, StreamId, StreamQuery};

use super::{DeadLetterQueue, QueueError, WaitingLetter};

/// How long a topic may take.
const PUBLISH_MAX: Duration = Duration::from_secs(10);

/// Publishes the letters of a queue again, and removes those that a topic took. The others stay in the queue,
/// hidden for 30 s.
///
/// A letter that was published and not removed, because the process ended between the two, is published a
/// second time. FIFO topics drop the repetition within five minutes.
pub struct Redrive<'a> {
    queue: &'a DeadLetterQueue,
    publisher: &'a Publisher,
    store: &'a dyn EventStore,
    left: HashSet<String>,
}

/// A letter, and what became of it.
#[derive(Clone, Debug)]
pub struct Redriven {
    /// The letter.
    pub letter: WaitingLetter,
    /// Why it was not published.
    pub result: Result<(), String>,
}

impl<'a> Redrive<'a> {
    /// Of the letters of this queue. Their changesets come from this store.
    pub fn of(queue: &'a DeadLetterQueue, publisher: &'a Publisher, store: &'a dyn EventStore) -> Self {
        Self { queue, publisher, store, left: HashSet::new() }
    }

    /// Handles the next letters, at most 10. Returns none once the queue is empty, or has only letters that
    /// were left before.
    ///
    /// # Errors
    /// A [`QueueError`]. What was published before is removed, except perhaps one.
    pub async fn next(&mut self) -> Result<Vec<Redriven>, QueueError> {
        let waiting = self.queue.take_unseen(&self.left).await?;
        let mut redriven = Vec::with_capacity(waiting.len());
        for letter in waiting {
            let result = match &letter.letter {
                Some(known) => self.publish(known).await,
                None => Err("the message is no dead letter".to_owned()),
            };
            if result.is_ok() {
                self.queue.remove(&letter).await?;
            } else {
                self.left.insert(letter.id().to_owned());
            }
            redriven.push(Redriven { letter, result });
        }
        Ok(redriven)
    }

    async fn publish(&self, letter: &DeadLetter) -> Result<(), String> {
        let stream_id = letter.stream_id.parse::<StreamId>().map_err(|error| error.to_string())?;
        let query = StreamQuery::changesets(stream_id, letter.changeset_id, Some(letter.changeset_id));
        let page = self.store.read_stream(query).await.map_err(|error| error.to_string())?;
        let changeset = page.changesets.first().ok_or("the changeset is not in the store")?;
        let published = self.publisher.redrive(letter, changeset, Instant::now() + PUBLISH_MAX).await;
        published.map_err(|error| error.to_string())
    }
}
