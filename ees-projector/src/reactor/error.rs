//! Errors by which a reactor says how its event is retried.

use std::time::Duration;

use crate::error::BoxError;

/// An error that no retry can mend. The stream is given up at once and waits for an operator.
///
/// ```
/// use ees_projector::{BoxError, reactor::PermanentError};
/// fn address(text: &str) -> Result<&str, BoxError> {
///     text.contains('@').then_some(text).ok_or_else(|| PermanentError::because(format!("no address: {text}")).into())
/// }
/// assert!(address("ada").is_err());
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PermanentError(#[source] pub BoxError);

impl PermanentError {
    /// Makes a permanent error with this reason.
    pub fn because(reason: impl Into<BoxError>) -> Self {
        Self(reason.into())
    }
}

/// Not a failure: the reactor stopped to bound the time of one batch. What is done is recorded, and the rest
/// follows at once. Without it, a crash would repeat a batch of several minutes as a whole, and a shutdown
/// would wait for it.
///
/// Used as the error of [`Interrupted`](super::Interrupted).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("the batch was cut short to bound its time; the rest follows")]
pub struct Unfinished;

/// An error with the earliest time for the next attempt, as the other side asked.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct RetryAfter {
    /// The shortest delay before the next attempt.
    pub wait: Duration,
    /// The error.
    #[source]
    pub error: BoxError,
}
