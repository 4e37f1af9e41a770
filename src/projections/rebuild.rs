//! `ees projections rebuild`: from zero, in place or beside the live one, with an eye on how far it is.

use std::time::Duration;

use clap::Args;
use ees_projector::{Estimate, StandbyRole, StandbyStatus, State, Status};
use ees_store::client::Client;
use serde_json::json;

use super::wait::{self, Until};
use super::{path, post, show};
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::progress::Progress;
use crate::remote::Remote;

/// How often it is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Wipe the read model and replay the log from zero; or build it anew beside the live one
#[derive(Args)]
pub(super) struct Arguments {
    /// The projection
    name: String,
    /// Build it beside the live one, which goes on until the new one has caught up and takes its place
    #[arg(long)]
    side_by_side: bool,
    /// Compare the two at one checkpoint before; when they differ, they are not swapped
    #[arg(long, requires = "side_by_side")]
    verify: bool,
    /// Only build: `ees projections swap` swaps
    #[arg(long, requires = "side_by_side")]
    no_swap: bool,
    /// Swap although streams are parked
    #[arg(long, requires = "side_by_side")]
    force: bool,
    /// Only say what it would take
    #[arg(long, conflicts_with_all = ["verify", "no_swap", "force", "no_wait"])]
    dry_run: bool,
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
    let Arguments { name, side_by_side, verify, no_swap, force, dry_run, reason, no_wait, remote } =
        arguments;
    let client = remote.patient_client().await?;
    if dry_run {
        let estimate: Estimate = client.get_json(&format!("{}/estimate", path(&name))).await?;
        return output.either(&estimate, in_words(&estimate, side_by_side));
    }
    let before = wait::status_once(&client, &name, &Until::Now, Duration::ZERO).await?;
    let wanted = json!({
        "side_by_side": side_by_side, "verify": verify, "no_swap": no_swap, "force": force, "reason": reason,
    });
    let begun = post(&client, &name, "rebuild", wanted).await?;
    let status = match (no_wait, side_by_side) {
        (true, _) => begun,
        (false, false) => until_done(&client, begun, output).await?,
        (false, true) => until_swapped(&client, &before, begun, output).await?,
    };
    show(&status, output)
}

fn in_words(estimate: &Estimate, side_by_side: bool) -> String {
    let mut lines = vec![format!("{} changesets to replay", estimate.changesets)];
    if let (Some(rate), Some(seconds)) = (estimate.rate, estimate.seconds) {
        lines.push(format!("about {seconds:.0} s, at the {rate:.0} changesets/s of the first ones"));
    }
    if let Some(bytes) = estimate.read_model_bytes {
        let mebibytes = bytes as f64 / 1024.0 / 1024.0;
        let besides =
            if side_by_side { ", and needs about as much besides until the old one is dropped" } else { "" };
        lines.push(format!("the read model takes {mebibytes:.1} MiB{besides}"));
    }
    lines.join("\n")
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

/// Until the new one is in its place, or beside it for good. `before` tells a standby that was there already.
async fn until_swapped(client: &Client, before: &Status, begun: Status, output: &Output) -> Outcome<Status> {
    let progress = Progress::of_changesets(begun.head.get(), output);
    let old = before.standby.as_ref().map(|standby| standby.epoch);
    let mut status = begun;
    loop {
        let made = status.standby.as_ref().filter(|standby| Some(standby.epoch) != old);
        if let Some(standby) = made {
            progress.at(standby.checkpoint.get());
            if is_settled(standby, &status.name)? {
                return Ok(status);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
        status = wait::status_once(client, &status.name, &Until::Now, Duration::ZERO).await?;
    }
}

/// Whether nothing more is going to happen.
fn is_settled(standby: &StandbyStatus, name: &str) -> Outcome<bool> {
    if let Some(pause) = &standby.pause {
        return Err(Failure::other(format!("the rebuild of {name} does not go on: {}", pause.reason)));
    }
    if let Some(note) = &standby.plan.note {
        return Err(Failure::differs(format!("{name} was built, and not swapped: {note}")));
    }
    Ok(match standby.plan.role {
        StandbyRole::Following => true,
        StandbyRole::Building => !standby.plan.swap && standby.rebuild.is_none(),
    })
}
