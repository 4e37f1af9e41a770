//! Python environments with packages that tests use.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::installed;

/// The folder of the environment `target/NAME` with these packages. One process at a time creates it if it does
/// not exist.
///
/// # Panics
/// When the packages can't be installed: this needs `python3`, and the network once.
pub fn environment(name: &str, packages: &[&str]) -> PathBuf {
    create(name, packages).unwrap_or_else(|why| panic!("{why}"))
}

/// The same, or `None` where PyPI can't be reached: then this says so.
///
/// # Panics
/// When the packages can't be installed for another reason.
pub fn environment_if_reachable(name: &str, packages: &[&str]) -> Option<PathBuf> {
    installed::if_reachable(create(name, packages), "PyPI")
}

pub(crate) fn create(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    installed::folder(name, &packages.join(" "), |folder| install(folder, packages))
}

fn install(folder: &Path, packages: &[&str]) -> Result<(), String> {
    let script = "python3 -m venv --clear \"$1\" && python=$1/bin/python && shift &&
        \"$python\" -m pip install --quiet --disable-pip-version-check \"$@\"";
    installed::run(Command::new("sh").args(["-c", script, "sh"]).arg(folder).args(packages))
}
