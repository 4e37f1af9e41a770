//! An error with all that the server said.

use crate::{Error, Json, Result};

/// Why a call of [`Client`](super::Client) failed: the error, and the whole body of the server's answer.
///
/// It converts into [`Error`].
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
#[non_exhaustive]
pub struct CallError {
    /// The error.
    #[source]
    pub error: Error,
    /// The body of the server's answer with all its members, such as `forthcoming_changesets` of a conflict.
    /// `None` if there was no answer, or if it is not JSON.
    pub body: Option<Json>,
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self { error, body: None }
    }
}

impl From<CallError> for Error {
    fn from(CallError { error, .. }: CallError) -> Self {
        error
    }
}

/// The result of a call that keeps the server's answer.
pub type CallResult<T> = Result<T, CallError>;
