//! PostgreSQL's errors in the store's words, and what they say of a transaction that was under way.

use crate::Error;

/// What an error says of the transaction it struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing of it was stored, and the same may succeed later: a lock that was not given in time, a server
    /// that starts, that is read-only for the moment of a failover, that has no room for one more connection.
    NotYet,
    /// Nothing of it was stored, and it would fail again.
    Never,
    /// The connection was lost: it may have been stored, or not.
    Unknown,
}

impl Fate {
    /// Whether a commit of the transaction may be sent again: where it may have been stored, only its key tells
    /// whether it was.
    pub(super) fn lets_repeat(self, has_key: bool) -> bool {
        match self {
            Self::NotYet => true,
            Self::Never => false,
            Self::Unknown => has_key,
        }
    }

    pub(super) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(answer) => Self::of_code(answer.code().as_deref().unwrap_or_default()),
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Self::NotYet,
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => Self::Unknown,
            _ => Self::Never,
        }
    }

    fn of_code(code: &str) -> Self {
        match code {
            // The server ends the connection: whether before or after the commit is not said.
            "57P01" | "57P02" | "57P05" => Self::Unknown,
            "57P03" | "57014" | "25006" | "55P03" | "25P03" | "40001" | "40P01" => Self::NotYet,
            _ if code.starts_with("08") => Self::Unknown,
            _ if code.starts_with("53") || code.starts_with("58") => Self::NotYet,
            _ => Self::Never,
        }
    }
}

/// An error of a read, or of opening.
pub(super) fn failed(error: sqlx::Error) -> Error {
    let detail = format!("PostgreSQL: {}", told(&error));
    // A certificate that is not trusted comes as an I/O error too, and waiting does not mend it.
    let is_distrust =
        matches!(&error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData);
    match Fate::of(&error) {
        Fate::NotYet | Fate::Unknown if !is_distrust => Error::Unavailable(detail),
        _ => Error::Storage { detail, source: Box::new(error) },
    }
}

/// What went wrong, in the server's own words where it has said something.
pub(super) fn told(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(answer) => answer.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::PoolTimedOut => "it accepts no connections".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_rules_a_commit_out_counts_as_not_stored() {
        assert_eq!(Fate::of(&sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())), Fate::Unknown);
        assert_eq!(Fate::of_code("57P01"), Fate::Unknown, "terminated by an administrator");
        assert_eq!(Fate::of_code("08006"), Fate::Unknown);
        for code in ["55P03", "25006", "53300", "40P01", "57P03"] {
            assert_eq!(Fate::of_code(code), Fate::NotYet, "{code}");
        }
        assert_eq!(Fate::of_code("22021"), Fate::Never);
        assert!(Fate::Unknown.lets_repeat(true) && !Fate::Unknown.lets_repeat(false));
        assert!(Fate::NotYet.lets_repeat(false) && !Fate::Never.lets_repeat(true));
    }
}
