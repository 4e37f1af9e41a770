//! One writing process a log.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::file::{FileId, beside, failed, for_its_owner};
use crate::{Error, Result};

/// Held as long as the log is open for writing. The operating system lets go of it when the process ends,
/// however that happens, so a crash leaves nothing to clean up.
///
/// A file of its own, because SQLite takes and drops locks on the log itself.
pub(super) struct Lock {
    log: PathBuf,
    path: PathBuf,
    file: File,
}

impl Lock {
    pub(super) fn take(log: &Path) -> Result<Self> {
        let path = beside(log, ".lock");
        let opened = for_its_owner().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(|error| failed(&path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let known = file.read_to_string(&mut pid).is_ok() && pid.trim().parse::<u32>().is_ok();
                let by = if known { format!(" by process {}", pid.trim()) } else { String::new() };
                return Err(Error::AlreadyOpen { path: log.to_owned(), by });
            }
            Err(TryLockError::Error(error)) => return Err(failed(&path, error)),
        }
        // Only to tell others who it is: a full disk is no reason to have no lock.
        if let Err(error) = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
            tracing::debug!(%error, "failed to write the process id into {}", path.display());
        }
        Ok(Self { log: log.to_owned(), path, file })
    }

    /// Takes the lock again if its file was removed: another process would not find it. Fails when one has
    /// opened the log since.
    pub(super) fn keep(&mut self) -> Result<()> {
        let found = std::fs::metadata(&self.path).map(|found| FileId::of(&found));
        let own = self.file.metadata().map(|own| FileId::of(&own));
        if !matches!((found, own), (Ok(found), Ok(own)) if found == own) {
            *self = Self::take(&self.log)?;
        }
        Ok(())
    }
}
