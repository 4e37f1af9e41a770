//! Features of the crate: what needs one that this build lacks is told which one.

use std::ffi::OsString;
use std::fmt::Display;

use crate::exit::Failure;

/// The options of a feature, and whether this build has it.
const OPTIONS: [(&str, &str, bool); 5] = [
    ("sigv4", "sigv4", cfg!(feature = "sigv4")),
    ("publish-changesets", "sns", cfg!(feature = "sns")),
    ("publish-events", "sns", cfg!(feature = "sns")),
    ("publish-notifications", "sns", cfg!(feature = "sns")),
    ("publish-dead-letters", "sns", cfg!(feature = "sns")),
];

/// Why `what` is not possible in this build.
pub(crate) fn missing(what: impl Display, feature: &str) -> Failure {
    let message = format!("{what} needs the feature `{feature}`, which this build of ees does not have");
    let hint = format!("build it with `cargo install --locked --path . --features {feature}`");
    Failure::not_possible_here(message).with_hint(hint)
}

/// The failure for an option (its name without dashes) of a feature that this build lacks.
pub(crate) fn missing_option(name: &str) -> Option<Failure> {
    let (name, feature, _) = OPTIONS.into_iter().find(|(known, _, is_here)| *known == name && !is_here)?;
    Some(missing(format!("--{name}"), feature))
}

/// The failure for a setting in the environment that belongs to a feature that this build lacks. An empty one, and a
/// switch that is off, ask for nothing.
pub(crate) fn missing_setting(variable: impl Fn(&str) -> Option<OsString>) -> Option<Failure> {
    let is_set = |value: OsString| {
        let value = value.to_string_lossy().to_lowercase();
        !["", "0", "false", "no", "off", "n", "f"].contains(&&*value)
    };
    OPTIONS.into_iter().filter(|(.., is_here)| !is_here).find_map(|(option, feature, _)| {
        let name = format!("EES_{}", option.replace('-', "_").to_uppercase());
        variable(&name).is_some_and(is_set).then(|| missing(name, feature))
    })
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::*;
    use crate::arguments::Arguments;
    use crate::exit::Exit;

    fn has_option(command: &Command, name: &str) -> bool {
        command.get_arguments().any(|argument| argument.get_long() == Some(name))
            || command.get_subcommands().any(|sub| has_option(sub, name))
    }

    #[test]
    fn a_setting_in_the_environment_is_not_dropped_in_silence() {
        for (option, feature, is_here) in OPTIONS {
            let name = format!("EES_{}", option.replace('-', "_").to_uppercase());
            let given = |value: &str| missing_setting(|asked| (asked == name).then(|| value.into()));
            let told = given("true");
            assert_eq!(told.is_none(), is_here, "{name}");
            let told = told.map(|failure| (failure.exit(), format!("{failure:?}")));
            assert!(
                told.is_none_or(|(exit, told)| exit == Exit::NotPossibleHere
                    && told.contains(&name)
                    && told.contains(feature)),
                "{name}"
            );
            for off in ["", "False", "0"] {
                assert!(given(off).is_none(), "{name}={off}");
            }
        }
        assert!(missing_setting(|_| None).is_none());
    }

    #[test]
    fn an_option_is_either_here_or_its_feature_is_named() {
        let command = Arguments::command();
        for (name, feature, is_here) in OPTIONS {
            assert_eq!(has_option(&command, name), is_here, "--{name}");
            let told = missing_option(name).map(|failure| format!("{failure:?}"));
            assert_eq!(told.is_none(), is_here, "--{name}");
            assert!(told.is_none_or(|told| told.contains(feature)), "--{name}");
        }
        assert!(missing_option("no-such-option").is_none());
        let told = format!("{:?}", missing("--x", "sns"));
        assert!(told.contains("--x needs the feature `sns`") && told.contains("--features sns"), "{told}");
    }
}
