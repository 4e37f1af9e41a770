//! `ees dead-letters`: list messages that a topic rejected, and redrive them.

use aws_config::BehaviorVersion;
use clap::{Args, Subcommand};
use ees_projector::sqs::{DeadLetterQueue, QueueError, Redrive, Redriven, WaitingLetter};
use ees_store::client::Client;
use ees_store::publish::DeadLetter;
use ees_store::publish::sns::Publisher;
use serde_json::json;

use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::plural::counted;
use crate::printable::Printable;
use crate::remote::Remote;

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
    for letter in queue.list(usize::MAX).await.map_err(unavailable)? {
        match &letter.letter {
            Some(known) => output.either(known, text(known))?,
            None => output.either(&json!({"unreadable": letter.body()}), unreadable(&letter))?,
        }
    }
    Ok(())
}

async fn redrive(
    queue: &DeadLetterQueue,
    publisher: &Publisher,
    store: &Client,
    output: &mut Output,
) -> Outcome {
    let mut redrive = Redrive::of(queue, publisher, store);
    let mut left = 0;
    loop {
        let redriven = redrive.next().await.map_err(unavailable)?;
        if redriven.is_empty() {
            break;
        }
        for Redriven { letter, result } in redriven {
            let about = letter.letter.as_ref().map_or_else(|| unreadable(&letter), text);
            let known = &letter.letter;
            match result {
                Ok(()) => output.either(&json!({"published": known}), format!("published: {about}"))?,
                // The letter stays in the queue, invisible for a while.
                Err(why) => {
                    left += 1;
                    let told = format!("left: {about}: {}", Printable(&why));
                    output.either(&json!({"left": known, "why": why}), told)?;
                }
            }
        }
    }
    if left > 0 {
        let message = format!("{} not published and still in the queue", counted(left, "letter"));
        return Err(Failure::new(Exit::Refused, "DEAD_LETTERS", message));
    }
    Ok(())
}

fn unreadable(letter: &WaitingLetter) -> String {
    format!("unreadable: {}", Printable(letter.body()))
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
