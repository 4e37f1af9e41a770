//! Backs up a log while it is in use.

use std::path::{Path, PathBuf};

use super::error::at_path;
use super::schema;
use crate::{Error, Result};

/// Copies a log to a new file: complete, consistent and compact, as of the start of the copy. This process or
/// another may write to the log meanwhile.
///
/// To restore, stop the store, replace the log by the copy, and delete the `-wal` and `-shm` files of the old
/// log. Projections detect that the log went back, and say what to do.
///
/// # Errors
/// [`Error::InvalidRequest`] when `target` exists; [`Error::Storage`] when it can't be written. A copy that
/// fails leaves no file with the target's name.
pub fn backup(log: &Path, target: &Path) -> Result<()> {
    if target.exists() {
        return Err(Error::InvalidRequest(format!("{} exists already; name a new file", target.display())));
    }
    if !log.exists() {
        return Err(Error::InvalidRequest(format!("there is no log at {}", log.display())));
    }
    let unfinished = unfinished(target);
    let failed = |e: std::io::Error| Error::Storage {
        detail: format!("{}: {e}", target.display()),
        source: Box::new(e),
    };
    if unfinished.exists() {
        std::fs::remove_file(&unfinished).map_err(failed)?;
    }
    let connection = schema::open_reader(log)?;
    schema::log_id(&connection, log)?;
    let name = unfinished.to_string_lossy();
    let copied = connection.execute("VACUUM INTO ?1", [&*name]).map_err(|e| at_path(target, e));
    if let Err(error) = copied {
        let _ = std::fs::remove_file(&unfinished);
        return Err(error);
    }
    std::fs::File::open(&unfinished).and_then(|file| file.sync_all()).map_err(failed)?;
    std::fs::rename(&unfinished, target).map_err(failed)
}

fn unfinished(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".unfinished");
    PathBuf::from(name)
}
