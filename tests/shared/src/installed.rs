//! Folders in `target` that are made once: what tests install.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::target;

/// The folder `target/NAME`, which `install` makes unless it has `what` already. One process at a time makes
/// it.
pub(crate) fn folder(
    name: &str,
    what: &str,
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    fs::create_dir_all(target()).expect("target can be created");
    let folder = target().join(name);
    let lock = File::create(target().join(format!("{name}.lock"))).expect("target can be written");
    lock.lock().expect("files can be locked");
    // Written last: an installation that was killed, or that has other versions, is repeated.
    let installed = folder.join("installed");
    if fs::read_to_string(&installed).ok().as_deref() != Some(what) {
        install(&folder)?;
        fs::write(&installed, what).expect("just installed");
    }
    Ok(folder)
}

/// Runs a command to its end. An error is what it wrote.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&text)))
}

/// What was installed, or `None` where the registry can't be reached: then this says so.
///
/// # Panics
/// When the installation failed in another way.
pub(crate) fn if_reachable<T>(installed: Result<T, String>, registry: &str) -> Option<T> {
    /// What pip and npm write when there is no network.
    const SIGNS: [&str; 8] = [
        "NewConnectionError",
        "NameResolutionError",
        "ConnectTimeoutError",
        "ENOTFOUND",
        "EAI_AGAIN",
        "ECONNREFUSED",
        "ENETUNREACH",
        "ETIMEDOUT",
    ];
    match installed {
        Ok(installed) => Some(installed),
        Err(why) if SIGNS.iter().any(|sign| why.contains(sign)) => {
            eprintln!("left out: {registry} can't be reached: {why}");
            None
        }
        Err(why) => panic!("{why}"),
    }
}
