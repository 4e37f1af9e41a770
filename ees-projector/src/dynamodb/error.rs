//! Errors of DynamoDB, and which of them are transient.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use ees_store::aws::told;

use crate::database::{Fenced, TooLarge};
use crate::error::BoxError;

/// A call that DynamoDB refused or did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("DynamoDB: {detail}")]
pub struct Error {
    detail: String,
    passes: bool,
    contended: bool,
}

impl Error {
    /// Whether the error is transient, so that the same call may succeed later: throttling, a fault of
    /// DynamoDB, no connection, missing rights or a missing table.
    pub fn passes(&self) -> bool {
        self.passes
    }

    /// Whether another transaction was in the way, which ends in a moment.
    pub(super) fn is_contended(&self) -> bool {
        self.contended
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
    pub(super) fn of<E>(error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let passes = match &error {
            SdkError::ConstructionFailure(_) => false,
            SdkError::ServiceError(answer) => {
                answer.raw().status().is_server_error() || answer.err().code().is_some_and(passes)
            }
            _ => true,
        };
        Self { detail: told(&error), passes, contended: false }
    }

    /// An item does not have the form in which this program writes it.
    pub(super) fn damaged(what: &str) -> Self {
        let detail = format!("an item of the read models is damaged: {what}");
        Self { detail, passes: false, contended: false }
    }

    pub(super) fn unprocessed() -> Self {
        let detail = "it left requests of a batch unprocessed after all retries".to_owned();
        Self { detail, passes: true, contended: false }
    }
}

/// Error codes that are transient. Missing rights and tables count too: people can fix them.
fn passes(code: &str) -> bool {
    matches!(
        code,
        "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "ThrottlingError"
            | "ProvisionedThroughputExceeded"
            | "RequestLimitExceeded"
            | "TransactionConflictException"
            | "TransactionConflict"
            | "TransactionInProgressException"
            | "LimitExceededException"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "AccessDeniedException"
            | "ResourceNotFoundException"
    )
}

/// The error of a transaction that reads several items.
pub(super) fn unread(error: SdkError<TransactGetItemsError>) -> Error {
    if let Some(TransactGetItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() {
        let codes = || cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code());
        // A projection may be writing these items. Its transaction ends in a moment.
        let passes = codes().filter(|code| *code != "None").all(passes);
        let contended = codes().any(|code| code == "TransactionConflict");
        return Error { detail: told(&error), passes, contended };
    }
    Error::of(error)
}

/// The error of a transaction that writes.
pub(super) fn cancelled(error: SdkError<TransactWriteItemsError>) -> BoxError {
    if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() {
        let codes = || cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code());
        // Another worker has moved the projection's row, or is about to.
        if codes().any(|code| matches!(code, "ConditionalCheckFailed" | "TransactionConflict")) {
            return Fenced.into();
        }
        let passes = codes().filter(|code| *code != "None").all(passes);
        return Error { detail: told(&error), passes, contended: false }.into();
    }
    if error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("TransactionInProgressException")
    {
        return Fenced.into();
    }
    let told = error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or_default();
    if told.contains("4 MB") || told.contains("aggregate size") {
        return TooLarge(told.to_owned()).into();
    }
    Error::of(error).into()
}
