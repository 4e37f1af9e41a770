//! `ees dead-letters`: list messages that a topic rejected, and redrive them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use aws_config::BehaviorVersion;
use clap::{Args, Subcommand};
use ees_projector::sqs::{DeadLetterQueue, QueueError, WaitingLetter};
use ees_store::client::Client;
use ees_store::publish::DeadLetter;
use ees_store::publish::sns::Publisher;
use ees_store::{EventStore, StreamId, StreamQuery};
use serde_json::json;

use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::plural::counted;
use crate::printable::Printable;
use crate::remote::Remote;

/// How long a topic may take.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// Show the messages that a topic rejected, and redrive them
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the dead letters, and leave them in the queue
    List(Queue),
    /// Publish the changeset of each dead letter to its topic again, and remove the letter from the queue
    Redrive {
        #[command(flatten)]
        queue: Queue,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Args)]
struct Queue {
    /// The URL of the dead-letter queue. Region and credentials come from the environment
    #[arg(long, env = "EES_PUBLISH_DEAD_LETTERS", value_name = "URL")]
    queue: String,
}

pub(crate) async fn run(arguments: Arguments, output: &mut Output) -> Outcome {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let open = |Queue { queue }| DeadLetterQueue::new(aws_sdk_sqs::Client::new(&config), queue);
    match arguments.command {
        Command::List(queue) => list(&open(queue), output).await,
        Command::Redrive { queue, remote } => {
            let publisher = Publisher::new(aws_sdk_sns::Client::new(&config));
            redrive(&open(queue), &publisher, &remote.client().await?, output).await
        }
    }
}

async fn list(queue: &DeadLetterQueue, output: &mut Output) -> Outcome {
    let mut seen = Vec::new();
    loop {
        let waiting = queue.take().await.map_err(unavailable)?;
        if is_over(&waiting, |letter| seen.iter().any(|known: &WaitingLetter| known.id() == letter.id())) {
            break;
        }
        for letter in &waiting {
            match &letter.letter {
                Some(known) => output.either(known, text(known))?,
                None => output.either(
                    &json!({"unreadable": letter.body()}),
                    format!("unreadable: {}", Printable(letter.body())),
                )?,
            }
        }
        seen.extend(waiting);
    }
    for letter in &seen {
        queue.leave(letter).await.map_err(unavailable)?;
    }
    Ok(())
}

async fn redrive(
    queue: &DeadLetterQueue,
    publisher: &Publisher,
    store: &Client,
    output: &mut Output,
) -> Outcome {
    let mut failed = HashSet::new();
    loop {
        let waiting = queue.take().await.map_err(unavailable)?;
        if is_over(&waiting, |letter| failed.contains(letter.id())) {
            break;
        }
        for letter in &waiting {
            let published = match &letter.letter {
                Some(known) => publish(known, publisher, store).await.map(|()| text(known)),
                None => Err(format!("unreadable: {}", Printable(letter.body()))),
            };
            match published {
                Ok(text) => {
                    queue.remove(letter).await.map_err(unavailable)?;
                    output.either(&json!({"published": letter.letter}), format!("published: {text}"))?;
                }
                // The letter stays in the queue, invisible for a while.
                Err(why) => {
                    failed.insert(letter.id().to_owned());
                    output.either(&json!({"left": letter.letter, "why": why}), format!("left: {why}"))?;
                }
            }
        }
    }
    if !failed.is_empty() {
        let message = format!("{} not published and still in the queue", counted(failed.len(), "letter"));
        return Err(Failure::new(Exit::Refused, "DEAD_LETTERS", message));
    }
    Ok(())
}

/// Whether the queue is empty, or only returns letters that were seen before.
fn is_over(waiting: &[WaitingLetter], seen: impl Fn(&WaitingLetter) -> bool) -> bool {
    waiting.iter().all(seen)
}

async fn publish(letter: &DeadLetter, publisher: &Publisher, store: &Client) -> Result<(), String> {
    let stream_id: StreamId = letter.stream_id.parse().map_err(|e| format!("{}: {e}", letter.stream_id))?;
    let query = StreamQuery::changesets(stream_id, letter.changeset_id, Some(letter.changeset_id));
    let page = store.read_stream(query).await.map_err(|e| format!("{}: {e}", text(letter)))?;
    let changeset = page.changesets.first().ok_or_else(|| format!("{}: not in the store", text(letter)))?;
    let redriven = publisher.redrive(letter, changeset, Instant::now() + PUBLISH_TIMEOUT).await;
    redriven.map_err(|e| format!("{}: {e}", text(letter)))
}

fn text(letter: &DeadLetter) -> String {
    let DeadLetter { topic_arn, stream_id, changeset_id, event_id, error, at, .. } = letter;
    let event = event_id.map(|event| format!(", event {event}")).unwrap_or_default();
    let text = format!(
        "stream \"{stream_id}\", changeset {changeset_id}{event}, for {topic_arn}, since {at}: {error}"
    );
    Printable(&text).to_string()
}

fn unavailable(error: QueueError) -> Failure {
    Failure::new(Exit::Unavailable, "QUEUE", error)
}
