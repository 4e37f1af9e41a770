//! The `ees` command.
//!
//! `arguments` reads the command line, `commands` has one file for each sub-command: to add one, start with
//! the three steps at the top of `commands/mod.rs`. The other files are what several sub-commands share.

mod arguments;
mod backend;
mod banner;
mod changeset;
mod commands;
mod config;
mod data_folder;
#[cfg(feature = "dynamodb")]
mod dynamodb_table;
mod exit;
mod features;
mod hint;
mod logging;
mod output;
mod plural;
mod printable;
mod progress;
mod projection;
mod remote;
mod retention;
mod settings;
mod shell;
mod signals;
mod store_location;
mod table;
mod telemetry;
mod trace;
mod values;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;

use arguments::{Arguments, ReadError};
use exit::{Failure, Outcome};
use output::Output;

/// In an import, the server needed 2.8 times the processor time with the allocator of musl.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    let arguments = match arguments::read(&line) {
        Ok(arguments) => arguments,
        Err(ReadError::HelpRequested(help)) => {
            // If printing fails, there is no place left to report it.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
        Err(ReadError::Invalid(failure)) => return failure.report(line.iter().any(|word| word == "--json")),
    };
    // A sub-command that this build lacks takes `--json` for one of its own arguments.
    let json = arguments.general.json || line.iter().any(|word| word == "--json");
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

fn run(Arguments { general, command }: Arguments) -> Outcome {
    let filter = general.log.as_deref().unwrap_or(command.default_log_filter());
    logging::start(filter, general.log_format)?;
    let mut output = Output::new(general.json);
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|e| Failure::other(format!("cannot start the asynchronous runtime: {e}")))?;
    let ran = runtime.block_on(command.run(&mut output, general.log_format, Arguments::command()));
    if ran.is_err() {
        // A thread may be waiting for its input.
        runtime.shutdown_background();
    }
    ran?;
    output.flush()
}
