//! `ees import`: changesets from a file of JSON lines.

mod entry;
mod keep_order;
mod lanes;
mod lines;

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use crate::exit::Outcome;
use crate::output::Output;
use crate::place::{Keeping, Place};
use crate::remote::Remote;
use lines::Lines;

/// Commit the changesets in a file of JSON lines, plain or gzipped
///
/// A line is {"stream_id", "events", and if need be "metadata", "stream_type", "expected_last_changeset"}; without the
/// last it follows the stream's line before. Streams are imported side by side, each in the order of its lines. Run
/// again after it broke off, it adds what is missing, and nothing twice.
///
/// With --keep-order the file is one made by `ees export`, and becomes a log of its own: the same global order, times
/// and types, written straight into a store that no server has open.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The file, or - for standard input
    file: String,
    /// Move a whole log: write an export straight into --store, or --data
    #[arg(long)]
    keep_order: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    keeping: Keeping,
    #[command(flatten)]
    remote: Remote,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    imported: u64,
    already_there: u64,
}

#[derive(Serialize)]
struct Summary {
    imported: u64,
    already_there: u64,
    seconds: f64,
}

pub(crate) async fn run(arguments: Arguments, output: &mut Output) -> Outcome {
    let begun = Instant::now();
    let lines = Lines::open(&arguments.file)?;
    let Counts { imported, already_there } = if arguments.keep_order {
        keep_order::import(lines, &arguments.place.backend()?, arguments.keeping, output).await?
    } else {
        lanes::import(lines, arguments.remote.patient_client().await?, output).await?
    };
    let took = begun.elapsed();
    let text = format!(
        "{imported} changesets imported, {already_there} were there already, {:.1} s",
        took.as_secs_f64()
    );
    output.either(&Summary { imported, already_there, seconds: took.as_secs_f64() }, text)
}

/// For the progress bar.
fn told(Counts { imported, already_there }: Counts, took: Duration) -> String {
    let all = imported + already_there;
    format!("{all} changesets, {:.0}/s", all as f64 / took.as_secs_f64().max(0.001))
}
