//! Which errors of PostgreSQL are transient: they pass by themselves and are not the fault of a changeset. And
//! what they say.

use std::error::Error;
use std::io::ErrorKind;

use sqlx::postgres::PgDatabaseError;

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

/// SQLSTATE of an object that others depend on.
const DEPENDED_ON: &str = "2BP01";
/// SQLSTATE of a prepared statement that exists already, or does not.
const STATEMENT_NAMES: [&str; 2] = ["42P05", "26000"];
/// SQLSTATE of a right that the user does not have.
const NO_RIGHT: &str = "42501";
/// SQLSTATE of a lock that was not given in time.
const LOCKED: &str = "55P03";

/// Returns `true` if the error, or one of its causes, says that the user has not the right to do this.
pub fn is_missing_right(error: &(dyn Error + 'static)) -> bool {
    of_server(error).is_some_and(|answer| answer.code() == NO_RIGHT)
}

/// Whether the error, or one of its causes, says that a lock was not given in time.
pub(super) fn is_locked(error: &(dyn Error + 'static)) -> bool {
    of_server(error).is_some_and(|answer| answer.code() == LOCKED)
}

/// The text of an error of the server, without the line of PostgreSQL's own source, and with what the message
/// alone does not say.
pub(crate) fn explained(error: &(dyn Error + 'static)) -> Option<String> {
    let answer = match error.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::Database(answer)) => answer.try_downcast_ref()?,
        _ => error.downcast_ref::<PgDatabaseError>()?,
    };
    let message = answer.message();
    Some(match (answer.code(), answer.detail()) {
        // The detail names the objects.
        (DEPENDED_ON, Some(detail)) => format!("{message}: {}", detail.replace('\n', "; ")),
        (code, _) if STATEMENT_NAMES.contains(&code) => format!(
            "{message}. A proxy seems to pool transactions: add `statement-cache-capacity=0` to the URL, or let \
             pgbouncer (1.21 or newer) keep prepared statements apart with `max_prepared_statements`"
        ),
        _ => message.to_owned(),
    })
}

/// The answer of the server that is the error, or one of its causes.
fn of_server<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a PgDatabaseError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<sqlx::Error>() {
            Some(sqlx::Error::Database(answer)) => return answer.try_downcast_ref(),
            _ => {
                if let Some(answer) = error.downcast_ref::<PgDatabaseError>() {
                    return Some(answer);
                }
            }
        }
        cause = error.source();
    }
    None
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
    fn other_errors_are_left_to_themselves() {
        assert_eq!(explained(&sqlx::Error::RowNotFound), None);
        assert!(!is_missing_right(&std::io::Error::from(ErrorKind::PermissionDenied)));
    }

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
