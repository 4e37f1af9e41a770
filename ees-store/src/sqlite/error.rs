//! SQLite's errors in the store's words.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::Error;

/// An error of the file as a whole.
pub(super) fn at_path(path: &Path, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Damaged { path: path.to_owned(), detail: error.to_string() }
        }
        // It passes when somebody makes room, or lets go.
        Some(ErrorCode::DiskFull) => Error::Unavailable(format!("{}: the disk is full", path.display())),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::Unavailable(format!("{}: another program has locked it", path.display()))
        }
        Some(ErrorCode::SystemIoFailure) => Error::Unavailable(format!("{}: {error}", path.display())),
        _ => Error::Storage { detail: format!("{}: {error}", path.display()), source: Box::new(error) },
    }
}

/// The same for one of several who suffer from the same error.
pub(super) fn failed(path: &Path, error: &rusqlite::Error) -> Error {
    let again = match error.sqlite_error() {
        Some(&code) => rusqlite::Error::SqliteFailure(code, Some(error.to_string())),
        None => rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(1), Some(error.to_string())),
    };
    at_path(path, again)
}

/// What a read fails with, before it is known on which file: lets statements use `?`.
pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    Answer(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    pub(super) fn at(self, path: &Path) -> Error {
        match self {
            Self::Sqlite(error) => at_path(path, error),
            Self::Answer(error) => error,
        }
    }
}
