//! Calls until everything is taken or the time is over. Nobody waits for the answer to another one's call.

use std::time::Instant;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::Semaphore;

use super::call::one_each;
use super::pace::Pace;
use super::{Publisher, Unpublished};
use crate::publish::outbox::{Batch, Outbox};
use crate::publish::{DeadLetter, Message};

/// Calls under way at a time.
const CALLS_AT_ONCE: usize = 8;

impl Publisher {
    /// Sends what waits, and takes it out as it is taken.
    pub(super) async fn send_all(
        &self,
        outbox: &mut Outbox<'_>,
        deadline: Instant,
    ) -> Result<(), Unpublished> {
        let mut paces: Vec<Pace> = (0..outbox.groups()).map(|_| Pace::default()).collect();
        let mut is_under_way = vec![false; outbox.groups()];
        let room = Semaphore::new(CALLS_AT_ONCE);
        let mut calls = FuturesUnordered::new();
        // Of each group, what its first message failed with last.
        let mut failures: Vec<Option<Failed>> = paces.iter().map(|_| None).collect();
        let mut some_taken = false;
        loop {
            let now = Instant::now();
            let is_over = now >= deadline;
            for batch in outbox.batches(|group| !is_over && !is_under_way[group] && paces[group].may_go(now))
            {
                for (group, _) in &batch.messages {
                    is_under_way[*group] = true;
                }
                // Boxed: the compiler can't see yet that such a call is `Send`.
                calls.push(self.send_in_time(batch, &room, deadline).boxed());
            }
            let waiting =
                paces.iter().zip(&is_under_way).filter(|(_, is_under_way)| !**is_under_way && !is_over);
            let next = waiting.filter_map(|(pace, _)| pace.next()).min();
            let answers = match next {
                None => match calls.next().await {
                    Some(answers) => answers,
                    None => break,
                },
                Some(next) => tokio::select! {
                    Some(answers) = calls.next() => answers,
                    () = tokio::time::sleep_until(next.into()) => continue,
                },
            };
            for (group, answer) in answers {
                is_under_way[group] = false;
                match answer {
                    Ok(()) => {
                        some_taken = true;
                        outbox.done(group);
                        paces[group] = Pace::default();
                        failures[group] = None;
                    }
                    Err(failed) => {
                        let Failed { passes, error } = &failed;
                        tracing::warn!(error, passes, "failed to publish a message");
                        let goes_on = *passes && paces[group].wait(deadline);
                        if !goes_on {
                            paces[group] = Pace::Stopped;
                        }
                        failures[group] = Some(failed);
                    }
                }
            }
        }
        let Some(done) = outbox.left().map(|waiting| waiting.number).min() else { return Ok(()) };
        // What does not pass is what somebody has to see.
        let trouble = failures.into_iter().flatten().min_by_key(|failed| failed.passes);
        let goes_on = trouble.is_none() && some_taken;
        let Failed { passes, error } = trouble.unwrap_or_else(|| Failed {
            passes: true,
            error: "the deadline came before all messages were published".to_owned(),
        });
        Err(Unpublished { done, passes, goes_on, error })
    }

    /// What became of messages by the deadline. What nothing is said of was not taken, as far as anybody
    /// knows.
    async fn send_in_time(
        &self,
        batch: Batch<'_>,
        room: &Semaphore,
        deadline: Instant,
    ) -> Vec<(usize, Result<(), Failed>)> {
        let sent = async {
            // In the order in which they came. It is never closed.
            let _turn = room.acquire().await;
            self.send(&batch).await
        };
        tokio::time::timeout_at(deadline.into(), sent).await.unwrap_or_default()
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
        tracing::error!(stream = %message.stream_id(), changeset = %message.changeset_id(), error, "a message became a dead letter");
        dead_letters.keep(&letter).await.map_err(|e| Failed {
            passes: true,
            error: format!("failed to store the dead letter: {e} (the topic refused the message: {error})"),
        })
    }
}

struct Failed {
    passes: bool,
    error: String,
}
