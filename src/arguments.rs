//! The command line as a whole: the general options, and how a line is read.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser};

use crate::commands::Command;
use crate::config;
use crate::exit::{self, Failure};
use crate::features;
use crate::logging::LogFormat;
use crate::settings;

/// An event store with projections.
///
/// Without a sub-command, `ees` serves the store in ./data, its HTTP API and the built-in projections. You
/// can set every setting with a flag, with an environment variable, or in ees.toml under the flag's name. A
/// flag overrides the environment, and the environment overrides the file.
#[derive(Parser)]
#[command(name = "ees", version, after_help = exit::HELP, max_term_width = 110, arg_required_else_help = false, override_usage = "ees [OPTIONS] [COMMAND]")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) general: General,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const GENERAL: &str = "General options";

/// For every sub-command. Help lists these after its own options.
#[derive(Args)]
pub(crate) struct General {
    /// Read settings from this TOML file [default: ees.toml, if it exists]
    #[arg(long, env = "EES_CONFIG", value_name = "FILE", global = true, help_heading = GENERAL)]
    config: Option<PathBuf>,
    /// Print machine-readable JSON, including errors
    #[arg(long, env = "EES_JSON", value_parser = BoolishValueParser::new(), global = true, help_heading = GENERAL)]
    pub(crate) json: bool,
    /// What to log, such as info or ees_store=debug [default: info for serve, error for publish, otherwise
    /// warn]
    #[arg(long, env = "EES_LOG", value_name = "FILTER", global = true, help_heading = GENERAL)]
    pub(crate) log: Option<String>,
    /// The format of the log
    #[arg(long, env = "EES_LOG_FORMAT", value_name = "FORMAT", default_value = "text", global = true, help_heading = GENERAL)]
    pub(crate) log_format: LogFormat,
}

/// Reads a command line, the environment and the configuration file.
pub(crate) fn read(line: &[OsString]) -> Result<Arguments, ReadError> {
    let command = Arguments::command();
    let matches = matches(&command, line)?;
    if let Some(missing) = features::missing_setting(|name| std::env::var_os(name)) {
        return Err(missing.into());
    }
    // The first pass finds the configuration file, the second uses its values as defaults.
    let file = matches.get_one::<PathBuf>("config");
    let (command, in_file) = config::as_defaults(command, file.map(PathBuf::as_path))?;
    let matches = self::matches(&command, line)?;
    let mut arguments = Arguments::from_arg_matches(&matches)?;
    match &mut arguments.command {
        Command::Serve(serve) => serve.settings = settings::of(&command, &matches, &in_file),
        Command::Check(check) => check.refuse_location(on_the_line(&matches, "check"))?,
        _ => {}
    }
    Ok(arguments)
}

/// Tells which options of a sub-command are on the command line itself, and not from the environment or the file.
fn on_the_line<'m>(matches: &'m ArgMatches, command: &str) -> impl Fn(&str) -> bool + 'm {
    let of_command = matches.subcommand_matches(command);
    move |option| of_command.is_some_and(|it| it.value_source(option) == Some(ValueSource::CommandLine))
}

/// Why there are no arguments to run with.
pub(crate) enum ReadError {
    /// The line asks for help or the version.
    HelpRequested(clap::Error),
    Invalid(Failure),
}

impl From<clap::Error> for ReadError {
    fn from(error: clap::Error) -> Self {
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Self::HelpRequested(error),
            _ => {
                let missing = unknown_option(&error).and_then(features::missing_option);
                Self::Invalid(missing.unwrap_or_else(|| Failure::command_line(&error)))
            }
        }
    }
}

/// The name of the option that an error is about, if no such option is known.
fn unknown_option(error: &clap::Error) -> Option<&str> {
    match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(name) if error.kind() == ErrorKind::UnknownArgument => {
            Some(name.trim_start_matches('-').split('=').next().unwrap_or_default())
        }
        _ => None,
    }
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        Self::Invalid(failure)
    }
}

/// `serve` is the default sub-command.
fn matches(command: &clap::Command, line: &[OsString]) -> Result<ArgMatches, clap::Error> {
    use ErrorKind::{InvalidSubcommand, MissingSubcommand, UnknownArgument};
    command.clone().try_get_matches_from(line).or_else(|error| {
        if !matches!(error.kind(), UnknownArgument | MissingSubcommand) {
            return Err(error);
        }
        let mut with_serve = line.to_vec();
        with_serve.insert(line.len().min(1), "serve".into());
        command.clone().try_get_matches_from(with_serve).map_err(|serve_error| match serve_error.kind() {
            UnknownArgument | InvalidSubcommand => error,
            _ => serve_error,
        })
    })
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
    fn the_command_line_is_consistent() {
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
    fn an_error_names_the_argument_as_it_was_typed() {
        for (line, expected) in
            [(&["read", "a", "--bogus"][..], "--bogus"), (&["serv"], "serv"), (&["read"], "STREAM")]
        {
            let error = command_of(line).err().unwrap();
            assert!(error.contains(expected), "{error}");
        }
    }
}
