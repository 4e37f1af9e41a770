//! `ees backup`: a copy of the log while it is in use.

use std::path::PathBuf;

use clap::Args;
use ees_store::sqlite;
use serde::Serialize;

use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::place::{Backend, Place};

/// Copy the log into a new file, while it is in use
///
/// For the store in a SQLite file; one in PostgreSQL is copied by pg_dump.
///
/// The copy is whole, consistent and compact: the log as it was when the copy began.
///
/// To restore it: stop the server; put the copy in the place of DATA/log.db; remove DATA/log.db-wal and
/// DATA/log.db-shm; start the server. Projections that had read further than the copy goes notice, stop, and say so:
/// `ees projections rebuild NAME` builds each anew.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The new file
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Made<'a> {
    file: &'a str,
    bytes: u64,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> Outcome {
    let target = &arguments.file;
    let log = match arguments.place.backend()? {
        Backend::Sqlite(path) => path,
        #[cfg(feature = "postgres")]
        Backend::Postgres(_) => {
            return Err(Failure::usage("a store in PostgreSQL is copied by pg_dump --schema=ees_store"));
        }
        #[cfg(feature = "dynamodb")]
        Backend::DynamoDb(_) => {
            return Err(Failure::usage(
                "a table in DynamoDB is restored to any moment by its point-in-time recovery",
            ));
        }
        Backend::Memory => {
            return Err(Failure::usage("a store in memory has no file: give --data or --store sqlite:PATH"));
        }
    };
    sqlite::backup(&log, target)?;
    let bytes = std::fs::metadata(target).map_err(|e| Failure::file(target.display(), &e))?.len();
    let file = &*target.to_string_lossy();
    output.either(&Made { file, bytes }, format!("{file}: {bytes} bytes"))
}
