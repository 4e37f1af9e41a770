//! Copies of a read model as it was: each is a file in the folder of the read model's own.

use std::path::{Path, PathBuf};

use super::{Database, beside, schema};
use crate::error::BoxError;

/// The most bytes of the name of a copy.
const NAME_MAX: usize = 100;
const ENDING: &str = ".db";

/// Returns the path of a copy of a read model in this file.
pub(super) fn path_of(file: &Path, name: &str) -> Result<PathBuf, BoxError> {
    // Other names are SQLite's (`FILE-journal`), and those of standbys and locks (`FILE.NAME__standby-1`).
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let stem = name.strip_suffix(ENDING).unwrap_or(name);
    if stem.is_empty() || name.len() > NAME_MAX || !stem.bytes().all(is_plain) {
        return Err(format!(
            "\"{name}\" can't be the file of a copy: use letters, digits and _, at most {NAME_MAX}, with or without \
             {ENDING} at the end. It is made in the folder of the read model"
        )
        .into());
    }
    let path = file.with_file_name(format!("{stem}{ENDING}"));
    if path == file {
        return Err(format!("\"{name}\" is the file of the live read model").into());
    }
    Ok(path)
}

/// Opens the file of a copy. A file that is there must have no read model but that of this projection: any other is
/// left as it is.
pub(super) fn open(path: PathBuf, projection: &str, create: bool) -> Result<Database, BoxError> {
    if path.try_exists()? {
        let others = "SELECT count(*) FROM ees_projections WHERE name != ?1";
        let others = schema::open_reader(&path)
            .and_then(|found| found.query_row(others, [projection], |row| row.get::<_, u64>(0)));
        match others {
            Ok(0) => {}
            Ok(_) => return Err(format!("{} has read models of other projections", path.display()).into()),
            Err(_) => return Err(format!("{} is there and is no file of read models", path.display()).into()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{Database as _, Transaction as _};
    use crate::projection_state::ProjectionState;
    use crate::read_model_id::ReadModelId;

    #[tokio::test]
    async fn a_file_of_something_else_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("sums.db")).unwrap();
        let other = Database::open(folder.path().join("other.db")).unwrap();
        let mut tx = other.begin().await.unwrap();
        assert!(tx.insert(&ReadModelId::live("other"), &ProjectionState::new(1)).await.unwrap());
        tx.commit().await.unwrap();
        std::fs::write(folder.path().join("notes.db"), "kept").unwrap();
        for (name, told) in [
            ("other", "other projections"),
            ("other.db", "other projections"),
            ("notes", "no file of read models"),
            ("sums.db-journal", "can't be the file"),
            ("sums.db-wal", "can't be the file"),
            ("sums.db.sums__standby-1", "can't be the file"),
            ("sums.db.sums.lock", "can't be the file"),
            ("sums", "the live read model"),
            ("sums.db", "the live read model"),
            ("../sums", "can't be the file"),
            (".sums", "can't be the file"),
            ("", "can't be the file"),
        ] {
            for create in [true, false] {
                let refused = database.copy_of(&ReadModelId::live("sums"), name, create).await.err().unwrap();
                assert!(refused.to_string().contains(told), "{name}: {refused}");
            }
        }
        assert_eq!(std::fs::read_to_string(folder.path().join("notes.db")).unwrap(), "kept");
        let absent = database.copy_of(&ReadModelId::live("sums"), "then", false).await.err().unwrap();
        assert!(absent.to_string().contains("there is no file"), "{absent}");
        assert!(!folder.path().join("then.db").exists());
    }
}
