//! A preview in words.

use super::{
    ColumnDifference, Failures, Preview, PreviewedEffect, ProjectionPreview, ReactorPreview, RowDifference,
    RowDifferenceKind, TableDifferences, WriteUnits,
};

/// Returns the lines that the program prints.
pub(super) fn of(preview: &Preview) -> String {
    let mut lines = Vec::new();
    match preview {
        Preview::Projection(preview) => projection(preview, &mut lines),
        Preview::Reactor(preview) => reactor(preview, &mut lines),
    }
    lines.iter().map(|line| printable(line)).collect::<Vec<_>>().join("\n")
}

/// Returns the line for what a rebuild on DynamoDB costs.
pub(super) fn of_cost(name: &str, cost: &WriteUnits, million: f64) -> String {
    let WriteUnits { changesets, sampled, transactions, rows, units } = cost;
    format!(
        "{name}: a rebuild on DynamoDB replays {} and writes {}: {units} write units in {}, {:.2} at {million} for a \
         million (estimated from {})",
        counted(*changesets, "changeset"),
        counted(*rows, "row"),
        counted(*transactions, "transaction"),
        cost.cost(million),
        counted(*sampled, "changeset"),
    )
}

/// Untrusted text on a terminal: control characters can't control it.
pub(super) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => printable.extend(character.escape_unicode()),
            false => printable.push(character),
        }
    }
    printable
}

fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn projection(preview: &ProjectionPreview, lines: &mut Vec<String>) {
    let ProjectionPreview { name, version, live_version, checkpoint, head, rebuild, .. } = preview;
    lines.push(format!("{name}: version {version}, live is version {live_version}"));
    if preview.is_compared {
        let rows = counted(preview.rows.rows_new(), "row");
        lines.push(format!("  compared at checkpoint {checkpoint} of {head}: {rows}"));
    } else {
        lines.push(format!(
            "  not compared: too many streams had failed at checkpoint {checkpoint} of {head}"
        ));
    }
    for table in &preview.rows.tables_only_live {
        lines.push(format!("  table {table}: only in the live read model"));
    }
    for table in &preview.rows.tables_only_new {
        lines.push(format!("  table {table}: new"));
    }
    for table in preview.rows.tables.iter().filter(|table| !table.is_equal()) {
        table_lines(table, lines);
    }
    failures(&preview.failures, "could not be read or applied", lines);
    if preview.skipped > 0 {
        lines.push(format!(
            "  left out, as operators skipped them: {}",
            counted(preview.skipped, "changeset")
        ));
    }
    if preview.parked_streams > 0 {
        let parked = counted(preview.parked_streams, "stream");
        lines.push(format!("  left out, as it is parked in the live read model: what waits in {parked}"));
    }
    if preview.is_equal() {
        lines.push("  no differences".to_owned());
    }
    let mut cost = format!("  a rebuild replays {}", counted(rebuild.changesets, "changeset"));
    if let (Some(seconds), Some(rate)) = (rebuild.seconds, rebuild.rate) {
        cost += &format!(", about {seconds:.0} s at {rate:.0} changesets/s");
    }
    if let Some(bytes) = rebuild.read_model_bytes {
        cost += &format!(", and takes {:.1} MiB", bytes as f64 / 1024.0 / 1024.0);
    }
    lines.push(cost);
}

fn table_lines(table: &TableDifferences, lines: &mut Vec<String>) {
    let TableDifferences { table: name, rows_live, rows_new, added, removed, changed, .. } = table;
    lines.push(format!(
        "  table {name}: {changed} changed, {added} added, {removed} removed ({} live, {rows_new} new)",
        counted(*rows_live, "row")
    ));
    for (column, count) in &table.columns {
        lines.push(format!("    column {column}: differs in {}", counted(*count, "row")));
    }
    lines.extend(
        table.columns_only_live.iter().map(|column| format!("    column {column}: only in the live table")),
    );
    lines.extend(table.columns_only_new.iter().map(|column| format!("    column {column}: new")));
    for ty in &table.types {
        lines.push(format!("    column {}: {} instead of {}", ty.column, ty.new, ty.live));
    }
    for RowDifference { key, kind, columns } in &table.samples {
        let kind = match kind {
            RowDifferenceKind::Added => "added",
            RowDifferenceKind::Removed => "removed",
            RowDifferenceKind::Changed => "changed",
        };
        let columns: Vec<_> = columns.iter().map(column_text).collect();
        lines.push(format!("    {kind} {key}: {}", columns.join(", ")));
    }
}

fn column_text(ColumnDifference { column, before, after }: &ColumnDifference) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("{column} {} -> {}", before.as_str(), after.as_str()),
        (Some(value), None) | (None, Some(value)) => format!("{column} {}", value.as_str()),
        (None, None) => column.clone(),
    }
}

fn failures(failures: &Failures, what: &str, lines: &mut Vec<String>) {
    if failures.streams == 0 {
        return;
    }
    let (streams, changesets) =
        (counted(failures.streams, "stream"), counted(failures.changesets, "changeset"));
    lines.push(format!("  {what}: {streams}, {changesets} with those that wait behind"));
    for failed in &failures.samples {
        lines.push(format!("    {} changeset {}: {}", failed.stream_id, failed.changeset_id, failed.error));
    }
}

fn reactor(preview: &ReactorPreview, lines: &mut Vec<String>) {
    let ReactorPreview { name, from, until, live_checkpoint, known, missing, .. } = preview;
    let live = match live_checkpoint {
        Some(checkpoint) => format!("the reactor is at checkpoint {checkpoint}"),
        None => "the reactor was never started here".to_owned(),
    };
    lines.push(format!("{name}: checkpoints {from} to {until}; {live}"));
    lines.push(format!("  {}: {known} in the ledger, {missing} not", counted(known + missing, "effect")));
    for PreviewedEffect { effect, stream_id, changeset_id, event_id, due, payload, .. } in &preview.effects {
        let due = due.map(|due| format!(", due {due}")).unwrap_or_default();
        let payload = payload.as_ref().map(|payload| format!(": {}", payload.as_str())).unwrap_or_default();
        lines.push(format!(
            "    {effect} for {stream_id} changeset {changeset_id}, event {event_id}{due}{payload}"
        ));
    }
    failures(&preview.failures, "could not be acted on", lines);
    if preview.parked_streams > 0 {
        lines.push(format!("  parked: {}", counted(preview.parked_streams, "stream")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preview::RowDifferences;
    use crate::worker::side_by_side::estimate::Estimate;

    #[test]
    fn a_preview_says_in_lines_what_differs() {
        let mut table = TableDifferences {
            table: "sums".to_owned(),
            rows_live: 1,
            rows_new: 2,
            ..TableDifferences::default()
        };
        table.add("a\u{9b}".to_owned(), Some(r#"{"sum":1}"#), Some(r#"{"sum":2}"#), 9).unwrap();
        table.add("b".to_owned(), None, Some(r#"{"sum":3}"#), 9).unwrap();
        table.columns_only_new.push("count".to_owned());
        let preview = ProjectionPreview {
            name: "sums".to_owned(),
            version: 2,
            live_version: 1,
            checkpoint: 4,
            head: 5,
            is_compared: true,
            rows: RowDifferences { tables: vec![table], ..RowDifferences::default() },
            failures: Failures::default(),
            skipped: 1,
            parked_streams: 0,
            rebuild: Estimate {
                changesets: 5,
                rate: Some(2.0),
                seconds: Some(2.5),
                read_model_bytes: Some(1 << 20),
                write_units: None,
                by_segments: None,
            },
        };
        assert_eq!(
            of(&Preview::Projection(preview)),
            "sums: version 2, live is version 1\n  \
             compared at checkpoint 4 of 5: 2 rows\n  \
             table sums: 1 changed, 1 added, 0 removed (1 row live, 2 new)\n    \
             column sum: differs in 1 row\n    \
             column count: new\n    \
             changed a\\u{9b}: sum 1 -> 2\n    \
             added b: sum 3\n  \
             left out, as operators skipped them: 1 changeset\n  \
             a rebuild replays 5 changesets, about 2 s at 2 changesets/s, and takes 1.0 MiB"
        );
    }
}
