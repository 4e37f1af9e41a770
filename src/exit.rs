//! How the command ends: an exit code for each kind of failure, and one line on standard error.

use std::borrow::Cow;
use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use ees_store::{Error, InvalidJson};
use serde::Serialize;

/// Shown below every `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  success
  1  any failure that is not listed below
  2  invalid usage or configuration
  3  invalid input data
  4  refused, for example because of a conflict
  5  not found
  6  the server is unreachable or temporarily unavailable
  7  not authorized
  8  timed out
  9  the verification found differences, or the check faults";

/// The kinds of failure. The numbers are for scripts: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The reader of our output has exited, as `head` does: not a failure, and nothing to report.
    OutputClosed = 0,
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

/// Why a sub-command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// A stable name. `--json` prints it.
    code: Cow<'static, str>,
    /// What happened and what to do. Printed as one line.
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

    /// Two read models that should be equal differ.
    pub(crate) fn differs(message: impl Display) -> Self {
        Self::new(Exit::Differs, "DIFFERS", message)
    }

    /// A file cannot be read or written.
    pub(crate) fn file(path: impl Display, error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Other };
        Self::new(exit, "FILE", format!("{path}: {error}"))
    }

    /// Standard output cannot be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::OutputClosed, "", "");
        }
        Self::new(Exit::Other, "FILE", format!("standard output: {error}"))
    }

    /// The command line is invalid. Shortens clap's paragraphs to one line.
    pub(crate) fn command_line(error: &clap::Error) -> Self {
        let rendered = error.render().to_string();
        let lines = rendered.lines().take_while(|line| !line.starts_with("Usage:"));
        let words: Vec<_> = lines.flat_map(str::split_whitespace).collect();
        let line = words.join(" ");
        let message = line.strip_prefix("error: ").unwrap_or(&line);
        Self::usage(message.split(" For more information,").next().unwrap_or(message))
    }

    /// Prepends where it happened.
    pub(crate) fn at(self, location: impl Display) -> Self {
        Self { message: format!("{location}: {}", self.message), ..self }
    }

    /// Appends advice, or more details.
    pub(crate) fn with_detail(self, detail: impl Display) -> Self {
        Self { message: format!("{}; {detail}", self.message), ..self }
    }

    /// Prints it on standard error, as text or as JSON.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        #[derive(Serialize)]
        struct Report<'a> {
            error: &'a str,
            message: &'a str,
        }
        let report = Report { error: &self.code, message: &self.message };
        match serde_json::to_string(&report) {
            _ if self.exit == Exit::OutputClosed => {}
            Ok(report) if json => eprintln!("{report}"),
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
    fn a_closed_output_is_not_reported() {
        let closed = Failure::output(&io::ErrorKind::BrokenPipe.into());
        assert_eq!(closed.exit, Exit::OutputClosed);
    }
}
