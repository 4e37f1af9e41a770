//! What DynamoDB said, and whether it passes.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use ees_store::aws::told;

use crate::database::{Fenced, TooLarge};
use crate::error::BoxError;

/// What DynamoDB refused, or did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("DynamoDB: {detail}")]
pub struct Error {
    detail: String,
    passes: bool,
}

impl Error {
    /// Whether the same may succeed later: it throttles, it fails, it can't be reached.
    pub fn passes(&self) -> bool {
        self.passes
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
        Self { detail: told(&error), passes }
    }

    /// What is in the table is not what this program wrote there.
    pub(super) fn damaged(what: &str) -> Self {
        Self { detail: format!("an item of the read models is damaged: {what}"), passes: false }
    }

    pub(super) fn unprocessed() -> Self {
        Self { detail: "it left keys of a batch unread, again and again".to_owned(), passes: true }
    }
}

/// Codes of a refusal that is not for good. Rights and tables are mended by people: that passes, too.
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

/// Why several items could not be read as they are at one moment.
pub(super) fn unread(error: SdkError<TransactGetItemsError>) -> Error {
    if let Some(TransactGetItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() {
        let codes = cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code());
        // A projection that writes just then: its transaction is over in a moment.
        let passes = codes.filter(|code| *code != "None").all(passes);
        return Error { detail: told(&error), passes };
    }
    Error::of(error)
}

/// Why a transaction did not go through.
pub(super) fn cancelled(error: SdkError<TransactWriteItemsError>) -> BoxError {
    if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() {
        let codes = || cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code());
        // Whoever else is at work in the projection has moved its row, or is about to.
        if codes().any(|code| matches!(code, "ConditionalCheckFailed" | "TransactionConflict")) {
            return Fenced.into();
        }
        let passes = codes().filter(|code| *code != "None").all(passes);
        return Error { detail: told(&error), passes }.into();
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
