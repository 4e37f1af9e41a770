//! The one place where errors become status codes.

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ees_aggregate::ExecuteError;
use serde_json::json;

use crate::Failure;
use crate::product::Refusal;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The request is invalid.
    #[error("{0}")]
    Invalid(String),
    /// Too many callers want the same product, or the database is not reachable. Retry with the same
    /// `Idempotency-Key`.
    #[error("try again in a moment")]
    Busy(#[source] Failure),
    /// A fault of the shop. The cause goes to the log only.
    #[error("something went wrong")]
    Internal(#[source] Failure),
}

impl From<ees_store::Error> for Problem {
    fn from(error: ees_store::Error) -> Self {
        match error {
            ees_store::Error::StreamNotFound(_) => Self::Refused(Refusal::Unknown),
            error if error.is_transient() => Self::Busy(error.into()),
            error => Self::Internal(error.into()),
        }
    }
}

impl From<ees_aggregate::Error> for Problem {
    fn from(error: ees_aggregate::Error) -> Self {
        match error {
            ees_aggregate::Error::Store(error) => error.into(),
            error => Self::Internal(error.into()),
        }
    }
}

impl From<ExecuteError<Refusal>> for Problem {
    fn from(error: ExecuteError<Refusal>) -> Self {
        match error {
            ExecuteError::Refused(refusal) => refusal.into(),
            ExecuteError::Failed(error) => error.into(),
            ExecuteError::Conflict { .. } => Self::Busy(error.into()),
            error => Self::Internal(error.into()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code) = match &self {
            Self::Refused(Refusal::Unknown) => (StatusCode::NOT_FOUND, "NO_SUCH_PRODUCT"),
            Self::Refused(Refusal::SoldOut) => (StatusCode::CONFLICT, "SOLD_OUT"),
            Self::Refused(Refusal::NothingToPay) => (StatusCode::CONFLICT, "NOTHING_TO_PAY"),
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "INVALID_REQUEST"),
            Self::Busy(why) => {
                tracing::warn!(error = why, "a request was refused as busy");
                (StatusCode::SERVICE_UNAVAILABLE, "BUSY")
            }
            Self::Internal(why) => {
                tracing::error!(error = why, "a request failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL")
            }
        };
        let body = json!({ "error": code, "message": self.to_string() });
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_in_too_great_demand_is_no_fault_of_ours() {
        let stream_id = "product/lamp".parse().unwrap();
        let conflict = ExecuteError::<Refusal>::Conflict { stream_id, attempts: 13 };
        let answer = Problem::from(conflict).into_response();
        assert_eq!((answer.status().as_u16(), answer.headers()[RETRY_AFTER].as_bytes()), (503, &b"1"[..]));
    }
}
