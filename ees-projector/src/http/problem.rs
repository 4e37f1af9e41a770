//! Turns a refused operation into an HTTP error.

use axum::http::StatusCode;
use ees_store::http::Problem;

use crate::OperateError;

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        let message = error.to_string();
        match error {
            OperateError::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, "PROJECTION_NOT_FOUND", message),
            OperateError::Moved { .. } => Self::new(StatusCode::CONFLICT, "PROJECTION_MOVED", message),
            OperateError::TimedOut { .. } | OperateError::NotInLog { .. } => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "TIMEOUT", message)
            }
            OperateError::NotAuthorized(_) => Self::new(
                StatusCode::FORBIDDEN,
                "NOT_AUTHORIZED",
                "The projection lacks permission to do that in its read-model database.",
            )
            .hiding(message),
            // The driver's message is for the log only.
            OperateError::Unavailable(_) | OperateError::Overtaken => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "UNAVAILABLE",
                "The projection can't do that now. Try again in a moment.",
            )
            .hiding(message),
            // Never, on this database.
            OperateError::NotSupported(_) => Self::new(StatusCode::CONFLICT, "NOT_SUPPORTED", message),
            // The operation is not possible in the current state.
            _ => Self::new(StatusCode::CONFLICT, "NOT_POSSIBLE", message),
        }
    }
}
