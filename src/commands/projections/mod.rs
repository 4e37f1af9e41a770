//! `ees projections`: show the projections of a server, and operate them.

mod at;
mod explain;
mod passed;
mod rebuild;
mod rebuild_streams;
mod verify;
mod watching;

use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::{Args, Subcommand};
use ees_projector::{AuditEntry, Kind, Status};
use ees_store::{ChangesetId, Checkpoint, StreamId};
use serde::Deserialize;
use serde_json::json;

use crate::exit::Outcome;
use crate::output::Output;
use crate::projection::{
    For, ProjectionClient, Until, audit_text, operate, parked_text, projections_text, status_text,
};
use crate::remote::Remote;
use crate::values::seconds;

/// Show the projections of the server, and operate them
#[derive(Args)]
#[command(arg_required_else_help = false)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the projections with their position, lag and last error
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Show one projection, now or after it has reached a checkpoint or a changeset
    Status(StatusArguments),
    /// List what operators did to a projection or a reactor, and why, newest first
    Audit {
        /// The projection or reactor
        name: String,
        /// The maximum number of entries
        #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u16).range(1..=1000).map(usize::from))]
        limit: usize,
        #[command(flatten)]
        remote: Remote,
    },
    Rebuild(rebuild::Arguments),
    Verify(verify::Arguments),
    Explain(explain::Arguments),
    At(at::Arguments),
    Passed(passed::Arguments),
    /// Swap the standby read model with the live one
    Swap(SwapArguments),
    /// Make the previous read model live again. It has stayed up to date, so nothing is lost
    Rollback(SwapArguments),
    /// Discard the standby read model
    Discard(OperationArguments),
    /// Divide the streams of a projection among several workers, without a rebuild (PostgreSQL)
    Partition {
        /// The projection
        name: String,
        /// The number of partitions; with 1, one worker applies all streams
        #[arg(value_parser = clap::value_parser!(u32).range(1..=256))]
        count: u32,
        /// The reason, for the audit log
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Pause a projection until it is resumed
    Pause(OperationArguments),
    /// Resume a projection, and retry what failed
    Resume(OperationArguments),
    /// Skip one changeset: the next one of a paused projection, or the first one of a parked stream
    Skip {
        /// The projection
        name: String,
        /// The checkpoint of the changeset
        checkpoint: Checkpoint,
        /// The reason, for the audit log
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the parked streams: those that wait because one of their changesets failed
    Parked {
        /// The projection
        name: String,
        /// Retry them now
        #[arg(long)]
        retry: bool,
        /// Only this stream
        #[arg(long, value_name = "STREAM")]
        stream: Option<StreamId>,
        /// The reason, for the audit log
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Args)]
struct StatusArguments {
    /// The projection
    name: String,
    /// Wait until the projection has reached this checkpoint
    #[arg(long, value_name = "CHECKPOINT", conflicts_with_all = ["stream", "changeset"])]
    min_checkpoint: Option<Checkpoint>,
    /// Wait until the projection has applied a changeset of this stream
    #[arg(long, value_name = "STREAM", requires = "changeset")]
    stream: Option<StreamId>,
    /// The number of that changeset
    #[arg(long, value_name = "N", requires = "stream")]
    changeset: Option<ChangesetId>,
    /// The longest time to wait
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
struct OperationArguments {
    /// The projection
    name: String,
    /// The reason, for the audit log
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
struct SwapArguments {
    /// The projection
    name: String,
    /// Swap even if streams are parked, or the standby is still being built
    #[arg(long)]
    force: bool,
    /// The reason, for the audit log
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Deserialize)]
struct Audit {
    audit: Vec<AuditEntry>,
}

pub(crate) async fn run(Arguments { command }: Arguments, output: &mut Output) -> Outcome {
    const PROJECTION: For = For::Only(Kind::Projection);
    match command {
        Command::List { remote } => {
            let projections = ProjectionClient::all(&remote.client().await?).await?;
            output.either(&json!({"projections": projections}), projections_text(&projections))
        }
        Command::Status(arguments) => status(arguments, output).await,
        Command::Audit { name, limit, remote } => {
            let projection = ProjectionClient::new(remote.client().await?, name);
            let Audit { mut audit } = projection.get(&format!("audit?limit={limit}")).await?;
            audit.truncate(limit);
            output.either(&json!({"audit": audit}), audit_text(&audit))
        }
        Command::Rebuild(arguments) => rebuild::run(arguments, output).await,
        Command::Verify(arguments) => verify::run(arguments, output).await,
        Command::Passed(arguments) => passed::run(arguments, output).await,
        Command::At(arguments) => at::run(arguments, output).await,
        Command::Explain(arguments) => explain::run(arguments, output).await,
        Command::Swap(SwapArguments { name, force, reason, remote }) => {
            let body = json!({"force": force, "reason": reason});
            operate(&remote, name, PROJECTION, "swap", body, output).await
        }
        Command::Rollback(SwapArguments { name, force, reason, remote }) => {
            let body = json!({"force": force, "reason": reason});
            operate(&remote, name, PROJECTION, "rollback", body, output).await
        }
        Command::Discard(OperationArguments { name, reason, remote }) => {
            operate(&remote, name, PROJECTION, "discard", json!({"reason": reason}), output).await
        }
        Command::Partition { name, count, reason, remote } => {
            let body = json!({"count": count, "reason": reason});
            operate(&remote, name, For::Any, "partitions", body, output).await
        }
        Command::Pause(OperationArguments { name, reason, remote }) => {
            operate(&remote, name, For::Any, "pause", json!({"reason": reason}), output).await
        }
        Command::Resume(OperationArguments { name, reason, remote }) => {
            operate(&remote, name, For::Any, "resume", json!({"reason": reason}), output).await
        }
        Command::Skip { name, checkpoint, reason, remote } => {
            let body = json!({"checkpoint": checkpoint, "reason": reason});
            operate(&remote, name, For::Any, "skip", body, output).await
        }
        Command::Parked { name, retry, stream, reason, remote } => {
            let projection = ProjectionClient::new(remote.client().await?, name);
            if retry {
                let _: Status =
                    projection.post("retry", &json!({"stream_id": stream, "reason": reason})).await?;
            }
            let mut parked = projection
                .parked()
                .await
                .map_err(|failure| if retry { failure.after("the streams were retried") } else { failure })?;
            parked.retain(|it| stream.as_ref().is_none_or(|stream| *stream == it.stream_id));
            output.either(&json!({"parked": parked}), parked_text(&parked))
        }
    }
}

async fn status(arguments: StatusArguments, output: &mut Output) -> Outcome {
    let StatusArguments { name, min_checkpoint, stream, changeset, timeout, remote } = arguments;
    let projection = ProjectionClient::new(remote.client().await?, name);
    let status = match (min_checkpoint, stream, changeset) {
        (Some(checkpoint), ..) => projection.status_at(&Until::Checkpoint(checkpoint), timeout).await?,
        (None, Some(stream_id), Some(changeset_id)) => {
            projection.status_at(&Until::Changeset { stream_id, changeset_id }, timeout).await?
        }
        _ => projection.status().await?,
    };
    output.either(&status, status_text(&status))
}
