//! `ees publish`: publish a part of the log to topics again.

use std::time::{Duration, Instant};

use aws_config::BehaviorVersion;
use clap::Args;
use ees_store::publish::sns::Publisher;
use ees_store::{Changeset, ChangesetLog, Checkpoint, LogEntry, LogQuery, Timestamp};
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::plural::counted;
use crate::progress::Progress;
use crate::remote::Remote;
use crate::values::moment;

/// Changesets read and published at once.
const BATCH: usize = 200;
/// How long a topic may take for a batch before its progress is checked.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of consecutive attempts without progress before the command fails.
const ATTEMPTS_MAX: u32 = 3;

/// Publish a part of the log again, for subscribers that missed it
///
/// Use it for changesets that the publisher of a stack gave up on, or for a new topic. All subscribers get
/// the messages, also those that received them before, and after everything published since. Region and
/// credentials come from the environment.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Start at this checkpoint
    #[arg(long, value_name = "CHECKPOINT", default_value_t = Checkpoint::START)]
    from: Checkpoint,
    /// Stop before this checkpoint [default: the end of the log when the command starts]
    #[arg(long, value_name = "CHECKPOINT")]
    to: Option<Checkpoint>,
    /// Only changesets committed at this time or later, such as 2026-11-26T10:00:00Z, or 7d for 7 days ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only changesets committed before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    #[command(flatten)]
    topics: Topics,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
#[group(required = true, multiple = true)]
struct Topics {
    /// Publish each changeset to this FIFO topic of SNS
    #[arg(long, value_name = "ARN")]
    changesets: Option<String>,
    /// Publish each event to this FIFO topic
    #[arg(long, value_name = "ARN")]
    events: Option<String>,
    /// Publish a notification for each changeset of a typed stream to this standard topic
    #[arg(long, value_name = "ARN")]
    notifications: Option<String>,
}

#[derive(Serialize)]
struct Summary {
    published: u64,
    next: Checkpoint,
}

pub(crate) async fn run(arguments: Arguments, output: &mut Output) -> Outcome {
    let Arguments { from, to, since, until, topics, remote } = arguments;
    let log = remote.patient_client().await?;
    let end = to.unwrap_or(Checkpoint::MAX).min(log.head().await?.checkpoint);
    let publisher = topics.publisher().await;
    let is_selected = |indexed: &LogEntry| {
        let at = indexed.timestamp;
        indexed.checkpoint < end
            && since.is_none_or(|since| at >= since)
            && until.is_none_or(|until| at < until)
    };
    let progress = Progress::of_changesets(end.get(), output);
    let (mut next, mut published) = (from, 0);
    while next < end {
        let page = log.read(LogQuery::from(next, BATCH)).await?;
        if page.next <= next {
            break;
        }
        let selected: Vec<&Changeset> =
            page.changesets.iter().filter(|it| is_selected(it)).map(|it| &it.changeset).collect();
        publish(&publisher, &selected).await.map_err(|failure| {
            let published = counted(published, "changeset");
            failure
                .with_detail(format!("{published} published"))
                .with_hint(format!("continue with `--from {next}`"))
        })?;
        published += selected.len() as u64;
        next = page.next.min(end);
        progress.at(next.get());
    }
    drop(progress);
    output.either(
        &Summary { published, next },
        format!("{} published; checkpoint {next} is next", counted(published, "changeset")),
    )
}

impl Topics {
    async fn publisher(self) -> Publisher {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let publisher = Publisher::new(aws_sdk_sns::Client::new(&config));
        let publisher = match self.changesets {
            Some(arn) => publisher.with_changesets_topic(arn),
            None => publisher,
        };
        let publisher = match self.events {
            Some(arn) => publisher.with_events_topic(arn),
            None => publisher,
        };
        match self.notifications {
            Some(arn) => publisher.with_notifications_topic(arn),
            None => publisher,
        }
    }
}

/// Publishes until all are accepted, or attempts no longer make progress.
async fn publish(publisher: &Publisher, changesets: &[&Changeset]) -> Outcome {
    let (mut left, mut attempts) = (changesets, 0);
    loop {
        let Err(unpublished) = publisher.publish(left, Instant::now() + PUBLISH_TIMEOUT).await else {
            return Ok(());
        };
        let has_progress = unpublished.done > 0 || unpublished.goes_on;
        attempts = if has_progress { 0 } else { attempts + 1 };
        if !unpublished.passes {
            return Err(Failure::new(Exit::Refused, "TOPIC", unpublished));
        }
        if attempts == ATTEMPTS_MAX {
            return Err(Failure::new(Exit::Unavailable, "TOPIC", unpublished));
        }
        left = left.get(unpublished.done..).unwrap_or_default();
    }
}
