//! Which errors of PostgreSQL are transient: they pass by themselves and are not the fault of a changeset.

use std::error::Error;
use std::io::ErrorKind;

/// Whether an error is transient: a lost connection, a lock, a failover, a full disk.
pub(super) fn passes(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<sqlx::Error>() {
            return of_driver(error);
        }
        // A `#[error(transparent)]` wrapper around a driver error exposes only that error's source.
        if let Some(error) = error.downcast_ref::<sqlx::postgres::PgDatabaseError>() {
            return of_code(error.code());
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return of_connection(error.kind());
        }
        cause = error.source();
    }
    false
}

/// Other I/O errors may come from the projection itself: a missing file, text that can't be decompressed.
fn of_connection(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::TimedOut
            | ErrorKind::UnexpectedEof
    )
}

fn of_driver(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(answer) => of_code(answer.code().as_deref().unwrap_or_default()),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// SQLSTATE classes: connections, rolled back transactions, resources, operators, system errors. Also a lock
/// timeout, a read-only server, and a transaction that was ended because it was idle.
fn of_code(code: &str) -> bool {
    ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
        || ["55P03", "25006", "25P03"].contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_statement_does_wrong_does_not_pass() {
        for code in ["08006", "40001", "53300", "57P01", "55P03", "25006"] {
            assert!(of_code(code), "{code}");
        }
        for code in ["23505", "22012", "42P01", "25P02"] {
            assert!(!of_code(code), "{code}");
        }
        assert!(passes(&std::io::Error::from(ErrorKind::ConnectionReset)));
        assert!(!passes(&std::io::Error::from(ErrorKind::NotFound)), "the projection's own");
    }
}
