//! The folder of the log: whether a name in it has changed since it was last looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::file::FileId;
use crate::Result;

/// A change within this time of an earlier one may leave the same time of change behind: no file system notes it
/// more roughly.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Spares checks of each file by its name: a file system that creates, removes or renames one notes the time in
/// the folder.
pub(super) struct Folder {
    path: PathBuf,
    settled_after: Duration,
    /// What the folder was like when all that it holds was last found in order.
    checked: Option<Stamp>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    id: FileId,
    /// Not the time of modification, which a program that restores a backup sets.
    changed: SystemTime,
}

impl Folder {
    /// The folder that a file is in.
    pub(super) fn of(file: &Path) -> Self {
        let path = file.parent().unwrap_or(Path::new("/")).to_owned();
        Self { path, settled_after: SETTLED_AFTER, checked: None }
    }

    /// Checks what is in the folder, unless no name has changed since that last succeeded.
    pub(super) fn check(&mut self, check: impl FnOnce() -> Result<()>) -> Result<()> {
        let now = SystemTime::now();
        let stamp = self.stamp();
        if stamp.is_some() && stamp == self.checked {
            return Ok(());
        }
        self.checked = None;
        check()?;
        self.checked = stamp.filter(|stamp| stamp.changed + self.settled_after < now);
        Ok(())
    }

    #[cfg(not(unix))]
    fn stamp(&self) -> Option<Stamp> {
        None
    }

    #[cfg(unix)]
    fn stamp(&self) -> Option<Stamp> {
        use std::os::unix::fs::MetadataExt as _;
        let found = fs::metadata(&self.path).ok()?;
        let (seconds, nanos) = (u64::try_from(found.ctime()).ok()?, u64::try_from(found.ctime_nsec()).ok()?);
        let since = Duration::from_secs(seconds) + Duration::from_nanos(nanos);
        Some(Stamp { id: FileId::of(&found), changed: SystemTime::UNIX_EPOCH + since })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn each_change_of_a_name_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log.db");
        fs::write(&file, "").unwrap();
        let settled_after = Duration::from_millis(100);
        let settle = || std::thread::sleep(2 * settled_after);
        let mut watched = Folder { settled_after, ..Folder::of(&file) };
        let mut checked = || {
            let ran = Cell::new(false);
            let check = || {
                ran.set(true);
                Ok(())
            };
            watched.check(check).unwrap();
            ran.get()
        };
        assert!(checked());
        settle();
        assert!(checked() && !checked() && !checked());
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let put_back = move |folder: &Path| fs::File::open(folder).unwrap().set_modified(long_ago).unwrap();
        put_back(folder.path());
        settle();
        assert!(checked() && !checked());
        let changes: [&dyn Fn(&Path); 4] = [
            &|folder| fs::write(folder.join("other"), "").unwrap(),
            // As a program does that restores a backup.
            &|folder| {
                fs::write(folder.join("log.db-wal"), "").unwrap();
                put_back(folder);
            },
            &|folder| fs::rename(folder.join("other"), folder.join("log.db")).unwrap(),
            &|folder| fs::remove_file(folder.join("log.db")).unwrap(),
        ];
        for change in changes {
            change(folder.path());
            assert!(checked() && checked(), "as long as another change could go unnoticed");
            settle();
            assert!(checked() && !checked());
        }
    }
}
