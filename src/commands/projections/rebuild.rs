//! `ees projections rebuild`: replay the log from zero, in place or side by side, and show the progress; or replay some
//! streams.

use clap::Args;
use ees_projector::preview::WriteUnits;
use ees_projector::{
    Estimate, Kind, Rebuild, RebuildStreams, SegmentsEstimate, StandbyRole, StandbyStatus, State, Status,
};
use ees_store::Checkpoint;
use serde_json::json;

use super::rebuild_streams::{self, Streams};
use super::watching::watched;
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::plural::counted;
use crate::progress::Progress;
use crate::projection::{POLL_INTERVAL, ProjectionClient, status_text};
use crate::remote::Remote;

/// Clear the read model and replay the log from the start; with --side-by-side, build a new one first; with
/// --stream, rebuild the rows of some streams only
#[derive(Args)]
pub(super) struct Arguments {
    /// The projection
    name: String,
    #[command(flatten)]
    streams: Streams,
    /// Build a standby while the live read model stays in use, and swap the two when the standby has caught
    /// up
    #[arg(long)]
    side_by_side: bool,
    /// Compare the two read models at one checkpoint, and don't swap them if they differ
    #[arg(long, requires = "side_by_side")]
    verify: bool,
    /// Don't swap: leave that to `ees projections swap`
    #[arg(long, requires = "side_by_side")]
    no_swap: bool,
    /// With --side-by-side: swap even if streams are parked. Without: rebuild even if columns, triggers or
    /// the like that others added to the tables can't be made again
    #[arg(long)]
    force: bool,
    /// Leave out again what was skipped (true), or try it again (false). Default: true, if the version of the
    /// code is the same
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    keep_skips: Option<bool>,
    /// Deal the streams out to N workers for the time of the rebuild, in all processes that run the projection
    /// (PostgreSQL; with --by-segments also DynamoDB, up to 64). Default: as many as it has partitions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    workers: Option<u32>,
    /// Let each worker read its own segment of the log, instead of the whole log (a log in DynamoDB, and a projection
    /// that needs the order within streams only)
    #[arg(long)]
    by_segments: bool,
    /// Don't rebuild: estimate how long it would take; with --stream, show the rows that differ (exit code 9 if
    /// any does)
    #[arg(long, conflicts_with_all = ["verify", "no_swap", "force", "workers", "no_wait"])]
    dry_run: bool,
    /// The reason, for the audit log
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Start the rebuild without waiting for its end
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(arguments: Arguments, output: &mut Output) -> Outcome {
    let Arguments {
        name,
        streams,
        side_by_side,
        verify,
        no_swap,
        force,
        keep_skips,
        workers,
        by_segments,
        dry_run,
        reason,
        no_wait,
        remote,
    } = arguments;
    let streams = streams.read()?;
    let is_of_all =
        side_by_side || force || no_wait || keep_skips.is_some() || workers.is_some() || by_segments;
    if streams.is_some() && is_of_all {
        return Err(Failure::usage(
            "--stream and --streams-from rebuild rows in place, leave out what is skipped, and wait: they don't go with \
             --side-by-side, --force, --keep-skips, --workers, --by-segments and --no-wait",
        ));
    }
    let projection = ProjectionClient::new(remote.patient_client().await?, name);
    if let Some(streams) = streams {
        let wanted = RebuildStreams { streams, dry_run };
        return rebuild_streams::run(&projection, wanted, &reason, output).await;
    }
    projection.check_is(Kind::Projection).await?;
    if dry_run {
        let estimate: Estimate = projection.get("estimate").await?;
        if by_segments && estimate.by_segments.is_none() && estimate.changesets > 0 {
            return Err(Failure::other(
                "the projection can't be rebuilt by segments, or that can't be estimated: it needs Order::Stream, and a log \
                 in DynamoDB",
            ));
        }
        return output.either(&estimate, estimate_text(&estimate, side_by_side, by_segments));
    }
    let before = projection.status().await?;
    if !before.skipped.is_empty() && !output.is_json() {
        let skipped: Vec<_> = before.skipped.iter().map(u64::to_string).collect();
        let skipped = skipped.join(", ");
        output.line(match keep_skips {
            Some(false) => format!("tries again what was skipped at checkpoint {skipped}"),
            _ => {
                format!("skipped earlier, and left out again unless --keep-skips=false: checkpoint {skipped}")
            }
        })?;
    }
    let options = json!({
        "side_by_side": side_by_side, "verify": verify, "no_swap": no_swap, "force": force, "keep_skips": keep_skips,
        "workers": workers, "by_segments": by_segments, "reason": reason,
    });
    let rebuilt = async {
        let started: Status = projection.post("rebuild", &options).await?;
        match (no_wait, side_by_side) {
            (true, _) => Ok(started),
            (false, false) => until_rebuilt(&projection, started, output).await,
            (false, true) => until_swapped(&projection, &before, started, output).await,
        }
    };
    let name = &before.name;
    let goes_on = format!("the rebuild of {name} goes on where the projection runs, if it has begun");
    let end = if side_by_side { "discard" } else { "pause" };
    let how = format!("`ees projections status {name}` shows it, `ees projections {end} {name}` stops it");
    let status = watched(rebuilt, &goes_on, &how).await?;
    output.either(&status, status_text(&status))
}

fn estimate_text(estimate: &Estimate, side_by_side: bool, by_segments: bool) -> String {
    let mut lines = vec![format!("{} to replay", counted(estimate.changesets, "changeset"))];
    let segments = estimate.by_segments.as_ref().filter(|_| by_segments);
    let (rate, seconds) =
        segments.map_or((estimate.rate, estimate.seconds), |segments| (segments.rate, segments.seconds));
    if let (Some(rate), Some(seconds)) = (rate, seconds) {
        let by = if by_segments { "by segments with one worker, " } else { "" };
        lines.push(format!(
            "about {seconds:.0} s, {by}at {rate:.0} changesets/s as measured on the first changesets"
        ));
    }
    if let Some(units) = segments.and_then(|segments| segments.read_units) {
        let price = SegmentsEstimate::PRICE;
        lines.push(format!(
            "reads the table of the log once: {units:.0} read units, {:.2} $ at {price} $ a million",
            units / 1e6 * price
        ));
    }
    if let Some(units) = segments.map_or(estimate.write_units, |segments| segments.write_units) {
        let price = WriteUnits::PRICE;
        lines.push(format!(
            "writes the new rows: {units:.0} write units, {:.2} $ at {price} $ a million; to delete the old ones is one more \
             for each KiB",
            units / 1e6 * price
        ));
    }
    if let Some(bytes) = estimate.read_model_bytes {
        let mebibytes = bytes as f64 / 1024.0 / 1024.0;
        let twice = if side_by_side { "; the standby needs about the same in addition" } else { "" };
        lines.push(format!("the read model takes {mebibytes:.1} MiB{twice}"));
    }
    lines.join("\n")
}

async fn until_rebuilt(
    projection: &ProjectionClient,
    mut status: Status,
    output: &Output,
) -> Outcome<Status> {
    let progress = Progress::of_changesets(status.rebuild.as_ref().map_or(0, |it| it.until.get()), output);
    while status.rebuild.is_some() {
        if matches!(status.state, State::Paused | State::Stopped) {
            let reason = status.stalled.unwrap_or_default();
            return Err(Failure::other(format!("the rebuild of {} has stopped: {reason}", status.name)));
        }
        progress.at(passed(status.rebuild.as_ref(), status.checkpoint));
        tokio::time::sleep(POLL_INTERVAL).await;
        status = projection.status().await.map_err(not_seen)?;
    }
    Ok(status)
}

/// How many changesets are replayed. A rebuild by segments is at no checkpoint until it ends.
fn passed(rebuild: Option<&Rebuild>, checkpoint: Checkpoint) -> u64 {
    rebuild.map_or(checkpoint.get(), |it| (it.until.get() as f64 * it.percent / 100.0) as u64)
}

/// Waits until the new read model is live, or remains the standby. `before` identifies a standby that existed
/// already.
async fn until_swapped(
    projection: &ProjectionClient,
    before: &Status,
    started: Status,
    output: &Output,
) -> Outcome<Status> {
    let progress = Progress::of_changesets(started.head.get(), output);
    let old = before.standby.as_ref().map(|standby| standby.epoch);
    let mut status = started;
    loop {
        let built = status.standby.as_ref().filter(|standby| Some(standby.epoch) != old);
        if let Some(standby) = built {
            progress.at(passed(standby.rebuild.as_ref(), standby.checkpoint));
            if is_settled(standby, &status.name)? {
                return Ok(status);
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
        status = projection.status().await.map_err(not_seen)?;
    }
}

/// Whether the rebuild has ended.
fn is_settled(standby: &StandbyStatus, name: &str) -> Outcome<bool> {
    // Swapped: a pause is that of the old read model.
    if standby.plan.role == StandbyRole::Following {
        return Ok(true);
    }
    let stopped = |why: &str| {
        Failure::other(format!("the rebuild of {name} has stopped: {why}"))
            .with_hint(format!("`ees projections discard {name}` drops what was built"))
    };
    if let Some(pause) = &standby.pause {
        return Err(stopped(&pause.reason));
    }
    if standby.state == State::Stopped {
        return Err(stopped(standby.last_error.as_ref().map_or("", |error| &error.message)));
    }
    if let Some(note) = &standby.plan.note {
        let hint = format!(
            "`ees projections swap {name}` makes it live all the same, `ees projections discard {name}` drops it"
        );
        return Err(Failure::differs(format!("{name} was built but not swapped: {note}")).with_hint(hint));
    }
    Ok(!standby.plan.swap && standby.rebuild.is_none())
}

/// The server is not reached any more.
fn not_seen(failure: Failure) -> Failure {
    failure.after("the rebuild goes on as long as a process runs the projection")
}
