//! `ees completions`: a completion script for a shell.

use std::io::Write;

use clap::Args;
use clap_complete::Shell;

use crate::exit::{Failure, Outcome};

/// Print the completion script of a shell, for its startup file
#[derive(Args)]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments, mut command_line: clap::Command) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command_line, "ees", &mut script);
    std::io::stdout().write_all(&script).map_err(|e| Failure::output(&e))
}
