//! `--keys` and `--add-checksums`: what is checked in the store itself, without a server.

use ees_store::KeyCheck;
#[cfg(feature = "dynamodb")]
use ees_store::dynamodb;
#[cfg(feature = "postgres")]
use ees_store::postgres;
use ees_store::sqlite;
use serde_json::json;

use crate::backend::Backend;
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::plural::counted;
use crate::retention::Retention;

pub(super) async fn check_keys(
    backend: &Backend,
    Retention { keep_keys }: Retention,
    output: &mut Output,
) -> Outcome {
    let checked = match backend {
        Backend::Sqlite(log) => sqlite::check_keys(log, keep_keys),
        #[cfg(feature = "postgres")]
        Backend::Postgres(url) => Box::pin(postgres::check_keys(url, keep_keys)).await,
        #[cfg(feature = "dynamodb")]
        Backend::DynamoDb(table) => {
            Box::pin(dynamodb::check_keys(&table.sdk_config().await, &table.name)).await
        }
        Backend::Memory => return Err(in_memory()),
    };
    let KeyCheck { keys, expired, faults, described, .. } =
        checked.map_err(|error| Failure::from(error).at(backend))?;
    for fault in &described {
        output.either(&json!({ "fault": fault }), fault)?;
    }
    let told = counted(faults, "fault");
    output.either(
        &json!({ "keys": keys, "expired": expired, "faults": faults }),
        format!("{} checked, {expired} of them expired, {told}", counted(keys, "idempotency key")),
    )?;
    if faults > 0 { Err(Failure::differs(format!("the idempotency keys have {told}"))) } else { Ok(()) }
}

pub(super) async fn add_checksums(backend: &Backend, output: &mut Output) -> Outcome {
    let added = match backend {
        Backend::Sqlite(log) => sqlite::add_checksums(log),
        #[cfg(feature = "postgres")]
        Backend::Postgres(url) => Box::pin(postgres::add_checksums(url)).await,
        #[cfg(feature = "dynamodb")]
        Backend::DynamoDb(_) => {
            return Err(Failure::not_possible_here("a store in DynamoDB keeps no checksums"));
        }
        Backend::Memory => return Err(in_memory()),
    };
    let added = added.map_err(|error| Failure::from(error).at(backend))?;
    output.either(&json!({ "added": added }), format!("{} added", counted(added, "checksum")))
}

fn in_memory() -> Failure {
    Failure::not_possible_here("a store in memory is not there without its server; use --data or --store")
}
