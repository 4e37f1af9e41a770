//! Backs up a log while it is in use.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use super::error::at_path;
use super::file::{beside, check_not_lost, failed, for_its_owner, resolve};
use super::schema;
use crate::{Error, Result};

/// Copies a log to a new file: complete, consistent and compact, as of the start of the copy. This process or
/// another may write to the log meanwhile. Only the owner of the copy may read it.
///
/// To restore, stop the store, replace the log by the copy, and delete the `-wal` and `-shm` files of the old
/// log. Projections detect that the log went back, and say what to do.
///
/// # Errors
/// [`Error::InvalidRequest`] when `target` exists, or `target.unfinished`, which an interrupted copy leaves;
/// [`Error::Storage`] when it can't be written. Nothing that exists is replaced or deleted. A copy that fails
/// leaves no file with the target's name.
pub fn backup(log: &Path, target: &Path) -> Result<()> {
    let exists = |path: &Path| fs::symlink_metadata(path).is_ok();
    if exists(target) {
        return Err(Error::InvalidRequest(format!("{} exists already; name a new file", target.display())));
    }
    if !log.exists() {
        return Err(Error::InvalidRequest(format!("there is no log at {}", log.display())));
    }
    let log = &resolve(log)?;
    check_not_lost(log)?;
    let connection = schema::open_reader(log)?;
    schema::log_id(&connection, log)?;

    let unfinished = beside(target, ".unfinished");
    for_its_owner().write(true).create_new(true).open(&unfinished).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::InvalidRequest(format!(
            "{} exists already: another backup is under way, or one was interrupted; then delete that file",
            unfinished.display()
        )),
        _ => failed(&unfinished, error),
    })?;
    // From here on the file is our own.
    let name = unfinished.to_string_lossy();
    let copied = connection.execute("VACUUM INTO ?1", [&*name]).map_err(|e| at_path(target, e));
    let finished = copied.and_then(|_| finish(&unfinished, target).map_err(|error| failed(target, error)));
    if finished.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    finished
}

/// Gives the copy its name, unless something else has it by now.
fn finish(unfinished: &Path, target: &Path) -> io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    match fs::hard_link(unfinished, target) {
        Ok(()) => fs::remove_file(unfinished)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
        // A file system without links.
        Err(_) if fs::symlink_metadata(target).is_err() => fs::rename(unfinished, target)?,
        Err(error) => return Err(error),
    }
    #[cfg(unix)]
    if let Some(folder) = target.canonicalize()?.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
