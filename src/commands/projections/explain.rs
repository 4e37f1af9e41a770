//! `ees projections explain`: the events that made a row.

use std::pin::pin;

use clap::Args;
use ees_projector::{ExplainProgress, Explanation, Kind, LeftOut, Step, WhyLeftOut, Writer};
use ees_store::Json;

use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::plural::counted;
use crate::printable::Printable;
use crate::progress::Progress;
use crate::projection::{POLL_INTERVAL, ProjectionClient, encoded};
use crate::remote::Remote;

/// Show why a row is as it is: the events that made it, the row before and after each, and the last writer of each
/// column. Exits with code 9 if the database has another row
#[derive(Args)]
pub(super) struct Arguments {
    /// The projection
    name: String,
    /// The key of the row
    key: String,
    /// The table, if the projection has several
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// The most steps to show: the first half and the last half of that number
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u16).range(1..=1000))]
    steps: u16,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(
    Arguments { name, key, table, steps, remote }: Arguments,
    output: &mut Output,
) -> Outcome {
    let projection = ProjectionClient::new(remote.patient_client().await?, name.clone());
    projection.check_is(Kind::Projection).await?;
    let table = table.map(|table| format!("&table={}", encoded(&table))).unwrap_or_default();
    let resource = format!("explain?key={}&steps={steps}{table}", encoded(&key));
    let explanation = with_progress(&projection, projection.get_after_long(&resource), output).await?;
    output.either(&explanation, text(&explanation))?;
    if explanation.is_stored {
        return Ok(());
    }
    Err(Failure::differs(format!("the events of now make another row than the one that {name} has"))
        .with_hint(format!("`ees projections rebuild {name}` makes it anew")))
}

/// Waits for the explanation, and shows how far the replay is where somebody can see it.
async fn with_progress(
    projection: &ProjectionClient,
    explaining: impl Future<Output = Outcome<Explanation>>,
    output: &Output,
) -> Outcome<Explanation> {
    let mut explaining = pin!(explaining);
    let mut bar = None;
    loop {
        tokio::select! {
            biased;
            explained = &mut explaining => return explained,
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
        // Without the progress, the explanation comes all the same.
        if Progress::is_shown(output)
            && let Ok(Some(ExplainProgress { checkpoint, until })) = projection.get("explain/progress").await
        {
            bar.get_or_insert_with(|| Progress::of_changesets(until.get(), output)).at(checkpoint.get());
        }
    }
}

fn text(explanation: &Explanation) -> String {
    let Explanation { table, key, checkpoint, row, stored, steps_total, .. } = explanation;
    let mut lines = Vec::new();
    for (at, step) in explanation.steps.iter().enumerate() {
        let before = at.checked_sub(1).map_or(0, |before| explanation.steps[before].number);
        let omitted = step.number - before - 1;
        if omitted > 0 {
            lines.push(format!("... {} in between", counted(omitted, "step")));
        }
        lines.extend(step_lines(step));
    }
    for (column, writer) in &explanation.written_by {
        lines.push(format!("{column} was written by {}", writer_text(writer)));
    }
    lines.extend(explanation.left_out.iter().map(left_out_text));
    let of = explanation.stream_id.as_ref().map(|stream| format!(" of stream {stream}")).unwrap_or_default();
    let replayed = counted(explanation.replayed, "changeset");
    lines.push(format!("{}, {} replayed{of}", counted(*steps_total, "step"), replayed));
    lines.push(format!("{table} {key} at checkpoint {checkpoint}: {}", row_text(row.as_ref())));
    if *steps_total == 0 && row.is_none() && stored.is_none() {
        lines.push("no event up to there has made a row with this key".to_owned());
    }
    if !explanation.is_stored {
        lines.push(format!("in the database: {}", row_text(stored.as_ref())));
    }
    lines.iter().map(|line| Printable(line).to_string()).collect::<Vec<_>>().join("\n")
}

fn step_lines(step: &Step) -> impl Iterator<Item = String> {
    let Step { number, writer, timestamp, event, before, after, changed } = step;
    let [before, after] = [before, after].map(|row| row_text(row.as_ref()));
    let lines = [
        Some(format!("#{number} {timestamp} {} ({})", writer_text(writer), changed.join(", "))),
        event.as_ref().map(|event| format!("   event  {event}")),
        Some(format!("   before {before}")),
        Some(format!("   after  {after}")),
    ];
    lines.into_iter().flatten()
}

fn writer_text(Writer { checkpoint, stream_id, changeset_id, event_id, event_type }: &Writer) -> String {
    let event_type = event_type.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
    format!("{event_type}{stream_id} changeset {changeset_id}, event {event_id}, checkpoint {checkpoint}")
}

pub(super) fn left_out_text(LeftOut { checkpoint, stream_id, changeset_id, why }: &LeftOut) -> String {
    let why = match why {
        WhyLeftOut::Skipped => "skipped by an operator",
        WhyLeftOut::Parked => "parked, with all later ones of its stream",
        WhyLeftOut::Unreadable => "the current code can't read it",
    };
    format!("left out: {stream_id} changeset {changeset_id}, checkpoint {checkpoint}: {why}")
}

pub(super) fn row_text(row: Option<&Json>) -> String {
    row.map_or_else(|| "no row".to_owned(), Json::to_string)
}
