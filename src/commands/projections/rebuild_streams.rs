//! `ees projections rebuild NAME --stream ID`: make the rows of some streams anew, and leave all others alone.

use std::path::PathBuf;

use clap::Args;
use ees_projector::{Kind, RebuildStreams, RebuiltRow, RebuiltStreams};
use ees_store::StreamId;
use serde_json::json;

use super::explain::{left_out_text, row_text};
use super::watching::watched;
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::plural::counted;
use crate::printable::Printable;
use crate::projection::ProjectionClient;

#[derive(Args)]
pub(super) struct Streams {
    /// Rebuild only the rows of this stream, in one transaction, while the projection goes on; repeatable. For a
    /// projection whose rows are made of one stream each. With --dry-run: show how they differ, and change nothing
    #[arg(long = "stream", value_name = "STREAM")]
    streams: Vec<StreamId>,
    /// Like --stream, with the streams from a file, one in a line; - for standard input
    #[arg(long = "streams-from", value_name = "FILE", conflicts_with = "streams")]
    from: Option<PathBuf>,
}

impl Streams {
    /// Returns the streams, if the rows of single streams are to be rebuilt.
    pub(super) fn read(self) -> Outcome<Option<Vec<StreamId>>> {
        let Some(path) = self.from else {
            return Ok(Some(self.streams).filter(|streams| !streams.is_empty()));
        };
        let is_standard_input = path.as_os_str() == "-";
        let name = if is_standard_input { "standard input".to_owned() } else { path.display().to_string() };
        let text = match is_standard_input {
            true => std::io::read_to_string(std::io::stdin()),
            false => std::fs::read_to_string(&path),
        };
        let text = text.map_err(|error| Failure::file(&name, &error))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let stream = |(number, line): (usize, &str)| {
            let wrong = |error| Failure::bad_input(error).at(format!("{name}, line {}", number + 1));
            line.trim().parse::<StreamId>().map_err(wrong)
        };
        let streams = lines.map(stream).collect::<Outcome<Vec<_>>>()?;
        match streams.len() {
            0 => Err(Failure::bad_input("there is no stream in it").at(name)),
            _ => Ok(Some(streams)),
        }
    }
}

pub(super) async fn run(
    projection: &ProjectionClient,
    wanted: RebuildStreams,
    reason: &str,
    output: &mut Output,
) -> Outcome {
    projection.check_is(Kind::Projection).await?;
    let RebuildStreams { streams, dry_run } = wanted;
    let body = json!({"streams": streams, "dry_run": dry_run, "reason": reason});
    let rebuilt = projection.post("rebuild-streams", &body);
    let rebuilt: RebuiltStreams = if dry_run {
        rebuilt.await?
    } else {
        let how = "the same with --dry-run shows whether rows differ";
        watched(rebuilt, "all rows of the streams are replaced, or none", how).await?
    };
    output.either(&rebuilt, text(&rebuilt))?;
    if !dry_run || rebuilt.differing() == 0 {
        return Ok(());
    }
    let differing = counted(rebuilt.differing(), "row");
    Err(Failure::differs(format!("{differing} differ from what the events make"))
        .with_hint("the same without --dry-run replaces them"))
}

fn text(rebuilt: &RebuiltStreams) -> String {
    let RebuiltStreams { dry_run, checkpoint, streams, replayed, added, removed, changed, unchanged, .. } =
        rebuilt;
    let mut lines: Vec<_> = rebuilt.rows.iter().flat_map(row_lines).collect();
    let omitted = rebuilt.differing() - rebuilt.rows.len() as u64;
    if omitted > 0 {
        lines.push(format!("... and {} more", counted(omitted, "row")));
    }
    lines.extend(rebuilt.left_out.iter().map(left_out_text));
    let [streams, replayed] = [counted(*streams, "stream"), counted(*replayed, "changeset")];
    lines.push(format!("{streams} with {replayed} replayed up to checkpoint {checkpoint}"));
    let would = if *dry_run { "a rebuild of these streams would replace: " } else { "" };
    lines.push(format!(
        "{would}{} added, {removed} removed, {changed} changed, {unchanged} right",
        counted(*added, "row")
    ));
    lines.iter().map(|line| Printable(line).to_string()).collect::<Vec<_>>().join("\n")
}

fn row_lines(row: &RebuiltRow) -> [String; 3] {
    let RebuiltRow { table, key, stream_id, before, after, columns } = row;
    [
        format!("{table} {key} of stream {stream_id} ({})", columns.join(", ")),
        format!("   before {}", row_text(before.as_ref())),
        format!("   after  {}", row_text(after.as_ref())),
    ]
}
