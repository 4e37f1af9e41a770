//! Runs the `ees` command to its end.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::binary;

/// The command with these arguments, without settings from the caller's environment.
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

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs a command to its end.
///
/// # Panics
/// When it can't be started, or writes something other than text.
pub fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code(), out: text(stdout), err: text(stderr) }
}

impl Ran {
    /// Returns its standard output. The command must have succeeded.
    ///
    /// # Panics
    /// When it failed.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Parses each line of its standard output as JSON. The command must have succeeded.
    ///
    /// # Panics
    /// When it failed, or wrote something other than JSON.
    pub fn json(self) -> Vec<Value> {
        self.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns its one line on standard error. The command must have failed with this code, and written
    /// nothing else.
    ///
    /// # Panics
    /// When it ended in another way.
    pub fn failed(self, code: i32) -> String {
        let tidy = self.out.is_empty() && self.err.ends_with('\n') && self.err.lines().count() == 1;
        assert!(self.code == Some(code) && tidy, "not one line and the exit code {code}: {self:?}");
        self.err.trim_end().to_owned()
    }
}
