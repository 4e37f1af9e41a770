//! Sets aside a file that is damaged: a read model can be made again from the log.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use ees_store::Timestamp;
use rusqlite::{Connection, ErrorCode};

use super::{beside, code};

/// The endings of what belongs to a file, and the file itself.
const PARTS: [&str; 4] = ["-wal", "-shm", "-journal", ""];

/// Reads what the framework needs from the file, so that damage shows itself now.
pub(super) fn look_into(connection: &Connection) -> rusqlite::Result<()> {
    for table in ["sqlite_schema", "ees_projections", "ees_parked_streams", "ees_parked_changesets"] {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0))?;
    }
    Ok(())
}

pub(super) fn is_damage(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(code(error), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// Waits until no other process sets the file aside. Holds until the returned file is dropped.
pub(super) fn lock(path: &Path) -> io::Result<File> {
    // Never deleted: a process that waits for a deleted lock would not exclude the next one.
    let lock = beside(path, ".set-aside.lock");
    let file = File::options().create(true).truncate(false).write(true).open(lock)?;
    file.lock()?;
    Ok(file)
}

/// Renames the file and what belongs to it. Returns the new name. The caller holds the [`lock`].
///
/// The file itself comes last: a new file must never find the log of the old one beside it.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let seconds = Timestamp::now().as_micros() / 1_000_000;
    let mut aside = beside(path, &format!(".damaged-{seconds}"));
    for number in 2.. {
        if !is_taken(&aside)? {
            break;
        }
        aside = beside(path, &format!(".damaged-{seconds}-{number}"));
    }
    for part in PARTS {
        let from = beside(path, part);
        if from.try_exists()? {
            std::fs::rename(from, beside(&aside, part))?;
        }
    }
    Ok(aside)
}

/// Deletes the file and what belongs to it. The file itself comes last, as above.
pub(super) fn delete(path: &Path) -> io::Result<()> {
    for part in PARTS {
        match std::fs::remove_file(beside(path, part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn is_taken(aside: &Path) -> io::Result<bool> {
    for part in PARTS {
        if beside(aside, part).try_exists()? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_aside_in_the_same_second_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.db");
        let mut asides = Vec::new();
        for content in ["one", "two", "three"] {
            std::fs::write(&path, content).unwrap();
            let aside = set_aside(&path).unwrap();
            assert!(!path.exists());
            asides.push((aside, content));
        }
        for (aside, content) in asides {
            assert_eq!(std::fs::read_to_string(aside).unwrap(), content);
        }
    }
}
