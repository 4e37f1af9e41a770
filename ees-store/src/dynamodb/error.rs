//! DynamoDB's errors in the store's words, and what they say of a write that was under way.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::CancellationReason;

use crate::Error;
use crate::aws::told;

/// Why a transaction was cancelled.
pub(super) type Reasons = [CancellationReason];

/// Why a transaction may be cancelled that goes through a moment later.
const CONTENTION: [&str; 4] =
    ["TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError", "RequestLimitExceeded"];

/// Why one may be cancelled that says nothing of the action it stands at.
const OF_ALL: [&str; 3] = ["InternalServerError", "AccessDenied", "ResourceNotFound"];

/// The same call may succeed in a moment, and may be made again: every write here is conditional, so that a
/// repeat of one that was carried out is noticed.
pub(super) fn is_passing<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        SdkError::DispatchFailure(failure) => !failure.is_user(),
        SdkError::ServiceError(answer) => {
            answer.raw().status().is_server_error() || is_busy(answer.err()) || is_cut_short(answer.err())
        }
        _ => false,
    }
}

/// Too much at once, or too much on one item.
fn is_busy(error: &impl ProvideErrorMetadata) -> bool {
    matches!(
        error.code(),
        Some(
            "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "TransactionConflictException"
                | "TransactionInProgressException"
                | "ReplicatedWriteConflictException"
                | "LimitExceededException"
        )
    )
}

/// Credentials that were renewed meanwhile, a connection that mangled the request.
fn is_cut_short(error: &impl ProvideErrorMetadata) -> bool {
    matches!(error.code(), Some("ExpiredTokenException" | "RequestExpired" | "CrcMismatch"))
}

/// Why each action of a transaction was cancelled; nothing unless it was.
pub(super) fn reasons(error: &SdkError<TransactWriteItemsError>) -> &Reasons {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            cancelled.cancellation_reasons()
        }
        _ => &[],
    }
}

/// The reasons, when conditions of a transaction did not hold and nothing else was in its way.
///
/// While something else is, that is no verdict: the transaction that has changed the one item may be about to
/// change the other one too, and be an earlier attempt at this very one.
pub(super) fn refused(error: &SdkError<TransactWriteItemsError>) -> Option<&Reasons> {
    Some(reasons(error)).filter(|reasons| is_refusal(reasons))
}

/// The same, of reasons.
pub(super) fn is_refusal(reasons: &Reasons) -> bool {
    reasons.iter().any(is_condition) && !reasons.iter().any(is_contention)
}

/// Whether a cancelled transaction may end otherwise when it is tried again as it is.
pub(super) fn is_contended(error: &SdkError<TransactWriteItemsError>) -> bool {
    reasons(error).iter().any(is_contention)
}

/// The same for one that reads.
pub(super) fn is_read_contended(error: &SdkError<TransactGetItemsError>) -> bool {
    let Some(TransactGetItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
    else {
        return false;
    };
    cancelled.cancellation_reasons().iter().any(is_contention)
}

/// This action met too much at once, or another transaction.
pub(super) fn is_contention(reason: &CancellationReason) -> bool {
    reason.code().is_some_and(|code| CONTENTION.contains(&code))
}

/// Why these actions of a cancelled transaction, by their index, won't go through however often they are
/// tried: the item is as large as one can be, or its stream is. Neither for a condition, nor for what passes,
/// nor for what would go for all of them.
pub(super) fn hopeless(error: &SdkError<TransactWriteItemsError>) -> Vec<(usize, &CancellationReason)> {
    let is_hopeless = |reason: &CancellationReason| {
        reason.code().is_some_and(|code| {
            code != "None" && !is_condition(reason) && !is_contention(reason) && !OF_ALL.contains(&code)
        })
    };
    reasons(error).iter().enumerate().filter(|(_, reason)| is_hopeless(reason)).collect()
}

/// The transaction is larger than DynamoDB takes at once.
pub(super) fn is_too_large(error: &SdkError<TransactWriteItemsError>) -> bool {
    let told = error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or_default();
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    code == Some("ValidationException")
        && (told.contains("size") || told.contains("4 MB") || told.contains("4MB"))
}

pub(super) fn is_condition(reason: &CancellationReason) -> bool {
    reason.code() == Some("ConditionalCheckFailed")
}

/// An error in the store's words.
pub(super) fn failed<E>(error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let detail = format!("DynamoDB: {}", told(&error));
    // A cancelled transaction names its reasons; what is not among these will not pass: a stream of 10 GB,
    // say.
    let cancelled = error.as_service_error().is_some_and(|answer| {
        let told = answer.message().unwrap_or_default();
        answer.code() == Some("TransactionCanceledException")
            && CONTENTION.iter().any(|code| told.contains(code))
    });
    if cancelled || error.as_service_error().is_some_and(is_busy) {
        tracing::warn!(detail, "DynamoDB throttles");
        return Error::Overloaded;
    }
    if is_passing(&error) {
        return Error::Unavailable(detail);
    }
    Error::Storage { detail, source: Box::new(error) }
}

/// What a call that failed for good had to say, where it is not the SDK's own type any more.
pub(super) fn storage(detail: impl Into<String>) -> Error {
    let detail = format!("DynamoDB: {}", detail.into());
    Error::Storage { source: detail.clone().into(), detail }
}

/// A request that lacks something: never, since it is built in one place.
pub(super) fn unbuilt(error: aws_sdk_dynamodb::error::BuildError) -> Error {
    Error::Storage { detail: format!("DynamoDB: {error}"), source: Box::new(error) }
}
