//! The Python environment of the emulator.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use ees_test_shared::target;

/// The emulator, and the package by which it understands SAM templates.
const PACKAGES: [&str; 2] = ["ministack==1.5.33", "aws-sam-translator==1.115.0"];

/// The folder of the environment. One process at a time creates it if it does not exist.
pub(crate) fn folder() -> PathBuf {
    fs::create_dir_all(target()).expect("target can be created");
    let folder = target().join("aws-venv");
    let lock = File::create(target().join("aws-venv.lock")).expect("target can be written");
    lock.lock().expect("files can be locked");
    // Written last: an installation that was killed, or that has other versions, is repeated.
    let installed = folder.join("installed");
    if fs::read_to_string(&installed).ok().as_deref() != Some(&PACKAGES.join(" ")) {
        install(&folder);
        fs::write(&installed, PACKAGES.join(" ")).expect("just installed");
    }
    folder
}

fn install(folder: &Path) {
    let script = "python3 -m venv --clear \"$1\" && python=$1/bin/python && shift &&
        \"$python\" -m pip install --quiet --disable-pip-version-check \"$@\"";
    let mut install = Command::new("sh");
    install.args(["-c", script, "sh"]).arg(folder).args(PACKAGES);
    let output = install.output().expect("sh runs");
    assert!(
        output.status.success(),
        "{PACKAGES:?} can't be installed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
