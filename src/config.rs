//! The configuration file. Its values become defaults of the command line's arguments, so that flags and
//! environment variables override them.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use clap::{Arg, Command};
use toml::{Table, Value};

use crate::exit::{Failure, Outcome};
use crate::{features, hint};

/// Read by default.
const DEFAULT_FILE: &str = "ees.toml";

/// The command with the file's values as defaults, and the names of the settings in the file. Reads
/// [`DEFAULT_FILE`], if it exists, when `file` is `None`.
pub(crate) fn as_defaults(command: Command, file: Option<&Path>) -> Outcome<(Command, BTreeSet<String>)> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => with_text(command, &text).map_err(|failure| failure.at(path.display())),
        Err(error) if file.is_none() && error.kind() == ErrorKind::NotFound => Ok((command, BTreeSet::new())),
        Err(error) => Err(Failure::usage(format!("{}: {error}", path.display()))),
    }
}

fn with_text(command: Command, text: &str) -> Outcome<(Command, BTreeSet<String>)> {
    let table: Table = text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(0, |span| text[..span.start].lines().count().max(1));
        Failure::usage(format!("line {line}: {}", e.message()))
    })?;
    let mut known = BTreeSet::new();
    names(&command, &mut known);
    if let Some(unknown) = table.keys().find(|key| !known.contains(key.as_str())) {
        if let Some(missing) = features::missing_option(unknown) {
            return Err(missing);
        }
        let known = || known.iter().map(String::as_str);
        let similar = hint::similar(unknown, known());
        let similar = similar.map(|name| format!("did you mean {name:?}? ")).unwrap_or_default();
        let all = known().collect::<Vec<_>>().join(", ");
        return Err(Failure::usage(format!("unknown setting {unknown:?}"))
            .with_hint(format!("{similar}the settings are: {all}")));
    }
    let mut defaults = Table::new();
    for (key, value) in table {
        defaults.insert(key.clone(), Value::String(as_argument(&key, value)?));
    }
    let names = defaults.keys().cloned().collect();
    Ok((with_defaults(command, &defaults), names))
}

/// Every argument with an environment variable is a setting. Its key is the name of the flag.
pub(crate) fn key_of(arg: &Arg) -> Option<&str> {
    arg.get_env()?;
    arg.get_long().filter(|name| *name != "config")
}

fn names(command: &Command, known: &mut BTreeSet<String>) {
    known.extend(command.get_arguments().filter_map(key_of).map(ToOwned::to_owned));
    command.get_subcommands().for_each(|sub| names(sub, known));
}

fn with_defaults(mut command: Command, defaults: &Table) -> Command {
    let given: Vec<_> = command
        .get_arguments()
        .filter_map(|arg| Some((arg.get_id().clone(), defaults.get(key_of(arg)?)?.as_str()?.to_owned())))
        .collect();
    for (id, value) in given {
        command = command.mut_arg(id, |arg| arg.default_value(value));
    }
    command.mut_subcommands(|sub| with_defaults(sub, defaults))
}

/// The value as it would appear on the command line. A list becomes comma-separated.
fn as_argument(key: &str, value: Value) -> Outcome<String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(flag) => Ok(flag.to_string()),
        Value::Array(list) => {
            let list: Vec<_> = list.into_iter().map(|item| as_argument(key, item)).collect::<Outcome<_>>()?;
            Ok(list.join(","))
        }
        Value::Datetime(_) | Value::Table(_) => {
            Err(Failure::usage(format!("{key:?} must be a string, a number, a boolean or a list")))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn command() -> Command {
        let setting = |name: &'static str, env: &'static str| Arg::new(name).long(name).env(env);
        Command::new("ees").subcommand(
            Command::new("serve")
                .arg(setting("listen", "EES_TEST_LISTEN").default_value("built-in"))
                .arg(setting("api-keys", "EES_TEST_KEYS"))
                .arg(setting("insecure-bind", "EES_TEST_INSECURE").action(ArgAction::SetTrue))
                .arg(Arg::new("once").long("once")),
        )
    }

    fn read(file: &str, line: &[&str]) -> clap::ArgMatches {
        let line = ["ees", "serve"].iter().chain(line);
        let matches = with_text(command(), file).unwrap().0.get_matches_from(line);
        matches.subcommand_matches("serve").unwrap().clone()
    }

    #[test]
    fn a_flag_overrides_the_file_and_the_file_overrides_the_default() {
        let listen = |file, line| read(file, line).get_one::<String>("listen").cloned().unwrap();
        assert_eq!(listen("", &[]), "built-in");
        assert_eq!(listen("listen = 'file'", &[]), "file");
        assert_eq!(listen("listen = 'file'", &["--listen", "flag"]), "flag");
    }

    #[test]
    fn lists_and_booleans_are_values_too() {
        let matches = read("api-keys = ['a', 'b']\ninsecure-bind = true", &[]);
        assert_eq!(matches.get_one::<String>("api-keys").unwrap(), "a,b");
        assert!(matches.get_flag("insecure-bind"));
        assert!(!read("", &[]).get_flag("insecure-bind"));
    }

    #[test]
    fn an_error_names_what_is_wrong_in_the_file() {
        for (file, named) in [
            ("lsten = 'x'", "\"lsten\""),
            ("lsten = 'x'", "did you mean \"listen\"?"),
            ("once = 'x'", "\"once\""),
            ("listen = {}", "\"listen\""),
            ("a = 1\nb = = 2", "line 2"),
        ] {
            let error = format!("{:?}", with_text(command(), file).unwrap_err());
            assert!(error.contains(&named.replace('"', "\\\"")), "{error}");
        }
    }
}
