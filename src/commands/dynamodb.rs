//! `ees dynamodb`: tables for a store or for read models in DynamoDB.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use ees_projector::dynamodb as read_models;
use ees_store::{ChangesetLog, Checkpoint, LogQuery, StreamId, dynamodb};
use serde_json::json;

use crate::dynamodb_table::DynamoDbTable;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::plural::counted;

/// How many changesets are read to learn their average size.
const SAMPLE: usize = 1_000;
/// Longer than any sweep takes.
const SWEEP_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Create, check or adopt a table in DynamoDB
#[derive(Args)]
#[command(arg_required_else_help = false)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create a table with on-demand billing, encryption, point-in-time recovery, a stream and deletion
    /// protection
    CreateTable {
        #[command(flatten)]
        table: Table,
        /// Create it for read models (`ees serve --read-models dynamodb://TABLE`) instead of a log: with
        /// on-demand billing only, since read models can be rebuilt
        #[arg(long, conflicts_with = "unprotected")]
        read_models: bool,
        /// Create it without deletion protection, for trying things out
        #[arg(long)]
        unprotected: bool,
    },
    /// Check that a table has what a store requires, and what it should have
    Check {
        #[command(flatten)]
        table: Table,
        /// Read the whole table, too (half a read unit for 4 KB), and list the changesets that can't be read
        #[arg(long)]
        bodies: bool,
    },
    /// Show what 1,000 changesets cost in calls and capacity units, by operation, and how many a table takes in
    /// a second
    Cost {
        /// The size of a changeset's events and metadata in bytes
        #[arg(long, value_name = "BYTES", default_value_t = 500, conflicts_with = "table")]
        bytes: u64,
        /// Calculate for the format of this table and the average size of its newest changesets. Reads up to 1,000
        /// of them
        #[arg(long, value_name = "TABLE")]
        table: Option<String>,
        /// The region of the table [default: from the environment]
        #[arg(long, value_name = "REGION", requires = "table")]
        region: Option<String>,
        /// Calculate for a table of this format: 3 is that of new tables, 2 that of tables which earlier versions
        /// created, 1 that of another system, whose indexes copy whole changesets
        #[arg(long, value_name = "FORMAT", default_value_t = 3, conflicts_with = "table",
            value_parser = clap::value_parser!(u8).range(1..=3))]
        format: u8,
    },
    /// Adopt a table that another system created and wrote, in place
    ///
    /// Stop the functions of that system first. Reads the whole table with consistent reads: one read unit
    /// for 4 KB. If interrupted, run it again: it continues where it stopped. Changesets whose place in the
    /// order can't be right are listed, and nothing is adopted (exit code 4) unless --mend is given.
    Adopt {
        #[command(flatten)]
        table: Table,
        /// Give changesets whose place in the order can't be right (half a place, the place of another
        /// changeset) new places behind all others. Run it without first: it lists them
        #[arg(long, conflicts_with = "find_holes")]
        mend: bool,
        /// Record the checkpoints without a changeset anew, in a table that was adopted before: needed if the
        /// functions of the other system ran on. Restart the servers afterwards
        #[arg(long)]
        find_holes: bool,
    },
    /// Find changesets whose place in the order can't be right, and give them new ones
    ///
    /// Such a changeset has half a place, one that was never given out, or that of another changeset. Its stream
    /// is set aside by the indexers, which raise an alarm, and what follows in the stream waits. New places are
    /// behind all others. Reads the whole table with consistent reads: one read unit for 4 KB. Servers may run.
    Mend {
        #[command(flatten)]
        table: Table,
        /// Read this stream only. Changesets with the same place are not found then
        #[arg(long, value_name = "ID")]
        stream: Option<StreamId>,
        /// List what is wrong, and change nothing. Exit code 9 if anything is
        #[arg(long)]
        dry_run: bool,
    },
    /// Move a log into a new table of the newest format, in which a commit costs less
    ///
    /// Stop everything that commits to the log first. It keeps the order, idempotency keys, times and the log's id, so
    /// projections and clients go on in the new table. From the first moment on, the old table is no log: it gives out
    /// no places, and programs refuse to open it. Reads it twice with consistent reads (one read unit for 4 KB each),
    /// and writes each item (3 or 4 write units for 500 bytes). If interrupted, run it again: it continues where it
    /// was.
    Migrate {
        /// The table that holds the log
        from: String,
        /// An empty table, made by `ees dynamodb create-table`
        to: String,
        /// The region of both tables [default: from the environment]
        #[arg(long, value_name = "REGION")]
        region: Option<String>,
        /// Give up a migration that has not come to its end: the old table is the log again
        #[arg(long)]
        cancel: bool,
    },
    /// Find changesets without a checkpoint, and assign one; servers and indexers do so automatically
    ///
    /// Reads the whole table, from its beginning: half a read unit for 4 KB. If interrupted, run it again with --resume.
    Sweep {
        #[command(flatten)]
        table: Table,
        /// Begin where the last sweep has stopped, this command's or a schedule's: what lies before is not read
        #[arg(long)]
        resume: bool,
    },
}

#[derive(Args)]
struct Table {
    /// The name of the table
    table: String,
    /// The region of the table [default: from the environment]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

impl From<Table> for DynamoDbTable {
    fn from(Table { table, region }: Table) -> Self {
        Self::new(table, region)
    }
}

pub(crate) async fn run(arguments: Arguments, output: &mut Output) -> Outcome {
    match arguments.command {
        Command::CreateTable { table, read_models: true, .. } => {
            create_for_read_models(table.into(), output).await
        }
        Command::CreateTable { table, unprotected, .. } => create(table.into(), !unprotected, output).await,
        Command::Check { table, bodies } => check(table.into(), bodies, output).await,
        Command::Cost { bytes, table, region, format } => {
            let (bytes, format) = match table {
                Some(table) => {
                    let table = DynamoDbTable::new(table, region);
                    let format = dynamodb::TableFormat::of(&table.sdk_config().await, &table.name).await;
                    (average_bytes(&table).await?, format.map_err(table_failure)?)
                }
                None => (bytes, table_format(format)),
            };
            cost(bytes, format, output)
        }
        Command::Adopt { table, mend, find_holes } => adopt(table.into(), mend, find_holes, output).await,
        Command::Mend { table, stream, dry_run } => {
            mend(table.into(), dynamodb::Mend { stream, dry_run }, output).await
        }
        Command::Migrate { from, to, region, cancel } => {
            migrate(DynamoDbTable::new(from, region), &to, cancel, output).await
        }
        Command::Sweep { table, resume } => sweep(table.into(), resume, output).await,
    }
}

fn table_format(number: u8) -> dynamodb::TableFormat {
    match number {
        1 => dynamodb::TableFormat::V1,
        2 => dynamodb::TableFormat::V2,
        _ => dynamodb::TableFormat::V3,
    }
}

async fn create(table: DynamoDbTable, protected: bool, output: &mut Output) -> Outcome {
    let created = dynamodb::create_table(&table.sdk_config().await, &table.name, protected).await?;
    let result = if created { "created" } else { "exists already; check it with `ees dynamodb check`" };
    output.either(&json!({ "table": table.name, "made": created }), format!("{}: {result}", table.name))
}

async fn create_for_read_models(table: DynamoDbTable, output: &mut Output) -> Outcome {
    let client = read_models::aws_sdk_dynamodb::Client::new(&table.sdk_config().await);
    let created = Box::pin(read_models::create_table(&client, &table.name)).await;
    let created = created.map_err(|e| Failure::new(Exit::Unavailable, "TABLE", e))?;
    let result = if created { "created for read models" } else { "exists already" };
    output.either(&json!({ "table": table.name, "made": created }), format!("{}: {result}", table.name))
}

async fn check(table: DynamoDbTable, bodies: bool, output: &mut Output) -> Outcome {
    let checks = dynamodb::check(&table.sdk_config().await, &table.name).await.map_err(table_failure)?;
    for check in &checks {
        let dynamodb::Check { what, is_well, detail } = check;
        let mark = if *is_well { "ok   " } else { "check" };
        output.either(
            &json!({ "what": what, "is_well": is_well, "detail": detail }),
            format!("{mark}  {what}: {detail}"),
        )?;
    }
    if bodies { check_bodies(table, output).await } else { Ok(()) }
}

async fn check_bodies(table: DynamoDbTable, output: &mut Output) -> Outcome {
    let mut quarantined = Vec::new();
    let config = table.sdk_config().await;
    let changesets = dynamodb::check_bodies(&config, &table.name, |changeset, why| {
        quarantined.push((changeset.stream_id.clone(), changeset.changeset_id, why.reason().to_owned()));
    });
    let changesets = changesets.await.map_err(table_failure)?;
    for (stream_id, changeset_id, reason) in &quarantined {
        output.either(
            &json!({ "stream_id": stream_id, "changeset_id": changeset_id, "quarantined": reason }),
            format!("check  changeset {changeset_id} of stream {stream_id:?} is quarantined: {reason}"),
        )?;
    }
    let count = quarantined.len();
    output.either(
        &json!({ "what": "bodies", "is_well": count == 0, "detail": format!("{count} of {changesets} are quarantined") }),
        format!("{}  bodies: {count} of {changesets} are quarantined", if count == 0 { "ok   " } else { "check" }),
    )
}

/// The average size of the newest changesets, in bytes of events and metadata.
async fn average_bytes(table: &DynamoDbTable) -> Result<u64, Failure> {
    // To ask for a price must not cost a sweep.
    let options = dynamodb::Options { indexing: dynamodb::Indexing::Elsewhere, ..Default::default() };
    let opened = dynamodb::Store::open_with(&table.sdk_config().await, &table.name, options).await;
    let store = opened.map_err(table_failure)?;
    let head = store.head().await.map_err(table_failure)?.checkpoint;
    let from = Checkpoint::new(head.get().saturating_sub(SAMPLE as u64));
    let page = store.read(LogQuery::from(from, SAMPLE)).await.map_err(table_failure)?;
    let bytes: usize = page.changesets.iter().map(|entry| entry.changeset.size_bytes()).sum();
    bytes.checked_div(page.changesets.len()).map(|average| average as u64).ok_or_else(|| {
        let why = format!("no changeset of {} has its place in the order yet; give --bytes", table.name);
        Failure::new(Exit::Usage, "TABLE", why)
    })
}

fn cost(bytes: u64, format: dynamodb::TableFormat, output: &mut Output) -> Outcome {
    if !output.is_json() {
        output.line(format!("1,000 changesets of {bytes} bytes:\n"))?;
        output.line(format!("{:<34}{:>8}{:>12}{:>13}", "", "calls", "read units", "write units"))?;
    }
    for cost in dynamodb::cost(bytes, format) {
        let dynamodb::Cost { what, calls, read_units, write_units } = cost;
        output.either(
            &json!({ "what": what, "calls": calls, "read_units": read_units, "write_units": write_units }),
            format!("{what:<34}{calls:>8}{read_units:>12}{write_units:>13}"),
        )?;
    }
    if !output.is_json() {
        output.line("\nAt most, in a second; the lower one binds:\n")?;
        output.line(format!("{:<36}{:>10}{:>16}", "", "the index", "the counter"))?;
    }
    for dynamodb::Ceiling { what, per_second, index_per_second, counter_per_second, .. } in
        dynamodb::ceilings(bytes, format)
    {
        let ends = counter_per_second.map(|it| (*it.start(), *it.end()));
        let counter = ends.map_or("-".to_owned(), |(least, most)| format!("{least} to {most}"));
        output.either(
            &json!({
                "what": what, "per_second": per_second, "index_per_second": index_per_second,
                "counter_per_second": ends,
            }),
            format!("{what:<36}{index_per_second:>10}{counter:>16}"),
        )?;
    }
    if !output.is_json() {
        output.line("\nThe counter: one transaction after the other, of 30 to 15 ms.")?;
    }
    Ok(())
}

/// Tells on standard error how far a scan has come.
fn progress() -> impl FnMut(u64) + Send {
    let mut changesets = 0;
    move |now| {
        if now / 100_000 > changesets / 100_000 {
            tracing::warn!(changesets = now, "scanned");
        }
        changesets = now;
    }
}

fn show_misplaced(misplaced: &[dynamodb::Misplaced], output: &mut Output) -> Outcome {
    for dynamodb::Misplaced { stream_id, changeset_id, why, moved_to, .. } in misplaced {
        let moved = moved_to.map(|place| format!("; it has checkpoint {place} now")).unwrap_or_default();
        output.either(
            &json!({
                "stream_id": stream_id, "changeset_id": changeset_id, "misplaced": why.to_string(), "moved_to": moved_to,
            }),
            format!("check  changeset {changeset_id} of stream {stream_id:?}: {why}{moved}"),
        )?;
    }
    Ok(())
}

async fn mend(table: DynamoDbTable, mend: dynamodb::Mend, output: &mut Output) -> Outcome {
    let dry_run = mend.dry_run;
    let config = table.sdk_config().await;
    let mended = dynamodb::mend(&config, &table.name, mend, progress()).await.map_err(table_failure)?;
    show_misplaced(&mended.misplaced, output)?;
    let dynamodb::Mended { changesets, misplaced, indexed, missing, first_missing, read_units, .. } = &mended;
    let count = misplaced.len() as u64;
    let done = if dry_run { "can't have their place" } else { "could not have their place, and were moved" };
    let mut lines = format!(
        "{}: {count} of {} {done}\n  had waited for them and have a checkpoint now: {}\n  {read_units} read units",
        table.name,
        counted(*changesets, "changeset"),
        counted(*indexed, "changeset"),
    );
    if let Some(first) = first_missing {
        lines += &format!(
            "\n  readers wait at checkpoint {first}: no changeset has it, nor {missing} in all. If this stays so, run `ees \
             dynamodb adopt {} --find-holes`, and restart the servers",
            table.name
        );
    }
    output.either(
        &json!({
            "table": table.name, "dry_run": dry_run, "changesets": changesets, "misplaced": count, "indexed": indexed,
            "missing": missing, "first_missing": first_missing, "read_units": read_units,
        }),
        lines,
    )?;
    if dry_run && count > 0 {
        return Err(Failure::differs(format!(
            "{} can't have their place in the order",
            counted(count, "changeset")
        ))
        .with_hint("the same without --dry-run gives them new ones"));
    }
    Ok(())
}

async fn adopt(table: DynamoDbTable, mend: bool, find_holes: bool, output: &mut Output) -> Outcome {
    let config = table.sdk_config().await;
    let adopted = if find_holes {
        dynamodb::find_holes(&config, &table.name, progress()).await
    } else {
        let on_misplaced = if mend { dynamodb::OnMisplaced::Mend } else { dynamodb::OnMisplaced::Refuse };
        dynamodb::adopt(&config, &table.name, on_misplaced, progress()).await
    };
    let adopted = adopted.map_err(table_failure)?;
    show_misplaced(&adopted.misplaced, output)?;
    if adopted.is_refused {
        let count = counted(adopted.misplaced.len() as u64, "changeset");
        return Err(Failure::new(
            Exit::Refused,
            "MISPLACED",
            format!("nothing was adopted: {count} can't have their place in the order"),
        )
        .with_hint("see docs/dynamodb.md; --mend gives them new places behind all others"));
    }
    let dynamodb::Adopted {
        is_known,
        changesets,
        without_checkpoint,
        head,
        holes,
        quarantined,
        set_aside,
        indexed,
        calls,
        read_units,
        ..
    } = adopted;
    let result = if is_known { "already adopted" } else { "adopted" };
    output.either(
        &json!({
            "table": table.name, "is_known": is_known, "changesets": changesets, "head": head, "holes": holes,
            "quarantined": quarantined, "set_aside": set_aside, "indexed": indexed,
            "without_checkpoint": without_checkpoint, "calls": calls, "read_units": read_units,
        }),
        format!(
            "{}: {result}{}\n  the order ended at {head}, with {}\n  can't be read and quarantined: {}\n  had no \
             checkpoint and have one now: {}\n  {}, {read_units} read units",
            table.name,
            if is_known { String::new() } else { format!(", {}", counted(changesets, "changeset")) },
            counted(holes, "unused checkpoint"),
            counted(quarantined, "changeset"),
            counted(indexed, "changeset"),
            counted(calls, "call")
        ),
    )?;
    if set_aside > 0 {
        let streams = counted(set_aside, "stream");
        return Err(Failure::differs(format!("{streams} can't go on in the order")).with_hint(format!(
            "the lines before say why; `ees dynamodb mend {} --dry-run` lists places that can't be right",
            table.name
        )));
    }
    if without_checkpoint > 0 {
        let changesets = counted(without_checkpoint, "changeset");
        return Err(Failure::differs(format!("{changesets} without a checkpoint are left"))
            .with_hint("stop what still writes to the table, then adopt again"));
    }
    Ok(())
}

async fn migrate(from: DynamoDbTable, to: &str, cancel: bool, output: &mut Output) -> Outcome {
    let config = from.sdk_config().await;
    if cancel {
        dynamodb::cancel_migration(&config, &from.name, to).await.map_err(table_failure)?;
        return output.either(
            &json!({ "from": from.name, "to": to, "cancelled": true }),
            format!("{} is the log again; delete {to}", from.name),
        );
    }
    let migrated = dynamodb::migrate(&config, &from.name, to, progress()).await.map_err(table_failure)?;
    let dynamodb::Migrated { is_known, changesets, written, read_units, .. } = migrated;
    output.either(
        &json!({
            "from": from.name, "to": to, "is_known": is_known, "changesets": changesets, "written": written,
            "read_units": read_units,
        }),
        if is_known {
            format!("{to} holds the log of {} already", from.name)
        } else {
            format!(
                "{to} holds the log now, with {}\n  written now: {}; {read_units} read units\n  start your programs on {to}; \
                 {} is no log any more",
                counted(changesets, "changeset"),
                counted(written, "item"),
                from.name
            )
        },
    )
}

async fn sweep(table: DynamoDbTable, resume: bool, output: &mut Output) -> Outcome {
    let indexer =
        dynamodb::Indexer::open(&table.sdk_config().await, &table.name).await.map_err(table_failure)?;
    let swept =
        if resume { indexer.sweep(Instant::now() + SWEEP_MAX).await } else { indexer.sweep_all().await };
    let dynamodb::Swept { items, indexed, calls, read_units, .. } = swept?;
    output.either(
        &json!({
            "table": table.name, "items": items, "indexed": indexed, "calls": calls, "read_units": read_units,
        }),
        format!(
            "{}: {indexed} of {} had no checkpoint\n  {}, {read_units} read units",
            table.name,
            counted(items, "item"),
            counted(calls, "call")
        ),
    )
}

/// An unusable table is a configuration error.
fn table_failure(error: ees_store::Error) -> Failure {
    match error {
        ees_store::Error::InvalidRequest(why) => Failure::new(Exit::Usage, "TABLE", why),
        other => other.into(),
    }
}
