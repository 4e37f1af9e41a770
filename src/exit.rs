//! How the command ends: an exit code for each kind of failure, and one line on standard error.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use ees_store::client::CallError;
use ees_store::{Error, InvalidJson};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::hint;
use crate::printable::Printable;

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
  9  something differs, or the check found faults
 10  committed or started, but what was to follow failed
 11  not possible here: it needs another build or another database
130  interrupted";

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
    /// Something is stored or goes on, but the rest of the sub-command failed.
    Unfinished = 10,
    NotPossibleHere = 11,
    /// By Ctrl-C: 128 and the number of the signal, as shells have it.
    Interrupted = 130,
}

/// Why a sub-command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// A stable name. `--json` prints it.
    code: Cow<'static, str>,
    /// What happened. Printed as one line, with the hint.
    message: String,
    /// What to do or to type next.
    hint: Option<String>,
    /// What else the server said, for `--json`.
    members: BTreeMap<String, Box<RawValue>>,
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Display) -> Self {
        Self {
            exit,
            code: code.into(),
            message: message.to_string(),
            hint: hint::of(code).map(ToOwned::to_owned),
            members: BTreeMap::new(),
        }
    }

    /// The server's code, and the hint that belongs to it: not that of the code before.
    fn with_code(self, code: String) -> Self {
        let hint = hint::of(&code).map(ToOwned::to_owned);
        Self { code: code.into(), hint, ..self }
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

    /// What became of work that a server did in the background. The exit code is that of an answer with
    /// this code, as far as such work can end with it.
    pub(crate) fn told(code: String, message: impl Display) -> Self {
        let exit = match &*code {
            "NOT_SUPPORTED" => Exit::NotPossibleHere,
            "NOT_POSSIBLE" => Exit::Refused,
            "UNAVAILABLE" => Exit::Unavailable,
            "NOT_AUTHORIZED" => Exit::Unauthorized,
            // By a server of an older version, too.
            _ => return Self::other(message),
        };
        Self::new(exit, "", message).with_code(code)
    }

    /// It needs another build or another database.
    pub(crate) fn not_possible_here(message: impl Display) -> Self {
        Self::new(Exit::NotPossibleHere, "NOT_POSSIBLE_HERE", message)
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

    /// Appends more details.
    pub(crate) fn with_detail(self, detail: impl Display) -> Self {
        Self { message: format!("{}; {detail}", self.message), ..self }
    }

    /// Says what to do or to type next.
    pub(crate) fn with_hint(self, hint: impl Display) -> Self {
        Self { hint: Some(hint.to_string()), ..self }
    }

    /// Says what to do, if nothing does yet.
    pub(crate) fn or_hint(self, hint: impl Display) -> Self {
        Self { hint: self.hint.or_else(|| Some(hint.to_string())), ..self }
    }

    /// Adds a member to what `--json` prints.
    pub(crate) fn with_member(mut self, name: &str, value: &impl Serialize) -> Self {
        // The values are numbers and texts, which serialize.
        if let Ok(value) = serde_json::value::to_raw_value(value) {
            self.members.insert(name.to_owned(), value);
        }
        self
    }

    /// It happened after something was stored or started: `done` says what.
    pub(crate) fn after(self, done: impl Display) -> Self {
        if self.exit == Exit::OutputClosed {
            return self;
        }
        Self { exit: Exit::Unfinished, message: format!("{done}, but {}", self.message), ..self }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// Prints it on standard error, as text or as JSON.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        #[derive(Serialize)]
        struct Report<'a> {
            error: &'a str,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            hint: Option<&'a str>,
            #[serde(flatten)]
            members: &'a BTreeMap<String, Box<RawValue>>,
        }
        let Self { code, message, members, .. } = self;
        let hint = self.hint.as_deref();
        let report = Report { error: code, message, hint, members };
        match serde_json::to_string(&report) {
            _ if self.exit == Exit::OutputClosed => {}
            Ok(report) if json => eprintln!("{report}"),
            _ => {
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                let line = format!("{}{hint}", message.trim_end_matches('.')).replace('\n', " ");
                anstream::eprintln!("{ERROR}error:{ERROR:#} {}", Printable(&line));
            }
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
            Error::Answered { code, .. } if code == "NOT_SUPPORTED" => Exit::NotPossibleHere,
            Error::Answered { status: 404, .. } => Exit::NotFound,
            Error::Answered { status: 409, .. } => Exit::Refused,
            Error::Answered { status: 504, .. } => Exit::TimedOut,
            _ => Exit::Other,
        };
        let failure = Self { hint: hint::of_error(&error), ..Self::new(exit, error.code(), &error) };
        match error {
            Error::Answered { code, .. } => failure.with_code(code),
            Error::StreamNotFound(stream_id) => failure.with_member("stream_id", &stream_id),
            _ => failure,
        }
    }
}

impl From<CallError> for Failure {
    fn from(CallError { error, body, .. }: CallError) -> Self {
        let failure = Self::from(error);
        let Some(Ok(mut members)) = body.map(|body| body.read::<BTreeMap<String, Box<RawValue>>>()) else {
            return failure;
        };
        members.remove("message");
        let code = members.remove("error").and_then(|code| serde_json::from_str::<String>(code.get()).ok());
        let failure = Self { members, ..failure };
        match code {
            Some(code) => failure.with_code(code),
            None => failure,
        }
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
    fn a_hint_is_about_what_happened() {
        let hint = |error: Error| Failure::from(error).hint;
        let answered = |code: &str| {
            let body =
                ees_store::Json::parse(&format!("{{\"error\":\"{code}\",\"message\":\"why\"}}")).unwrap();
            let mut error = CallError::from(Error::Forbidden("why".to_owned()));
            error.body = Some(body);
            Failure::from(error).hint
        };
        let no_answer = hint(Error::Unavailable("http://127.0.0.1:1: Connection refused".to_owned()));
        assert!(no_answer.is_some_and(|hint| hint.contains("`ees serve`")));
        for by_a_server_or_a_database in
            ["postgres://down: no", "The store can't be reached.", "http://127.0.0.1:1 answered 503"]
        {
            assert_eq!(hint(Error::Unavailable(by_a_server_or_a_database.to_owned())), None);
        }
        assert!(answered("FORBIDDEN").is_some_and(|hint| hint.contains("another key")));
        assert_eq!(answered("NOT_AUTHORIZED"), None, "a key is not what is missing");
    }

    #[test]
    fn a_closed_output_is_not_reported() {
        let closed = Failure::output(&io::ErrorKind::BrokenPipe.into());
        assert_eq!(closed.exit, Exit::OutputClosed);
    }
}
