//! The `ees` command, run to its end.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::binary;

/// The command with these arguments, and none of the settings that the caller's environment may hold.
///
/// # Panics
/// When it can't be built.
pub fn ees(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("ees"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EES_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

/// Runs a command to its end.
///
/// # Panics
/// When it can't be started, or writes something else than text.
pub fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code(), out: text(stdout), err: text(stderr) }
}

impl Ran {
    /// Its standard output, when it succeeded.
    ///
    /// # Panics
    /// When it did not.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// The lines of JSON of its standard output, when it succeeded.
    ///
    /// # Panics
    /// When it did not, or wrote something else.
    pub fn json(self) -> Vec<Value> {
        self.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Its one line on standard error, when it failed with this code and wrote nothing else.
    ///
    /// # Panics
    /// When that is not how it went.
    pub fn failed(self, code: i32) -> String {
        let tidy = self.out.is_empty() && self.err.ends_with('\n') && self.err.lines().count() == 1;
        assert!(self.code == Some(code) && tidy, "not one line and the exit code {code}: {self:?}");
        self.err.trim_end().to_owned()
    }
}
