//! `ees dynamodb`: tables for a store or for read models in DynamoDB.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use ees_projector::dynamodb as read_models;
use ees_store::{ChangesetLog, Checkpoint, LogQuery, dynamodb};
use serde_json::json;

use crate::dynamodb_table::DynamoDbTable;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::plural::counted;

/// How many changesets are read to learn their average size.
const SAMPLE: usize = 1_000;
/// How often a sweep saves its position.
const SAVE_INTERVAL: Duration = Duration::from_secs(10);

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
        /// Calculate for the average size of the newest changesets of this table. Reads up to 1,000 of them
        #[arg(long, value_name = "TABLE")]
        table: Option<String>,
        /// The region of the table [default: from the environment]
        #[arg(long, value_name = "REGION", requires = "table")]
        region: Option<String>,
        /// Calculate for a table whose local indexes copy whole changesets, as other systems create them
        #[arg(long)]
        whole_copies: bool,
    },
    /// Adopt a table that another system created and wrote, in place
    ///
    /// Stop the functions of that system first. Reads the whole table with consistent reads: one read unit
    /// for 4 KB. If interrupted, run it again: it continues where it stopped.
    Adopt {
        #[command(flatten)]
        table: Table,
        /// Record the checkpoints without a changeset anew, in a table that was adopted before: needed if the
        /// functions of the other system ran on. Restart the servers afterwards
        #[arg(long)]
        find_holes: bool,
    },
    /// Find changesets without a checkpoint, and assign one; servers and indexers do so automatically
    ///
    /// Reads the whole table: half a read unit for 4 KB. If interrupted, run it again: it continues where it
    /// stopped.
    Sweep(Table),
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
        Command::Cost { bytes, table, region, whole_copies } => {
            let bytes = match table {
                Some(table) => average_bytes(&DynamoDbTable::new(table, region)).await?,
                None => bytes,
            };
            cost(bytes, whole_copies, output)
        }
        Command::Adopt { table, find_holes } => adopt(table.into(), find_holes, output).await,
        Command::Sweep(table) => sweep(table.into(), output).await,
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
    // Whoever asks for a price does not want to pay for a sweep.
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

fn cost(bytes: u64, whole_copies: bool, output: &mut Output) -> Outcome {
    if !output.is_json() {
        output.line(format!("1,000 changesets of {bytes} bytes:\n"))?;
        output.line(format!("{:<34}{:>8}{:>12}{:>13}", "", "calls", "read units", "write units"))?;
    }
    for cost in dynamodb::cost(bytes, if whole_copies { 2 } else { 0 }) {
        let dynamodb::Cost { what, calls, read_units, write_units } = cost;
        output.either(
            &json!({ "what": what, "calls": calls, "read_units": read_units, "write_units": write_units }),
            format!("{what:<34}{calls:>8}{read_units:>12}{write_units:>13}"),
        )?;
    }
    if !output.is_json() {
        output.line("\nAt most, in a second (the newest page of the order takes 1 MB):\n")?;
    }
    for dynamodb::Ceiling { what, per_second } in dynamodb::ceilings(bytes) {
        output.either(
            &json!({ "what": what, "per_second": per_second }),
            format!("{what:<42}{per_second:>6}"),
        )?;
    }
    Ok(())
}

async fn adopt(table: DynamoDbTable, find_holes: bool, output: &mut Output) -> Outcome {
    let config = table.sdk_config().await;
    let mut changesets = 0;
    let told = |now| {
        if now / 100_000 > changesets / 100_000 {
            tracing::warn!(changesets = now, "scanned");
        }
        changesets = now;
    };
    let adopted = if find_holes {
        dynamodb::find_holes(&config, &table.name, told).await
    } else {
        dynamodb::adopt(&config, &table.name, told).await
    };
    let adopted = adopted.map_err(table_failure)?;
    let dynamodb::Adopted { is_known, changesets, head, holes, quarantined, indexed, calls, read_units } =
        adopted;
    let result = if is_known { "already adopted" } else { "adopted" };
    output.either(
        &json!({
            "table": table.name, "is_known": is_known, "changesets": changesets, "head": head, "holes": holes,
            "quarantined": quarantined, "indexed": indexed, "calls": calls, "read_units": read_units,
        }),
        format!(
            "{}: {result}\n  the order ended at {head}, with {}\n  can't be read and quarantined: {}\n  had no \
             checkpoint and have one now: {}\n  {}, {read_units} read units",
            table.name,
            counted(holes, "unused checkpoint"),
            counted(quarantined, "changeset"),
            counted(indexed, "changeset"),
            counted(calls, "call")
        ),
    )
}

async fn sweep(table: DynamoDbTable, output: &mut Output) -> Outcome {
    let indexer =
        dynamodb::Indexer::open(&table.sdk_config().await, &table.name).await.map_err(table_failure)?;
    let mut all = dynamodb::Swept::default();
    while !all.is_done {
        // Each call saves its position.
        let swept = indexer.sweep(Instant::now() + SAVE_INTERVAL).await?;
        all.items += swept.items;
        all.indexed += swept.indexed;
        all.calls += swept.calls;
        all.read_units += swept.read_units;
        all.is_done = swept.is_done;
    }
    let dynamodb::Swept { items, indexed, calls, read_units, .. } = all;
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
