//! What a reactor may end with that says more than that it failed.

use std::time::Duration;

use crate::error::BoxError;

/// It won't get better by being tried again: its stream waits for an operator at once.
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
    /// For this reason.
    pub fn because(reason: impl Into<BoxError>) -> Self {
        Self(reason.into())
    }
}

/// Nothing went wrong: there was more to do than one batch should take the time for. What is done is noted, and the rest comes
/// again at once. Without it, a batch that takes minutes is done again as a whole after a crash, and a shutdown waits for it.
///
/// For [`Interrupted`](super::Interrupted).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("there is more to do than one batch should take the time for")]
pub struct Unfinished;

/// Whoever refused it has said when to ask again: it is not tried earlier.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct RetryAfter {
    /// From now on.
    pub wait: Duration,
    /// What was said.
    #[source]
    pub error: BoxError,
}
