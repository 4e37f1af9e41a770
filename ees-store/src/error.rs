//! What a call to a store can fail with.

use std::path::PathBuf;

use crate::{Refusal, StreamId};

/// The result of a call to a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a call to a store can fail with.
///
/// [`Error::is_transient`] says whether a retry can succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The commit was refused; nothing was stored.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The stream has no changesets.
    #[error("The specified stream({0}) doesn't exist")]
    StreamNotFound(StreamId),
    /// The request is invalid, whatever the store holds. The message says why.
    #[error("{0}")]
    InvalidRequest(String),
    /// The store has reached its limit of concurrent work. Retry later.
    #[error("the store is overloaded; try again in a moment")]
    Overloaded,
    /// The store can't be reached, can't take anything (a full disk, a lock that another program holds), or is
    /// shutting down. It is unknown whether a commit was stored: retry it with the same idempotency key.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A server refused a call to another endpoint than the store's, such as one that operates a projection.
    /// The methods of the store traits never return it.
    #[error("{message}")]
    Answered {
        /// The HTTP status.
        status: u16,
        /// The error code in the answer, such as `PROJECTION_NOT_FOUND`.
        code: String,
        /// The server's message.
        message: String,
    },
    /// The API key is missing or unknown.
    #[error("not authorized: give a valid API key")]
    Unauthorized,
    /// The API key lacks a scope, or the server refused the signature. The message says which.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// Another process has this log open for writing. Stop it, or use its HTTP API.
    #[error("{path} is already open for writing{by}; stop that process, or use its HTTP API")]
    AlreadyOpen {
        /// The log's file.
        path: PathBuf,
        /// The process that has it open, if known: ` by process 42`.
        by: String,
    },
    /// The log's file is missing or empty, but its last commits are there, in the file beside it. Nothing was
    /// changed.
    #[error(
        "{path} is missing or empty, but {beside} holds commits of that log, and they would be lost; copy \
         {beside} to a safe place, then put {path} back or restore a backup; to begin a new log, move {beside} \
         away"
    )]
    LogMissing {
        /// The log's file.
        path: PathBuf,
        /// The file that holds commits.
        beside: PathBuf,
    },
    /// The file was written by a newer version of ees. Upgrade this program.
    #[error("{path} was written by a newer version of ees; use that version or a later one")]
    NewerVersion {
        /// The log's file.
        path: PathBuf,
    },
    /// The file is not an ees log, or it is damaged. Restore it from a backup.
    #[error("{path} is damaged or not an ees log ({detail}); restore it from a backup")]
    Damaged {
        /// The log's file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The underlying storage failed: a missing permission, a wrong password, an error that has no other kind.
    #[error("the storage failed: {detail}")]
    Storage {
        /// What the store was doing, and what went wrong.
        detail: String,
        /// The driver's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// A stable code for logs, metrics and the wire.
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
            Self::LogMissing { .. } => "LOG_MISSING",
            Self::NewerVersion { .. } => "NEWER_VERSION",
            Self::Damaged { .. } => "DAMAGED",
            Self::Storage { .. } => "STORAGE",
        }
    }

    /// Returns whether the same call may succeed later without a repair.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Overloaded | Self::Unavailable(_) | Self::Storage { .. })
    }
}

impl Refusal {
    /// The code on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "OPTIMISTIC_CONCURRENCY_EXCEPTION",
            Self::AheadOfStream { .. } => "INVALID_EXPECTED_CHANGESET_ID",
            Self::KeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::TypeMismatch { .. } => "STREAM_TYPE_MISMATCH",
            Self::TooLarge { .. } => "CHANGESET_TOO_LARGE",
        }
    }
}
