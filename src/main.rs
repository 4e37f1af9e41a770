//! The `ees` command.

mod api_key;
mod arguments;
mod backup;
mod changeset;
mod commit;
mod completions;
mod config;
#[cfg(feature = "sns")]
mod dead_letters;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod effects;
mod exit;
mod export;
mod import;
mod logging;
mod output;
mod place;
mod progress;
mod projections;
#[cfg(feature = "sns")]
mod publish;
mod read;
mod remote;
mod serve;
mod tail;

use std::ffi::OsString;
use std::process::ExitCode;

use arguments::{Arguments, Command, General, Unread};
use exit::{Failure, Outcome};
use output::Output;

fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    let arguments = match arguments::read(&line) {
        Ok(arguments) => arguments,
        Err(Unread::Asked(help)) => {
            // Nobody is left to tell when it can't be printed.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
        Err(Unread::Failed(failure)) => return failure.report(line.iter().any(|word| word == "--json")),
    };
    let json = arguments.general.json;
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

fn run(Arguments { general, command }: Arguments) -> Outcome {
    start_log(&general, &command)?;
    let mut output = Output::new(general.json);
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|e| Failure::other(format!("the asynchronous runtime can't be started: {e}")))?;
    runtime.block_on(async {
        match command {
            Command::Serve(arguments) => Box::pin(serve::run(arguments, general.log_format)).await,
            Command::Commit(arguments) => commit::run(arguments, &mut output).await,
            Command::Read(arguments) => read::run(arguments, &mut output).await,
            Command::Tail(arguments) => tail::run(arguments, &mut output).await,
            Command::Import(arguments) => Box::pin(import::run(arguments, &mut output)).await,
            Command::Export(arguments) => export::run(arguments, &mut output).await,
            Command::Backup(arguments) => backup::run(&arguments, &mut output),
            Command::Projections(arguments) => projections::run(arguments, &mut output).await,
            Command::Effects(arguments) => effects::run(arguments, &mut output).await,
            #[cfg(feature = "sns")]
            Command::Publish(arguments) => Box::pin(publish::run(arguments, &mut output)).await,
            #[cfg(feature = "sns")]
            Command::DeadLetters(arguments) => Box::pin(dead_letters::run(arguments, &mut output)).await,
            #[cfg(feature = "dynamodb")]
            Command::Dynamodb(arguments) => Box::pin(dynamodb::run(arguments, &mut output)).await,
            Command::ApiKey(arguments) => api_key::run(&arguments, &mut output),
            Command::Completions(arguments) => completions::run(&arguments),
        }
    })?;
    output.flush()
}

fn start_log(general: &General, command: &Command) -> Outcome {
    let usual = match command {
        Command::Serve(_) => "info,rusqlite_migration=warn,sqlx=warn",
        // What it fails with in the end is what counts.
        #[cfg(feature = "sns")]
        Command::Publish(_) => "error",
        _ => "warn",
    };
    logging::start(general.log.as_deref().unwrap_or(usual), general.log_format)
}
