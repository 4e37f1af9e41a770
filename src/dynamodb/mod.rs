//! `ees dynamodb`: tables for the store in DynamoDB.

mod address;

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use ees_projector::dynamodb as read_models;
use ees_store::dynamodb;
use serde_json::json;

use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
pub(crate) use address::Address;

/// How long a sweep goes on before it writes down where it is.
const SWEEP_AT_ONCE: Duration = Duration::from_secs(10);

/// Make a table in DynamoDB, look at one, take one over
#[derive(Args)]
#[command(arg_required_else_help = false)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a table: on-demand billing, encryption, point-in-time recovery, a stream of changes, protected against deletion
    CreateTable {
        #[command(flatten)]
        table: Table,
        /// For read models (`ees serve --read-models dynamodb://TABLE`), not for a log: with on-demand billing, and nothing more,
        /// since they can be built anew
        #[arg(long, conflicts_with = "unprotected")]
        read_models: bool,
        /// Let it be deleted: for trying things out
        #[arg(long)]
        unprotected: bool,
    },
    /// Whether a table has what a store needs, and what it had better have
    Check(Table),
    /// What 1,000 changesets cost, by what is done with them: calls and capacity units
    Cost {
        /// Bytes of events and metadata in a changeset
        #[arg(long, value_name = "BYTES", default_value_t = 500)]
        bytes: u64,
        /// For a table whose local indexes hold whole changesets, as other systems make them
        #[arg(long)]
        whole_copies: bool,
    },
    /// Take over a table that another system has made and written, in place
    ///
    /// Stop that system's functions first. Reads the whole table, consistently: a read unit for 4 KB. Where it is
    /// interrupted it goes on when it is started again.
    Adopt(Table),
    /// Look for changesets without a place in the order, and give them one; processes that index do so by themselves
    ///
    /// Reads the whole table: half a read unit for 4 KB. Where it is interrupted it goes on when it is started again.
    Sweep(Table),
}

#[derive(Args)]
struct Table {
    /// The table's name
    table: String,
    /// Its region [default: that of the environment]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

impl From<Table> for Address {
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
        Command::Check(table) => check(table.into(), output).await,
        Command::Cost { bytes, whole_copies } => cost(bytes, whole_copies, output),
        Command::Adopt(table) => adopt(table.into(), output).await,
        Command::Sweep(table) => sweep(table.into(), output).await,
    }
}

async fn create(address: Address, protected: bool, output: &mut Output) -> Outcome {
    let made = dynamodb::create_table(&address.config().await, &address.table, protected).await?;
    let told = if made { "made" } else { "is there already; `ees dynamodb check` looks at it" };
    output.either(&json!({ "table": address.table, "made": made }), format!("{}: {told}", address.table))
}

async fn create_for_read_models(address: Address, output: &mut Output) -> Outcome {
    let client = read_models::aws_sdk_dynamodb::Client::new(&address.config().await);
    let made = Box::pin(read_models::create_table(&client, &address.table)).await;
    let made = made.map_err(|e| Failure::new(Exit::Unavailable, "TABLE", e))?;
    let told = if made { "made, for read models" } else { "is there already" };
    output.either(&json!({ "table": address.table, "made": made }), format!("{}: {told}", address.table))
}

async fn check(address: Address, output: &mut Output) -> Outcome {
    let checks = dynamodb::check(&address.config().await, &address.table).await.map_err(of_table)?;
    for check in &checks {
        let dynamodb::Check { what, is_well, detail } = check;
        let mark = if *is_well { "ok  " } else { "look" };
        output.either(
            &json!({ "what": what, "is_well": is_well, "detail": detail }),
            format!("{mark}  {what}: {detail}"),
        )?;
    }
    Ok(())
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
    Ok(())
}

async fn adopt(address: Address, output: &mut Output) -> Outcome {
    let config = address.config().await;
    let mut changesets = 0;
    let adopted = dynamodb::adopt(&config, &address.table, |now| {
        if now / 100_000 > changesets / 100_000 {
            tracing::warn!(changesets = now, "looked at");
        }
        changesets = now;
    });
    let adopted = adopted.await.map_err(of_table)?;
    let dynamodb::Adopted { is_known, changesets, head, holes, indexed, calls, read_units } = adopted;
    let known = if is_known { "had been adopted before" } else { "adopted" };
    output.either(
        &json!({
            "table": address.table, "is_known": is_known, "changesets": changesets, "head": head, "holes": holes,
            "indexed": indexed, "calls": calls, "read_units": read_units,
        }),
        format!(
            "{}: {known}\n  the order ended at {head}, with {holes} places that no changeset has\n  {indexed} changesets \
             had no place, and have one now\n  {calls} calls, {read_units} read units",
            address.table
        ),
    )
}

async fn sweep(address: Address, output: &mut Output) -> Outcome {
    let indexer = dynamodb::Indexer::open(&address.config().await, &address.table).await.map_err(of_table)?;
    let mut all = dynamodb::Swept::default();
    while !all.is_done {
        // What was done so far is remembered after each of these.
        let swept = indexer.sweep(Instant::now() + SWEEP_AT_ONCE).await?;
        all.items += swept.items;
        all.indexed += swept.indexed;
        all.calls += swept.calls;
        all.read_units += swept.read_units;
        all.is_done = swept.is_done;
    }
    let dynamodb::Swept { items, indexed, calls, read_units, .. } = all;
    output.either(
        &json!({
            "table": address.table, "items": items, "indexed": indexed, "calls": calls, "read_units": read_units,
        }),
        format!("{}: {indexed} of {items} items had no place\n  {calls} calls, {read_units} read units", address.table),
    )
}

/// A table that can't be used is a matter of configuration.
fn of_table(error: ees_store::Error) -> Failure {
    match error {
        ees_store::Error::InvalidRequest(why) => Failure::new(Exit::Usage, "TABLE", why),
        other => other.into(),
    }
}
