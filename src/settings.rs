//! The settings of a sub-command, and where each value came from.

use std::collections::BTreeSet;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use ees_store::http::{Setting, SettingSource};

use crate::backend::Backend;
use crate::config::key_of;

/// Stands for a value that is secret.
const MASK: &str = "***";
/// Settings that are URLs of databases: they are shown without the password.
const DATABASES: [&str; 2] = ["store", "read-models"];

/// The settings that a command line, the environment and a file have set, or left alone, by name. `in_file` has the
/// names of those in the file, which are defaults to clap.
pub(crate) fn of(command: &Command, matches: &ArgMatches, in_file: &BTreeSet<String>) -> Vec<Setting> {
    let Some((name, matches)) = matches.subcommand() else { return Vec::new() };
    let Some(command) = command.find_subcommand(name) else { return Vec::new() };
    let settings = command.get_arguments().filter_map(|arg| {
        let name = key_of(arg)?;
        let id = arg.get_id().as_str();
        let values = matches.try_get_raw(id).ok().flatten();
        let value =
            values.map(|values| values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(","));
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => SettingSource::Flag,
            Some(ValueSource::EnvVariable) => SettingSource::Environment,
            _ if in_file.contains(name) => SettingSource::File,
            _ => SettingSource::Default,
        };
        Some(Setting { name: name.to_owned(), value: value.map(|value| shown(name, arg, value)), source })
    });
    let mut settings: Vec<Setting> = settings.collect();
    settings.sort_by(|one, other| one.name.cmp(&other.name));
    settings
}

/// A value as it may be shown.
fn shown(name: &str, arg: &Arg, value: String) -> String {
    if DATABASES.contains(&name) {
        value.parse::<Backend>().map_or_else(|_| MASK.to_owned(), |backend| backend.to_string())
    } else if arg.is_hide_env_values_set() {
        MASK.to_owned()
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn settings(
        line: &[&str],
        in_file: &[(&str, &'static str)],
    ) -> Vec<(String, Option<String>, SettingSource)> {
        let setting = |name: &'static str| Arg::new(name).long(name).env(format!("EES_TEST_{name}"));
        let mut serve = Command::new("serve")
            .arg(setting("listen").default_value("7070"))
            .arg(setting("store").hide_env_values(true))
            .arg(setting("api-keys").hide_env_values(true))
            .arg(setting("hosts").value_delimiter(',').action(ArgAction::Append))
            .arg(setting("no-docs").action(ArgAction::SetTrue))
            .arg(Arg::new("once").long("once"));
        for (name, value) in in_file {
            serve = serve.mut_arg(name, |arg| arg.default_value(value));
        }
        let command = Command::new("ees").subcommand(serve);
        let matches = command.clone().get_matches_from(["ees", "serve"].iter().chain(line));
        let names = in_file.iter().map(|(name, _)| (*name).to_owned()).collect();
        of(&command, &matches, &names).into_iter().map(|it| (it.name, it.value, it.source)).collect()
    }

    fn setting(
        name: &str,
        value: Option<&str>,
        source: SettingSource,
    ) -> (String, Option<String>, SettingSource) {
        (name.to_owned(), value.map(str::to_owned), source)
    }

    #[test]
    fn each_setting_is_told_with_its_source_and_without_secrets() {
        use SettingSource::{Default, File, Flag};
        let told =
            settings(&["--hosts", "a,b", "--store", "memory:"], &[("api-keys", "k3y"), ("listen", "7071")]);
        let expected = [
            setting("api-keys", Some("***"), File),
            setting("hosts", Some("a,b"), Flag),
            setting("listen", Some("7071"), File),
            setting("no-docs", Some("false"), Default),
            setting("store", Some("memory (lost when the server stops)"), Flag),
        ];
        assert_eq!(told, expected);
        assert_eq!(settings(&["--listen", "7070"], &[])[2], setting("listen", Some("7070"), Flag));
        assert_eq!(settings(&[], &[])[4], setting("store", None, Default));
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn the_password_of_a_database_is_not_shown() {
        let told = settings(&["--store", "postgres://ada:s3cret@db/bank?password=s3cret"], &[]);
        assert_eq!(told[4], setting("store", Some("postgres://db/bank"), SettingSource::Flag));
    }
}
