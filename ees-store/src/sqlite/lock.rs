//! One writing process a log.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Held as long as the log is open for writing. The operating system lets go of it when the process ends,
/// however that happens, so a crash leaves nothing to clean up.
///
/// A file of its own, because SQLite takes and drops locks on the log itself.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(log: &Path) -> Result<Self> {
        let path = beside(log);
        let failed = |e: std::io::Error| Error::Storage {
            detail: format!("{}: {e}", path.display()),
            source: Box::new(e),
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let known = file.read_to_string(&mut pid).is_ok() && pid.trim().parse::<u32>().is_ok();
                let by = if known { format!(" by process {}", pid.trim()) } else { String::new() };
                return Err(Error::AlreadyOpen { path: log.to_owned(), by });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn beside(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}
