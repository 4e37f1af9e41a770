//! Python environments with packages that tests use.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::target;

/// The folder of the environment `target/NAME` with these packages. One process at a time creates it if it does
/// not exist.
///
/// # Panics
/// When the packages can't be installed: this needs `python3`, and the network once.
pub fn environment(name: &str, packages: &[&str]) -> PathBuf {
    fs::create_dir_all(target()).expect("target can be created");
    let folder = target().join(name);
    let lock = File::create(target().join(format!("{name}.lock"))).expect("target can be written");
    lock.lock().expect("files can be locked");
    // Written last: an installation that was killed, or that has other versions, is repeated.
    let installed = folder.join("installed");
    if fs::read_to_string(&installed).ok().as_deref() != Some(&packages.join(" ")) {
        install(&folder, packages);
        fs::write(&installed, packages.join(" ")).expect("just installed");
    }
    folder
}

fn install(folder: &Path, packages: &[&str]) {
    let script = "python3 -m venv --clear \"$1\" && python=$1/bin/python && shift &&
        \"$python\" -m pip install --quiet --disable-pip-version-check \"$@\"";
    let mut install = Command::new("sh");
    install.args(["-c", script, "sh"]).arg(folder).args(packages);
    let output = install.output().expect("sh runs");
    assert!(
        output.status.success(),
        "{packages:?} can't be installed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
