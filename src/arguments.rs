//! The command line: what there is, and how a line of it is read.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::exit::{self, Failure, Outcome};
use crate::logging::LogFormat;
use crate::{
    api_key, backup, commit, completions, config, effects, export, import, projections, read, serve, tail,
};

/// An event store, and the projections that live off it.
///
/// Without a command it serves: the store under ./data, its API and the ready-made projections. Every setting is a
/// flag, an environment variable and a key in ees.toml (the flag's name); the first of these that is given counts.
#[derive(Parser)]
#[command(name = "ees", version, after_help = exit::HELP, max_term_width = 110, arg_required_else_help = false)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) general: General,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const GENERAL: &str = "General options";

/// For every sub-command, listed after its own.
#[derive(Args)]
pub(crate) struct General {
    /// Read settings from this TOML file [default: ees.toml, if there is one]
    #[arg(long, env = "EES_CONFIG", value_name = "FILE", global = true, help_heading = GENERAL)]
    config: Option<PathBuf>,
    /// Print JSON, errors too: for machines
    #[arg(long, env = "EES_JSON", value_parser = BoolishValueParser::new(), global = true, help_heading = GENERAL)]
    pub(crate) json: bool,
    /// What to log, such as info or ees_store=debug [default: info when serving, warn otherwise]
    #[arg(long, env = "EES_LOG", value_name = "FILTER", global = true, help_heading = GENERAL)]
    pub(crate) log: Option<String>,
    /// How to write the log
    #[arg(long, env = "EES_LOG_FORMAT", value_name = "FORMAT", default_value = "text", global = true, help_heading = GENERAL)]
    pub(crate) log_format: LogFormat,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Serve(serve::Arguments),
    Commit(commit::Arguments),
    Read(read::Arguments),
    Tail(tail::Arguments),
    Import(import::Arguments),
    Export(export::Arguments),
    Backup(backup::Arguments),
    Projections(projections::Arguments),
    Effects(effects::Arguments),
    #[cfg(feature = "sns")]
    Publish(crate::publish::Arguments),
    #[cfg(feature = "sns")]
    DeadLetters(crate::dead_letters::Arguments),
    #[cfg(feature = "dynamodb")]
    Dynamodb(crate::dynamodb::Arguments),
    ApiKey(api_key::Arguments),
    Completions(completions::Arguments),
}

/// Reads a command line, the environment and the configuration file.
///
/// # Errors
/// Also when there is nothing to do but to show the help or the version: [`ErrorKind::DisplayHelp`] and the like.
pub(crate) fn read(line: &[OsString]) -> Result<Arguments, Unread> {
    let command = Arguments::command();
    let matches = matches(&command, line)?;
    // Read twice: the first time tells where the file is, the second takes its values for defaults.
    let file = matches.get_one::<PathBuf>("config");
    let command = config::as_defaults(command, file.map(PathBuf::as_path))?;
    Ok(Arguments::from_arg_matches(&self::matches(&command, line)?)?)
}

/// Why there are no arguments.
pub(crate) enum Unread {
    /// Help or the version was asked for.
    Asked(clap::Error),
    Failed(Failure),
}

impl From<clap::Error> for Unread {
    fn from(error: clap::Error) -> Self {
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Self::Asked(error),
            _ => Self::Failed(Failure::command_line(&error)),
        }
    }
}

impl From<Failure> for Unread {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Without a sub-command, `serve` is meant.
fn matches(command: &clap::Command, line: &[OsString]) -> Result<ArgMatches, clap::Error> {
    use ErrorKind::{InvalidSubcommand, MissingSubcommand, UnknownArgument};
    command.clone().try_get_matches_from(line).or_else(|error| {
        if !matches!(error.kind(), UnknownArgument | MissingSubcommand) {
            return Err(error);
        }
        let mut serving = line.to_vec();
        serving.insert(line.len().min(1), "serve".into());
        command.clone().try_get_matches_from(serving).map_err(|serve_error| match serve_error.kind() {
            UnknownArgument | InvalidSubcommand => error,
            _ => serve_error,
        })
    })
}

/// A value in seconds, such as `10` or `0.5`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is expected".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// A length of time with its unit, such as `7d`, `36h` or `90 s`; a day has 24 hours.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let span: jiff::Span = text.parse().map_err(|_| "a time such as 7d or 36h is expected".to_owned())?;
    let time = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|e| e.to_string())?;
    Duration::try_from(time).map_err(|_| "a time is never less than nothing".to_owned())
}

/// A text given as it is, from a file as `@FILE`, or from standard input as `-`.
pub(crate) fn text(value: &str) -> Outcome<String> {
    match (value, value.strip_prefix('@')) {
        ("-", _) => {
            std::io::read_to_string(std::io::stdin()).map_err(|e| Failure::file("standard input", &e))
        }
        (_, Some(path)) => std::fs::read_to_string(path).map_err(|e| Failure::file(path, &e)),
        (text, None) => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command_of(line: &[&str]) -> Result<Command, String> {
        let line: Vec<OsString> =
            std::iter::once("ees").chain(line.iter().copied()).map(Into::into).collect();
        let matches = matches(&Arguments::command(), &line).map_err(|e| e.to_string())?;
        Ok(Arguments::from_arg_matches(&matches).map_err(|e| e.to_string())?.command)
    }

    #[test]
    fn the_command_line_fits_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn without_a_sub_command_it_serves() {
        for line in [&[][..], &["--listen", "127.0.0.1:0"], &["--json", "--data", "x"], &["serve"]] {
            assert!(matches!(command_of(line), Ok(Command::Serve(_))), "{line:?}");
        }
        assert!(matches!(command_of(&["--json", "read", "a"]), Ok(Command::Read(_))));
    }

    #[test]
    fn a_time_has_a_unit() {
        for (text, seconds) in
            [("7d", 604_800), ("36h", 129_600), ("90 s", 90), ("1d 12h", 129_600), ("0s", 0)]
        {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["7", "", "soon", "-1d", "1 month"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_typing_error_is_told_as_it_was_made() {
        for (line, told) in
            [(&["read", "a", "--bogus"][..], "--bogus"), (&["serv"], "serv"), (&["read"], "STREAM")]
        {
            let error = command_of(line).err().unwrap();
            assert!(error.contains(told), "{error}");
        }
    }
}
