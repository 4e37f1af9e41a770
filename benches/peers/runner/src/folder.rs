//! Where this program keeps things.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;

/// `target/peers`, where results and logs are.
pub(crate) fn ours() -> PathBuf {
    ees_test_shared::target().join("peers")
}

/// Makes a folder anew, with what another one holds.
pub(crate) fn renew(folder: &Path, from: Option<&Path>) -> Result<()> {
    let renewed = remove(folder).and_then(|()| fs::create_dir_all(folder));
    let filled = renewed.and_then(|()| from.map_or(Ok(()), |from| copy(from, folder)));
    filled.map_err(|error| format!("{}: {error}", folder.display()))
}

/// Removes a folder, if it is there.
pub(crate) fn remove(folder: &Path) -> std::io::Result<()> {
    if folder.exists() { fs::remove_dir_all(folder) } else { Ok(()) }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
