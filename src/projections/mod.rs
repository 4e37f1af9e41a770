//! `ees projections`: to look at the server's projections, and to steer them.

mod rebuild;
pub(crate) mod table;
mod verify;
pub(crate) mod wait;

use std::time::Duration;

use clap::{Args, Subcommand};
use ees_projector::{ParkedStream, Status};
use ees_store::client::Client;
use ees_store::{ChangesetId, Checkpoint, StreamId};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;

use crate::arguments::seconds;
use crate::exit::Outcome;
use crate::output::Output;
use crate::remote::Remote;
use wait::Until;

/// Look at the server's projections, and steer them
#[derive(Args)]
#[command(arg_required_else_help = false)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Where each projection is, how far behind, and what is wrong
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// All about one projection, at once or when it has got somewhere
    Status(Await),
    Rebuild(rebuild::Arguments),
    Verify(verify::Arguments),
    /// Let the read model that was built beside the live one take its place
    Swap(Exchange),
    /// Bring back the read model that was live before; it has followed, so that nothing is lost
    Rollback(Exchange),
    /// Throw away the read model beside the live one
    Discard(Change),
    /// Deal a projection's streams out to so many workers; nothing is rebuilt
    Partition {
        /// The projection
        name: String,
        /// Into how many partitions; 1 is one worker for all
        #[arg(value_parser = clap::value_parser!(u32).range(1..=256))]
        count: u32,
        /// Why; kept for others to read
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Stop between two steps, until it is resumed
    Pause(Change),
    /// Go on, and try again what failed
    Resume(Change),
    /// Leave out one changeset: the one it stands before, or the first of a parked stream
    Skip {
        /// The projection
        name: String,
        /// The changeset's place in the global order
        checkpoint: Checkpoint,
        /// Why; kept for others to read
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// The streams that wait because one of their changesets failed
    Parked {
        /// The projection
        name: String,
        /// Try them again now
        #[arg(long)]
        retry: bool,
        /// Only this stream
        #[arg(long, value_name = "STREAM")]
        stream: Option<StreamId>,
        /// Why; kept for others to read
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Args)]
struct Await {
    /// The projection
    name: String,
    /// Wait until the changeset at this checkpoint is applied
    #[arg(long, value_name = "CHECKPOINT", conflicts_with_all = ["stream", "changeset"])]
    min_checkpoint: Option<Checkpoint>,
    /// Wait until a changeset of this stream is applied
    #[arg(long, value_name = "STREAM", requires = "changeset")]
    stream: Option<StreamId>,
    /// The number of that changeset
    #[arg(long, value_name = "N", requires = "stream")]
    changeset: Option<ChangesetId>,
    /// How long to wait at most
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
struct Change {
    /// The projection
    name: String,
    /// Why; kept for others to read
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
struct Exchange {
    /// The projection
    name: String,
    /// Although streams are parked, or it is still being built
    #[arg(long)]
    force: bool,
    /// Why; kept for others to read
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Deserialize)]
struct All {
    projections: Vec<Status>,
}

#[derive(Deserialize)]
pub(crate) struct Parked {
    pub(crate) parked: Vec<ParkedStream>,
}

pub(crate) async fn run(Arguments { command }: Arguments, output: &mut Output) -> Outcome {
    match command {
        Command::List { remote } => {
            let All { projections } = remote.client()?.get_json("/projections").await?;
            output.either(&json!({"projections": projections}), table::of_projections(&projections))
        }
        Command::Status(arguments) => {
            let until = match (arguments.min_checkpoint, arguments.stream, arguments.changeset) {
                (Some(checkpoint), ..) => Until::Checkpoint(checkpoint),
                (None, Some(stream_id), Some(changeset_id)) => Until::Changeset { stream_id, changeset_id },
                _ => Until::Now,
            };
            let client = arguments.remote.client()?;
            let status = wait::status_once(&client, &arguments.name, &until, arguments.timeout).await?;
            show(&status, output)
        }
        Command::Rebuild(arguments) => rebuild::run(arguments, output).await,
        Command::Verify(arguments) => verify::run(arguments, output).await,
        Command::Swap(arguments) => exchange(arguments, "swap", output).await,
        Command::Rollback(arguments) => exchange(arguments, "rollback", output).await,
        Command::Partition { name, count, reason, remote } => {
            let body = json!({"count": count, "reason": reason});
            show(&post(&remote.client()?, &name, "partitions", body).await?, output)
        }
        Command::Discard(Change { name, reason, remote }) => {
            show(&post(&remote.client()?, &name, "discard", json!({"reason": reason})).await?, output)
        }
        Command::Pause(Change { name, reason, remote }) => {
            show(&post(&remote.client()?, &name, "pause", json!({"reason": reason})).await?, output)
        }
        Command::Resume(Change { name, reason, remote }) => {
            show(&post(&remote.client()?, &name, "resume", json!({"reason": reason})).await?, output)
        }
        Command::Skip { name, checkpoint, reason, remote } => {
            let body = json!({"checkpoint": checkpoint, "reason": reason});
            show(&post(&remote.client()?, &name, "skip", body).await?, output)
        }
        Command::Parked { name, retry, stream, reason, remote } => {
            let client = remote.client()?;
            if retry {
                let body = json!({"stream_id": stream, "reason": reason});
                post(&client, &name, "retry", body).await?;
            }
            let Parked { mut parked } = client.get_json(&format!("{}/parked", path(&name))).await?;
            parked.retain(|it| stream.as_ref().is_none_or(|stream| *stream == it.stream_id));
            output.either(&json!({"parked": parked}), table::of_parked(&parked))
        }
    }
}

async fn exchange(arguments: Exchange, action: &str, output: &mut Output) -> Outcome {
    let Exchange { name, force, reason, remote } = arguments;
    let body = json!({"force": force, "reason": reason});
    show(&post(&remote.client()?, &name, action, body).await?, output)
}

pub(crate) fn path(name: &str) -> String {
    format!("/projections/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

pub(crate) async fn post(
    client: &Client,
    name: &str,
    action: &str,
    body: serde_json::Value,
) -> Outcome<Status> {
    Ok(client.post_json(&format!("{}/{action}", path(name)), &body).await?)
}

pub(crate) fn show(status: &Status, output: &mut Output) -> Outcome {
    output.either(status, table::of_one(status))
}
