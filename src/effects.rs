//! `ees effects`: what the server's reactors have done, and what waits.

use clap::{Args, Subcommand};
use ees_projector::reactor::{Effect, EffectState};
use ees_store::{ChangesetId, StreamId};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;

use crate::exit::Outcome;
use crate::output::Output;
use crate::projections::{Parked, path, post, show, table};
use crate::remote::Remote;

/// Look at what reactors have done, and at what waits; have it tried again, or discarded
#[derive(Args)]
#[command(arg_required_else_help = false)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// What a reactor's ledger has, the newest first
    List {
        /// The reactor
        name: String,
        /// Only those of this stream's events
        #[arg(long, value_name = "STREAM")]
        stream: Option<StreamId>,
        /// Only those that are started, done, failed, parked or discarded
        #[arg(long, value_name = "STATE")]
        state: Option<EffectState>,
        /// How many at most
        #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        remote: Remote,
    },
    /// The streams that wait because an effect failed
    Waiting {
        /// The reactor
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Try what waits again now, also what was given up
    Retry {
        /// The reactor
        name: String,
        /// Only this stream
        #[arg(long, value_name = "STREAM")]
        stream: Option<StreamId>,
        /// Why; kept for others to read
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Leave out, for ever, what a stream's first changeset that waits calls for
    Discard {
        /// The reactor
        name: String,
        /// The stream
        stream: StreamId,
        /// The number of its changeset
        changeset: ChangesetId,
        /// Why; kept for others to read
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Deserialize)]
struct Effects {
    effects: Vec<Effect>,
}

pub(crate) async fn run(Arguments { command }: Arguments, output: &mut Output) -> Outcome {
    match command {
        Command::List { name, stream, state, limit, remote } => {
            let mut query = format!("{}/effects?limit={limit}", path(&name));
            if let Some(stream) = stream {
                query += &format!("&stream_id={}", utf8_percent_encode(stream.as_str(), NON_ALPHANUMERIC));
            }
            if let Some(state) = state {
                query += &format!("&state={}", state.as_str());
            }
            let Effects { effects } = remote.client().await?.get_json(&query).await?;
            output.either(&json!({"effects": effects}), table::of_effects(&effects))
        }
        Command::Waiting { name, remote } => {
            let Parked { parked } =
                remote.client().await?.get_json(&format!("{}/parked", path(&name))).await?;
            output.either(&json!({"parked": parked}), table::of_parked(&parked))
        }
        Command::Retry { name, stream, reason, remote } => {
            let body = json!({"stream_id": stream, "reason": reason});
            show(&post(&remote.client().await?, &name, "retry", body).await?, output)
        }
        Command::Discard { name, stream, changeset, reason, remote } => {
            let body = json!({"stream_id": stream, "changeset_id": changeset, "reason": reason});
            show(&post(&remote.client().await?, &name, "effects/discard", body).await?, output)
        }
    }
}
