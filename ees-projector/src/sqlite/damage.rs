//! Sets aside a file that is damaged: a read model can be made again from the log.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use ees_store::Timestamp;
use rusqlite::{Connection, ErrorCode};

/// Reads what the framework needs from the file, so that damage shows itself now.
pub(super) fn look_into(connection: &Connection) -> rusqlite::Result<()> {
    for table in ["sqlite_schema", "ees_projections", "ees_parked_streams", "ees_parked_changesets"] {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0))?;
    }
    Ok(())
}

pub(super) fn is_damage(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rusqlite::Error>() {
            let code = error.sqlite_error_code();
            return matches!(code, Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt));
        }
        cause = error.source();
    }
    false
}

/// Renames the file and what belongs to it. Returns the new name.
///
/// The file itself comes last: a new file must never find the log of the old one beside it.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let seconds = Timestamp::now().as_micros() / 1_000_000;
    let named = |suffix: &str| -> PathBuf {
        let mut name = OsString::from(path);
        name.push(suffix);
        name.into()
    };
    let aside = named(&format!(".damaged-{seconds}"));
    for part in ["-wal", "-shm", "-journal", ""] {
        let from = named(part);
        if from.try_exists()? {
            std::fs::rename(from, named(&format!(".damaged-{seconds}{part}")))?;
        }
    }
    Ok(aside)
}
