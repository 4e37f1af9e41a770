//! `ees projections rebuild`: from zero, with an eye on how far it is.

use std::time::Duration;

use clap::Args;
use ees_projector::{State, Status};
use ees_store::client::Client;
use serde_json::json;

use super::wait::{self, Until};
use super::{post, show};
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::progress::Progress;
use crate::remote::Remote;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(super) struct Arguments {
    /// The projection
    name: String,
    /// Why; kept for others to read
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Only begin: don't wait until it is done
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(arguments: Arguments, output: &mut Output) -> Outcome {
    let Arguments { name, reason, no_wait, remote } = arguments;
    let client = remote.patient_client()?;
    let begun = post(&client, &name, "rebuild", json!({"reason": reason})).await?;
    let status = if no_wait { begun } else { until_done(&client, begun, output).await? };
    show(&status, output)
}

async fn until_done(client: &Client, mut status: Status, output: &Output) -> Outcome<Status> {
    let progress = Progress::of_changesets(status.rebuild.as_ref().map_or(0, |it| it.until.get()), output);
    while status.rebuild.is_some() {
        if matches!(status.state, State::Paused | State::Stopped) {
            let why = status.stalled.unwrap_or_default();
            return Err(Failure::other(format!("the rebuild of {} does not go on: {why}", status.name)));
        }
        progress.at(status.checkpoint.get());
        tokio::time::sleep(LOOK_EVERY).await;
        status = wait::status_once(client, &status.name, &Until::Now, Duration::ZERO).await?;
    }
    Ok(status)
}
