//! One process for each projection of a file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::beside;
use crate::database::{Claim, ClaimedElsewhere};

/// The locks of this process, by the lock file. However often the process opens a file of read models, it has
/// one claim on a projection there: the operating system would refuse it a second lock.
static CLAIMS: Mutex<BTreeMap<PathBuf, Weak<Lock>>> = Mutex::new(BTreeMap::new());

/// Held while a projection runs. The operating system releases it when the process ends, however that
/// happens.
struct Lock {
    _file: Option<File>,
}

/// Claims a projection in the file. The workers of one process share the claim.
pub(super) fn claim(path: &Path, projection: &str) -> Result<Claim, ClaimedElsewhere> {
    // All links to a file lead to one lock.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // Never deleted: a process that waits for a deleted lock would not exclude the next one.
    let file = beside(&path, &format!(".{projection}.lock"));
    let mut claims = CLAIMS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lock) = claims.get(&file).and_then(Weak::upgrade) {
        return Ok(Claim::holding(lock));
    }
    let lock = Arc::new(lock(&path, &file, projection)?);
    claims.retain(|_, lock| lock.strong_count() > 0);
    claims.insert(file, Arc::downgrade(&lock));
    Ok(Claim::holding(lock))
}

fn lock(path: &Path, lock: &Path, projection: &str) -> Result<Lock, ClaimedElsewhere> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let opened = options.read(true).write(true).create(true).truncate(false).open(lock);
    let locked = opened.map_err(TryLockError::Error).and_then(|mut file| match file.try_lock() {
        Ok(()) => Ok(Ok(file)),
        Err(TryLockError::WouldBlock) => Ok(Err(owner(&mut file))),
        Err(error) => Err(error),
    });
    match locked {
        Ok(Ok(mut file)) => {
            // Only to tell others who it is.
            let noted = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            if let Err(error) = noted {
                tracing::debug!(%error, file = %lock.display(), "the process id was not written");
            }
            Ok(Lock { _file: Some(file) })
        }
        Ok(Err(owner)) => Err(ClaimedElsewhere(format!(
            "{owner} runs \"{projection}\" on {}: end that process, or give this one a file of its own; several \
             processes can share read models in PostgreSQL",
            path.display()
        ))),
        Err(error) => {
            // The fence keeps the rows right in any case.
            tracing::warn!(
                %error, projection, file = %lock.display(),
                "the read model can't be locked: a second process that runs it would not be noticed"
            );
            Ok(Lock { _file: None })
        }
    }
}

/// Says which process has the lock.
fn owner(lock: &mut File) -> String {
    let mut pid = String::new();
    match lock.read_to_string(&mut pid).ok().and_then(|_| pid.trim().parse::<u32>().ok()) {
        Some(pid) if pid == std::process::id() => "this process".to_owned(),
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}
