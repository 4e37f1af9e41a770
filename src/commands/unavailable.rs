//! Stands for a sub-command that this build lacks.

use std::ffi::OsString;

use clap::Args;

use crate::exit::Failure;
use crate::features;

/// Takes whatever the sub-command would take.
#[derive(Args)]
#[command(disable_help_flag = true, arg_required_else_help = false)]
pub(crate) struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<OsString>,
}

pub(crate) fn failure(name: &str, feature: &str) -> Failure {
    features::missing(format!("`ees {name}`"), feature)
}

#[cfg(test)]
mod tests {
    use clap::{FromArgMatches, Subcommand};

    use super::*;

    #[derive(Subcommand)]
    enum Command {
        Publish(Arguments),
    }

    #[test]
    fn it_takes_any_arguments_and_names_the_feature() {
        for line in
            [&["ees", "publish"][..], &["ees", "publish", "--events", "arn"], &["ees", "publish", "--help"]]
        {
            let matches = Command::augment_subcommands(clap::Command::new("ees")).try_get_matches_from(line);
            assert!(Command::from_arg_matches(&matches.unwrap()).is_ok(), "{line:?}");
        }
        let told = format!("{:?}", failure("publish", "sns"));
        assert!(
            told.contains("`ees publish` needs the feature `sns`") && told.contains("--features sns"),
            "{told}"
        );
    }
}
