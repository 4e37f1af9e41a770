//! `ees timers`: what the server's reactors have set to happen later.

use clap::{Args, Subcommand};
use ees_projector::Kind;
use ees_projector::reactor::Timer;
use ees_store::StreamId;
use serde::Deserialize;
use serde_json::json;

use crate::exit::Outcome;
use crate::output::Output;
use crate::projection::{For, ProjectionClient, encoded, operate};
use crate::remote::Remote;
use crate::table::table;

/// Show the timers of reactors; cancel them
#[derive(Args)]
#[command(arg_required_else_help = false)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the timers that a reactor has set, those first that fire first
    List {
        /// The reactor
        name: String,
        /// Only timers of this stream
        #[arg(long, value_name = "STREAM")]
        stream: Option<StreamId>,
        /// The maximum number of timers
        #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        remote: Remote,
    },
    /// Cancel a timer, permanently
    Cancel {
        /// The reactor
        name: String,
        /// The stream
        stream: StreamId,
        /// The key of the timer
        key: String,
        /// The reason, for the audit log
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Deserialize)]
struct Timers {
    timers: Vec<Timer>,
}

pub(crate) async fn run(Arguments { command }: Arguments, output: &mut Output) -> Outcome {
    match command {
        Command::List { name, stream, limit, remote } => {
            let mut query = format!("timers?limit={limit}");
            if let Some(stream) = stream {
                query += &format!("&stream_id={}", encoded(stream.as_str()));
            }
            let reactor = ProjectionClient::reactor(&remote, name).await?;
            let Timers { timers } = reactor.get(&query).await?;
            output.either(&json!({"timers": timers}), timers_text(&timers))
        }
        Command::Cancel { name, stream, key, reason, remote } => {
            let body = json!({"stream_id": stream, "key": key, "reason": reason});
            operate(&remote, name, For::Only(Kind::Reactor), "timers/cancel", body, output).await
        }
    }
}

fn timers_text(timers: &[Timer]) -> String {
    if timers.is_empty() {
        return "no timers".to_owned();
    }
    let rows = timers.iter().map(|it| {
        [
            it.due.to_string(),
            it.stream_id.to_string(),
            it.key.clone(),
            it.attempts.to_string(),
            it.next_at.to_string(),
            it.error.clone().unwrap_or_else(|| it.payload.to_string()),
        ]
    });
    table(["DUE", "STREAM", "KEY", "FAILED", "FIRES", "ERROR OR PAYLOAD"], rows)
}
