//! `ees import`: commit the changesets in a file of JSON lines.

mod counts;
mod entry;
#[cfg(test)]
mod fuzzing;
mod interrupted;
mod keep_order;
mod lanes;
mod lines;

use std::time::Instant;

use clap::Args;
use serde::Serialize;

use crate::exit::Outcome;
use crate::output::Output;
use crate::plural::counted;
use crate::remote::Remote;
use crate::retention::Retention;
use crate::store_location::StoreLocation;
use counts::Counts;
use lines::Lines;

/// Commit the changesets in a file of JSON lines, plain or compressed with gzip
///
/// A line is an object with "stream_id" and "events", and optionally "metadata", "stream_type", "traceparent",
/// "tracestate" and "expected_last_changeset". By default, a line is expected to follow the stream's previous line. A line of
/// an export has "changeset_id" too: a line that is missing, doubled or moved is refused. Streams are imported
/// in parallel, each in the order of its lines. You can run an interrupted import again: it adds
/// what is missing, and nothing twice.
///
/// With --keep-order, the file must come from `ees export`. It becomes a new log with the same global order,
/// timestamps and types, written directly into a store that no server has open. This is the only way to move
/// changesets that a server would refuse: those of another system, and quarantined ones.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The file, or - for standard input
    file: String,
    /// Move a whole log: write an export directly into --store or --data
    #[arg(long)]
    keep_order: bool,
    /// Accept an export whose log has checkpoints without a changeset, as a table that was adopted has. The
    /// changesets keep their order, and get checkpoints without gaps
    #[arg(long, requires = "keep_order")]
    renumber: bool,
    #[command(flatten)]
    location: StoreLocation,
    #[command(flatten)]
    retention: Retention,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Serialize)]
struct Summary {
    imported: u64,
    already_there: u64,
    seconds: f64,
}

pub(crate) async fn run(arguments: Arguments, output: &mut Output) -> Outcome {
    let started = Instant::now();
    let lines = Lines::open(&arguments.file)?;
    let Counts { imported, already_there } = if arguments.keep_order {
        let Arguments { location, retention, renumber, .. } = arguments;
        location.check_log_is_there()?;
        keep_order::import(lines, &location.backend()?, retention, renumber, output).await?
    } else {
        lanes::import(lines, arguments.remote.patient_client().await?, output).await?
    };
    let elapsed = started.elapsed().as_secs_f64();
    let text = format!(
        "{} imported, {already_there} already in the store, {elapsed:.1} s",
        counted(imported, "changeset")
    );
    output.either(&Summary { imported, already_there, seconds: elapsed }, text)
}
