//! How the command ends: one line on standard error, and a code that tells kinds of failure apart.

use std::borrow::Cow;
use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use ees_store::{Error, InvalidJson};
use serde::Serialize;

/// Shown below every `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  failed in another way than below
  2  wrong usage or configuration
  3  bad input data
  4  refused by the store: a conflict
  5  not found
  6  the server can't be reached, or can't do it now
  7  not authorized
  8  timed out
  9  verified, and found to differ";

/// The kinds of failure. The numbers are for scripts: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Whoever read our output has gone, as `head` does: nobody is left to tell.
    ReaderGone = 0,
    Other = 1,
    Usage = 2,
    BadInput = 3,
    Refused = 4,
    NotFound = 5,
    Unavailable = 6,
    Unauthorized = 7,
    TimedOut = 8,
    Differs = 9,
}

/// Why a sub-command came to nothing.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// A stable name, for `--json`.
    code: Cow<'static, str>,
    /// What happened and what to do, in one line.
    message: String,
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Display) -> Self {
        Self { exit, code: code.into(), message: message.to_string() }
    }

    pub(crate) fn other(message: impl Display) -> Self {
        Self::new(Exit::Other, "FAILED", message)
    }

    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, "USAGE", message)
    }

    pub(crate) fn bad_input(message: impl Display) -> Self {
        Self::new(Exit::BadInput, "BAD_INPUT", message)
    }

    /// Two read models that should be equal, and are not.
    pub(crate) fn differs(message: impl Display) -> Self {
        Self::new(Exit::Differs, "DIFFERS", message)
    }

    /// A file that can't be read or written.
    pub(crate) fn file(path: impl Display, error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Other };
        Self::new(exit, "FILE", format!("{path}: {error}"))
    }

    /// Our own output, which can't be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::ReaderGone, "", "");
        }
        Self::new(Exit::Other, "FILE", format!("standard output: {error}"))
    }

    /// What the command line can't be read for. What clap says in paragraphs becomes one line.
    pub(crate) fn command_line(error: &clap::Error) -> Self {
        let told = error.render().to_string();
        let lines = told.lines().take_while(|line| !line.starts_with("Usage:"));
        let words: Vec<_> = lines.flat_map(str::split_whitespace).collect();
        let told = words.join(" ");
        let told = told.strip_prefix("error: ").unwrap_or(&told);
        Self::usage(told.split(" For more information,").next().unwrap_or(told))
    }

    /// The same failure, told with where it happened.
    pub(crate) fn at(self, place: impl Display) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    /// The same failure, told with what follows from it.
    pub(crate) fn and(self, also: impl Display) -> Self {
        Self { message: format!("{}; {also}", self.message), ..self }
    }

    /// Tells it on standard error, as text or as JSON.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        #[derive(Serialize)]
        struct Told<'a> {
            error: &'a str,
            message: &'a str,
        }
        let told = Told { error: &self.code, message: &self.message };
        match serde_json::to_string(&told) {
            _ if self.exit == Exit::ReaderGone => {}
            Ok(told) if json => eprintln!("{told}"),
            _ => anstream::eprintln!("{ERROR}error:{ERROR:#} {}", self.message.replace('\n', " ")),
        }
        ExitCode::from(self.exit as u8)
    }
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Refused(_) => Exit::Refused,
            Error::StreamNotFound(_) => Exit::NotFound,
            Error::InvalidRequest(_) => Exit::BadInput,
            Error::Overloaded | Error::Unavailable(_) => Exit::Unavailable,
            Error::Unauthorized | Error::Forbidden(_) => Exit::Unauthorized,
            Error::Answered { status: 404, .. } => Exit::NotFound,
            Error::Answered { status: 409, .. } => Exit::Refused,
            Error::Answered { status: 504, .. } => Exit::TimedOut,
            _ => Exit::Other,
        };
        let message = error.to_string();
        let code = match error {
            Error::Answered { code, .. } => code.into(),
            other => other.code().into(),
        };
        Self { exit, code, message }
    }
}

impl From<InvalidJson> for Failure {
    fn from(error: InvalidJson) -> Self {
        Self::bad_input(error)
    }
}

#[cfg(test)]
mod tests {
    use ees_store::{Expectation, Refusal};

    use super::*;

    #[test]
    fn every_kind_of_failure_has_its_exit_code() {
        let answered = |status| Error::Answered { status, code: "X".to_owned(), message: String::new() };
        for (error, exit) in [
            (Error::from(Refusal::Conflict { expectation: Expectation::NewStream }), Exit::Refused),
            (Error::InvalidRequest(String::new()), Exit::BadInput),
            (Error::Unavailable(String::new()), Exit::Unavailable),
            (Error::Unauthorized, Exit::Unauthorized),
            (answered(404), Exit::NotFound),
            (answered(504), Exit::TimedOut),
        ] {
            assert_eq!(Failure::from(error).exit, exit);
        }
    }

    #[test]
    fn whoever_stops_reading_is_told_nothing() {
        let gone = Failure::output(&io::ErrorKind::BrokenPipe.into());
        assert_eq!(gone.exit, Exit::ReaderGone);
    }
}
