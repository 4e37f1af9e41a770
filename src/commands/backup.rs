//! `ees backup`: copy the log while it is in use.

use std::path::PathBuf;

use clap::Args;
use ees_store::sqlite;
use serde::Serialize;

use crate::backend::Backend;
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::store_location::StoreLocation;

/// Copy the log into a new file, while it is in use
///
/// For a store in a SQLite file. Use pg_dump for a store in PostgreSQL, and point-in-time recovery in
/// DynamoDB.
///
/// The copy is complete, consistent and compact: the log as it was when the copy started.
///
/// To restore it, stop the server, replace DATA/log.db with the copy, remove DATA/log.db-wal and
/// DATA/log.db-shm, and start the server. A projection that is ahead of the copy detects this and stops;
/// rebuild it with `ees projections rebuild NAME`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The new file
    file: PathBuf,
    #[command(flatten)]
    location: StoreLocation,
}

#[derive(Serialize)]
struct Summary<'a> {
    file: &'a str,
    bytes: u64,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> Outcome {
    let target = &arguments.file;
    let log = match arguments.location.backend()? {
        Backend::Sqlite(path) => path,
        #[cfg(feature = "postgres")]
        Backend::Postgres(_) => {
            return Err(Failure::not_possible_here(
                "use pg_dump --schema=ees_store to copy a store in PostgreSQL",
            ));
        }
        #[cfg(feature = "dynamodb")]
        Backend::DynamoDb(_) => {
            return Err(Failure::not_possible_here(
                "use point-in-time recovery to back up a table in DynamoDB",
            ));
        }
        Backend::Memory => {
            return Err(Failure::not_possible_here(
                "a store in memory has no file; use --data or --store sqlite:PATH",
            ));
        }
    };
    sqlite::backup(&log, target)?;
    let bytes = std::fs::metadata(target).map_err(|e| Failure::file(target.display(), &e))?.len();
    let file = &*target.to_string_lossy();
    output.either(&Summary { file, bytes }, format!("{file}: {bytes} bytes"))
}
