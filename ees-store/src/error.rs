//! What can go wrong with a store, for whoever acts on it.

use std::path::PathBuf;

use crate::{Refusal, StreamId};

/// The result of a call to a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a call to a store can fail with.
///
/// [`Error::is_transient`] tells whether waiting can help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The commit was refused; nothing was stored.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No changeset was ever committed to this stream.
    #[error("The specified stream({0}) doesn't exist")]
    StreamNotFound(StreamId),
    /// The request can't be right, whatever the store holds. The message says why.
    #[error("{0}")]
    InvalidRequest(String),
    /// More work is under way than the store takes on at once. Wait, then try again.
    #[error("the store is overloaded; try again in a moment")]
    Overloaded,
    /// The store can't be reached, or is shutting down. Whether a commit was stored is unknown: repeat it with the
    /// same idempotency key.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A server refused what is no call of a store's own: steering a projection, say. Not one of these traits fails so.
    #[error("{message}")]
    Answered {
        /// The HTTP status.
        status: u16,
        /// The code in the answer, such as `PROJECTION_NOT_FOUND`.
        code: String,
        /// What the server says.
        message: String,
    },
    /// The caller has no key, or its key is not known.
    #[error("not authorized: give a valid API key")]
    Unauthorized,
    /// The caller's key lacks a scope; or a signature was refused, and the message says what may be the matter.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// Another process has this log open for writing. Stop it, or talk to it over HTTP.
    #[error("{path} is already open for writing{by}; stop that process, or use its HTTP API")]
    AlreadyOpen {
        /// The log's file.
        path: PathBuf,
        /// Who has it, where known: ` by process 42`.
        by: String,
    },
    /// The file was written by a newer version of ees. Upgrade this program.
    #[error("{path} was written by a newer version of ees; use that version or a later one")]
    NewerVersion {
        /// The log's file.
        path: PathBuf,
    },
    /// The file is no ees log, or is damaged. Restore it from a backup.
    #[error("{path} is damaged or not an ees log ({detail}); restore it from a backup")]
    Damaged {
        /// The log's file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The storage below failed: disk full, no permission, a lost connection.
    #[error("the storage failed: {detail}")]
    Storage {
        /// What was tried, and what went wrong.
        detail: String,
        /// The driver's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// A stable name for logs, metrics and the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::StreamNotFound(_) => "STREAM_NOT_FOUND",
            Self::InvalidRequest(_) => "INVALID_REQUEST",
            Self::Overloaded => "OVERLOADED",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::Answered { .. } => "ANSWERED",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Forbidden(_) => "FORBIDDEN",
            Self::AlreadyOpen { .. } => "ALREADY_OPEN",
            Self::NewerVersion { .. } => "NEWER_VERSION",
            Self::Damaged { .. } => "DAMAGED",
            Self::Storage { .. } => "STORAGE",
        }
    }

    /// Whether the same call may succeed later without anybody repairing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Overloaded | Self::Unavailable(_) | Self::Storage { .. })
    }
}

impl Refusal {
    /// The code on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Outdated { .. } => "OPTIMISTIC_CONCURRENCY_EXCEPTION",
            Self::NotThere { .. } => "INVALID_EXPECTED_CHANGESET_ID",
            Self::KeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::TypeMismatch { .. } => "STREAM_TYPE_MISMATCH",
            Self::TooLarge { .. } => "CHANGESET_TOO_LARGE",
        }
    }
}
