//! The configuration file: its values become the defaults of the command line's arguments, so that what is given
//! there or in the environment goes first.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use clap::{Arg, Command};
use toml::{Table, Value};

use crate::exit::{Failure, Outcome};

/// Read when no file is named.
const USUAL: &str = "ees.toml";

/// The command with the file's values as defaults. Without a file, the usual one, if there is one.
pub(crate) fn as_defaults(command: Command, file: Option<&Path>) -> Outcome<Command> {
    let path = file.unwrap_or(Path::new(USUAL));
    match std::fs::read_to_string(path) {
        Ok(text) => with_text(command, &text).map_err(|failure| failure.at(path.display())),
        Err(error) if file.is_none() && error.kind() == ErrorKind::NotFound => Ok(command),
        Err(error) => Err(Failure::usage(format!("{}: {error}", path.display()))),
    }
}

fn with_text(command: Command, text: &str) -> Outcome<Command> {
    let table: Table = text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(0, |span| text[..span.start].lines().count().max(1));
        Failure::usage(format!("line {line}: {}", e.message()))
    })?;
    let mut known = BTreeSet::new();
    names(&command, &mut known);
    if let Some(unknown) = table.keys().find(|key| !known.contains(key.as_str())) {
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        return Err(Failure::usage(format!(
            "there is no setting {unknown:?}; there are: {}",
            known.join(", ")
        )));
    }
    let mut defaults = Table::new();
    for (key, value) in table {
        defaults.insert(key.clone(), Value::String(as_argument(&key, value)?));
    }
    Ok(with_defaults(command, &defaults))
}

/// An argument is a setting when it has an environment variable; its key is the flag's name.
fn key_of(arg: &Arg) -> Option<&str> {
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

/// The value as it would stand on the command line; a list with commas.
fn as_argument(key: &str, value: Value) -> Outcome<String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(truth) => Ok(truth.to_string()),
        Value::Array(list) => {
            let list: Vec<_> = list.into_iter().map(|item| as_argument(key, item)).collect::<Outcome<_>>()?;
            Ok(list.join(","))
        }
        Value::Datetime(_) | Value::Table(_) => {
            Err(Failure::usage(format!("{key:?} has to be a text, a number, true or false, or a list")))
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
                .arg(setting("listen", "EES_TEST_LISTEN").default_value("built in"))
                .arg(setting("api-keys", "EES_TEST_KEYS"))
                .arg(setting("insecure-bind", "EES_TEST_INSECURE").action(ArgAction::SetTrue))
                .arg(Arg::new("once").long("once")),
        )
    }

    fn read(file: &str, line: &[&str]) -> clap::ArgMatches {
        let line = ["ees", "serve"].iter().chain(line);
        let matches = with_text(command(), file).unwrap().get_matches_from(line);
        matches.subcommand_matches("serve").unwrap().clone()
    }

    #[test]
    fn a_flag_goes_before_the_file_and_the_file_before_what_is_built_in() {
        let listen = |file, line| read(file, line).get_one::<String>("listen").cloned().unwrap();
        assert_eq!(listen("", &[]), "built in");
        assert_eq!(listen("listen = 'file'", &[]), "file");
        assert_eq!(listen("listen = 'file'", &["--listen", "flag"]), "flag");
    }

    #[test]
    fn a_list_and_a_truth_are_values_too() {
        let matches = read("api-keys = ['a', 'b']\ninsecure-bind = true", &[]);
        assert_eq!(matches.get_one::<String>("api-keys").unwrap(), "a,b");
        assert!(matches.get_flag("insecure-bind"));
        assert!(!read("", &[]).get_flag("insecure-bind"));
    }

    #[test]
    fn what_is_no_setting_is_named() {
        for (file, named) in [
            ("lsten = 'x'", "\"lsten\""),
            ("once = 'x'", "\"once\""),
            ("listen = {}", "\"listen\""),
            ("a = 1\nb = = 2", "line 2"),
        ] {
            let told = format!("{:?}", with_text(command(), file).unwrap_err());
            assert!(told.contains(&named.replace('"', "\\\"")), "{told}");
        }
    }
}
