//! `ees effects`: the effects of the server's reactors, done and waiting.

use clap::{Args, Subcommand};
use ees_projector::Kind;
use ees_projector::reactor::{Effect, EffectState};
use ees_store::{ChangesetId, StreamId};
use serde::Deserialize;
use serde_json::json;

use crate::exit::Outcome;
use crate::output::Output;
use crate::projection::{For, ProjectionClient, encoded, operate, parked_text};
use crate::remote::Remote;
use crate::table::table;

/// Show the effects of reactors; retry or discard those that failed
#[derive(Args)]
#[command(arg_required_else_help = false)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the effects in a reactor's ledger, newest first
    List {
        /// The reactor
        name: String,
        /// Only effects of this stream's events
        #[arg(long, value_name = "STREAM")]
        stream: Option<StreamId>,
        /// Only effects in this state: started, done, failed, parked or discarded
        #[arg(long, value_name = "STATE")]
        state: Option<EffectState>,
        /// The maximum number of effects
        #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the parked streams: those that wait because an effect failed
    Waiting {
        /// The reactor
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Retry waiting effects now, including those that were given up
    Retry {
        /// The reactor
        name: String,
        /// Only this stream
        #[arg(long, value_name = "STREAM")]
        stream: Option<StreamId>,
        /// The reason, for the audit log
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Discard, permanently, the effects of a stream's first waiting changeset
    Discard {
        /// The reactor
        name: String,
        /// The stream
        stream: StreamId,
        /// The id of the changeset
        changeset: ChangesetId,
        /// The reason, for the audit log
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
            let mut query = format!("effects?limit={limit}");
            if let Some(stream) = stream {
                query += &format!("&stream_id={}", encoded(stream.as_str()));
            }
            if let Some(state) = state {
                query += &format!("&state={}", state.as_str());
            }
            let reactor = ProjectionClient::reactor(&remote, name).await?;
            let Effects { effects } = reactor.get(&query).await?;
            output.either(&json!({"effects": effects}), effects_text(&effects))
        }
        Command::Waiting { name, remote } => {
            let parked = ProjectionClient::reactor(&remote, name).await?.parked().await?;
            output.either(&json!({"parked": parked}), parked_text(&parked))
        }
        Command::Retry { name, stream, reason, remote } => {
            let body = json!({"stream_id": stream, "reason": reason});
            operate(&remote, name, For::Only(Kind::Reactor), "retry", body, output).await
        }
        Command::Discard { name, stream, changeset, reason, remote } => {
            let body = json!({"stream_id": stream, "changeset_id": changeset, "reason": reason});
            operate(&remote, name, For::Only(Kind::Reactor), "effects/discard", body, output).await
        }
    }
}

fn effects_text(effects: &[Effect]) -> String {
    if effects.is_empty() {
        return "no effects".to_owned();
    }
    let rows = effects.iter().map(|it| {
        [
            it.began_at.to_string(),
            it.stream_id.to_string(),
            it.changeset_id.to_string(),
            it.event_id.to_string(),
            it.effect.clone(),
            it.state.as_str().to_owned(),
            it.attempts.to_string(),
            it.error.clone().or_else(|| it.result.as_ref().map(ToString::to_string)).unwrap_or_default(),
        ]
    });
    let head = ["STARTED", "STREAM", "CHANGESET", "EVENT", "EFFECT", "STATE", "ATTEMPTS", "ERROR OR RESULT"];
    table(head, rows)
}
