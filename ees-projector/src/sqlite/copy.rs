//! Copies of a read model as it was: each is a file in the folder of the read model's own.

use std::path::{Path, PathBuf};

use super::{Database, beside, schema};
use crate::error::BoxError;

/// The most bytes of the name of a copy.
const NAME_MAX: usize = 100;

/// Returns the path of a copy of a read model in this file.
pub(super) fn path_of(file: &Path, name: &str) -> Result<PathBuf, BoxError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.is_empty() || name.len() > NAME_MAX || name.starts_with('.') || !name.bytes().all(is_plain) {
        return Err(format!(
            "\"{name}\" can't be the file of a copy: use letters, digits, _, - and ., at most {NAME_MAX}, and not a dot \
             at the start. It is made in the folder of the read model"
        )
        .into());
    }
    let path = file.with_file_name(if name.contains('.') { name.to_owned() } else { format!("{name}.db") });
    if path == file {
        return Err(format!("\"{name}\" is the file of the live read model").into());
    }
    Ok(path)
}

/// Opens the file of a copy. A file that is there must be one of read models: any other is left as it is.
pub(super) fn open(path: PathBuf, create: bool) -> Result<Database, BoxError> {
    if path.try_exists()? {
        let is_of_read_models = schema::open_reader(&path)
            .and_then(|found| found.query_row("SELECT count(*) FROM ees_projections", [], |_| Ok(())));
        is_of_read_models
            .map_err(|_| format!("{} is there and is no file of read models", path.display()))?;
    } else if !create {
        return Err(format!("there is no file {}", path.display()).into());
    }
    Ok(Database::open(path)?)
}

/// Deletes the file, and what SQLite and the claim keep beside it.
pub(super) fn remove(path: &Path) -> Result<(), BoxError> {
    let prefix = beside(path, ".").file_name().map(|name| name.to_string_lossy().into_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in std::fs::read_dir(folder)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_lock =
            prefix.as_ref().is_some_and(|prefix| name.starts_with(prefix)) && name.ends_with(".lock");
        if is_lock {
            std::fs::remove_file(entry.path())?;
        }
    }
    for ending in ["-wal", "-shm"] {
        let file = beside(path, ending);
        if file.try_exists()? {
            std::fs::remove_file(file)?;
        }
    }
    Ok(std::fs::remove_file(path)?)
}
