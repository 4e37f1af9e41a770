//! `ees projections at`: build a read model as it was, beside the live one.

use std::pin::Pin;

use clap::Args;
use ees_projector::{AsOf, AsOfProgress, AsOfStatus, Kind, Status};
use ees_store::{Checkpoint, Timestamp};
use serde_json::{Value, json};

use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::progress::Progress;
use crate::projection::{POLL_INTERVAL, ProjectionClient};
use crate::remote::Remote;
use crate::signals;
use crate::values::moment;

/// Build the read model as it was at a checkpoint or a time, in a schema (PostgreSQL) or a file (SQLite) of its own
///
/// The copy does not follow the log, and stays until it is dropped. Ctrl-C cancels the building, and the same command
/// again goes on with it.
#[derive(Args)]
pub(super) struct Arguments {
    /// The projection
    name: String,
    /// What comes before this checkpoint is in the copy
    #[arg(long, value_name = "CHECKPOINT", required_unless_present_any = ["time", "drop"], conflicts_with = "time")]
    checkpoint: Option<Checkpoint>,
    /// What was committed before this time is in the copy, such as 2026-11-26T10:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    time: Option<Timestamp>,
    /// The new schema; on SQLite, the new file in the folder of the read model, .db being added
    #[arg(long, value_name = "SCHEMA|FILE")]
    into: String,
    /// Drop the copy
    #[arg(long, conflicts_with_all = ["checkpoint", "time"])]
    drop: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(arguments: Arguments, output: &mut Output) -> Outcome {
    let Arguments { name, checkpoint, time, into, drop, remote } = arguments;
    let projection = ProjectionClient::new(remote.patient_client().await?, name.clone());
    projection.check_is(Kind::Projection).await?;
    if drop {
        let _: Status = projection.post("as-of/drop", &json!({"into": into})).await?;
        return output.either(&json!({"dropped": into}), format!("{into} is dropped"));
    }
    let mut body = json!({"into": into});
    match (checkpoint, time) {
        (Some(checkpoint), _) => body["checkpoint"] = json!(checkpoint),
        (None, time) => body["time"] = json!(time),
    }
    let mut interrupted: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(signals::listen()?);
    let _: Value = projection.post("as-of", &body).await?;
    let mut bar = None;
    let as_of: AsOf = loop {
        let seen: Outcome<Option<AsOfStatus>> = projection.get("as-of").await;
        match seen.map_err(|failure| failure.after("the copy is built on in the server"))? {
            Some(AsOfStatus { as_of, .. }) if as_of.into != into => {
                return Err(Failure::other("the server has begun another copy; run the command again"));
            }
            Some(AsOfStatus { as_of, progress: AsOfProgress::Done }) => break as_of,
            Some(AsOfStatus { progress: AsOfProgress::Cancelled { next }, .. }) => {
                return Err(cancelled(&into, next));
            }
            Some(AsOfStatus { progress: AsOfProgress::Failed { error, code }, .. }) => {
                return Err(Failure::told(code, format!("cannot build {into}: {error}")));
            }
            Some(AsOfStatus { as_of, progress: AsOfProgress::Building { next } }) => {
                let until = as_of.checkpoint.get();
                bar.get_or_insert_with(|| Progress::of_changesets(until, output)).at(next);
            }
            None => return Err(Failure::other("the server has restarted; run the command again to go on")),
        }
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            () = &mut interrupted => {
                // It may be complete by now: the next look tells.
                let cancel = projection.post::<Value>("as-of/cancel", &json!({"into": into})).await;
                if let Err(failure) = cancel && failure.code() != "NOT_POSSIBLE" {
                    return Err(failure.after("the copy is built on in the server"));
                }
                interrupted = Box::pin(std::future::pending());
            }
        }
    };
    std::mem::drop(bar);
    let text = format!("{into} is {name} as of checkpoint {}", as_of.checkpoint);
    output.either(&as_of, text)
}

fn cancelled(into: &str, next: u64) -> Failure {
    Failure::new(Exit::Interrupted, "CANCELLED", format!("{into} was cancelled before checkpoint {next}"))
        .with_hint("the same command goes on with it; --drop drops it")
}
