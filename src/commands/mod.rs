//! The sub-commands, one file or folder each.
//!
//! To add a sub-command:
//! 1. Write `src/commands/NAME.rs`: a struct `Arguments` (its doc comment is the text of `--help`) and a
//!    function `run`.
//! 2. Add it to this file: a `mod` line, a variant of [`Command`] and a match arm in [`Command::run`].
//! 3. Add a test in `tests/tests/end_to_end/cli/`.
//!
//! A sub-command imports neither this file nor `arguments.rs`: they import it.

mod api_key;
mod backup;
mod check;
mod commit;
mod completions;
mod console;
#[cfg(feature = "sns")]
mod dead_letters;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod effects;
mod export;
mod import;
mod projections;
#[cfg(feature = "sns")]
mod publish;
mod read;
mod serve;
mod tail;
mod timers;
#[cfg(any(test, not(all(feature = "dynamodb", feature = "sns"))))]
mod unavailable;

use clap::Subcommand;

use crate::exit::Outcome;
use crate::logging::LogFormat;
use crate::output::Output;

#[derive(Subcommand)]
pub(crate) enum Command {
    Serve(serve::Arguments),
    Commit(commit::Arguments),
    Read(read::Arguments),
    Tail(tail::Arguments),
    Import(import::Arguments),
    Export(export::Arguments),
    Backup(backup::Arguments),
    Check(check::Arguments),
    Projections(projections::Arguments),
    Console(console::Arguments),
    Effects(effects::Arguments),
    Timers(timers::Arguments),
    #[cfg(feature = "sns")]
    Publish(publish::Arguments),
    /// Publish a part of the log again (needs the feature `sns`)
    #[cfg(not(feature = "sns"))]
    Publish(unavailable::Arguments),
    #[cfg(feature = "sns")]
    DeadLetters(dead_letters::Arguments),
    /// Show the messages that a topic rejected, and redrive them (needs the feature `sns`)
    #[cfg(not(feature = "sns"))]
    DeadLetters(unavailable::Arguments),
    #[cfg(feature = "dynamodb")]
    Dynamodb(dynamodb::Arguments),
    /// Create, check or adopt a table in DynamoDB (needs the feature `dynamodb`)
    #[cfg(not(feature = "dynamodb"))]
    Dynamodb(unavailable::Arguments),
    ApiKey(api_key::Arguments),
    Completions(completions::Arguments),
}

impl Command {
    /// `command_line` is the whole command as clap knows it, for shell completions.
    pub(crate) async fn run(
        self,
        output: &mut Output,
        log_format: LogFormat,
        command_line: clap::Command,
    ) -> Outcome {
        match self {
            Self::Serve(arguments) => Box::pin(serve::run(arguments, log_format)).await,
            Self::Commit(arguments) => commit::run(arguments, output).await,
            Self::Read(arguments) => read::run(arguments, output).await,
            Self::Tail(arguments) => tail::run(arguments, output).await,
            Self::Import(arguments) => Box::pin(import::run(arguments, output)).await,
            Self::Export(arguments) => export::run(arguments, output).await,
            Self::Backup(arguments) => backup::run(&arguments, output),
            Self::Check(arguments) => check::run(arguments, output).await,
            Self::Projections(arguments) => projections::run(arguments, output).await,
            Self::Console(arguments) => Box::pin(console::run(arguments, output)).await,
            Self::Effects(arguments) => effects::run(arguments, output).await,
            Self::Timers(arguments) => timers::run(arguments, output).await,
            #[cfg(feature = "sns")]
            Self::Publish(arguments) => Box::pin(publish::run(arguments, output)).await,
            #[cfg(feature = "sns")]
            Self::DeadLetters(arguments) => Box::pin(dead_letters::run(arguments, output)).await,
            #[cfg(feature = "dynamodb")]
            Self::Dynamodb(arguments) => Box::pin(dynamodb::run(arguments, output)).await,
            #[cfg(not(feature = "sns"))]
            Self::Publish(_) => Err(unavailable::failure("publish", "sns")),
            #[cfg(not(feature = "sns"))]
            Self::DeadLetters(_) => Err(unavailable::failure("dead-letters", "sns")),
            #[cfg(not(feature = "dynamodb"))]
            Self::Dynamodb(_) => Err(unavailable::failure("dynamodb", "dynamodb")),
            Self::ApiKey(arguments) => api_key::run(&arguments, output),
            Self::Completions(arguments) => completions::run(&arguments, command_line),
        }
    }

    /// What is logged by default, without `--log`.
    pub(crate) fn default_log_filter(&self) -> &'static str {
        match self {
            Self::Serve(_) => "info,rusqlite_migration=warn,sqlx=warn",
            // The publisher retries: only the final error matters.
            #[cfg(feature = "sns")]
            Self::Publish(_) => "error",
            _ => "warn",
        }
    }
}
