//! The folder of the log: whether a name in it has changed since it was last looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::file::FileId;
use crate::Result;

/// A change within this time of an earlier one may leave the same time of change behind.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// Spares checks of each file by its name: a file system that creates, removes or renames one notes the time in
/// the folder.
pub(super) struct Folder {
    path: PathBuf,
    /// What the folder was like when all that it holds was last found in order.
    checked: Option<Stamp>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    id: FileId,
    changed: SystemTime,
}

impl Folder {
    /// The folder that a file is in.
    pub(super) fn of(file: &Path) -> Self {
        Self { path: file.parent().unwrap_or(Path::new("/")).to_owned(), checked: None }
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
        self.checked = stamp.filter(|stamp| stamp.changed + SETTLED_AFTER < now);
        Ok(())
    }

    fn stamp(&self) -> Option<Stamp> {
        if cfg!(not(unix)) {
            return None;
        }
        let found = fs::metadata(&self.path).ok()?;
        Some(Stamp { id: FileId::of(&found), changed: found.modified().ok()? })
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
        let settled = SystemTime::now() - 2 * SETTLED_AFTER;
        let settle = || fs::File::open(folder.path()).unwrap().set_modified(settled).unwrap();
        let mut watched = Folder::of(&file);
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
        let changes: [fn(&Path); 3] = [
            |folder| fs::write(folder.join("other"), "").unwrap(),
            |folder| fs::rename(folder.join("other"), folder.join("log.db")).unwrap(),
            |folder| fs::remove_file(folder.join("log.db")).unwrap(),
        ];
        for change in changes {
            change(folder.path());
            assert!(checked() && checked(), "as long as another change could go unnoticed");
            settle();
            assert!(checked());
        }
    }
}
