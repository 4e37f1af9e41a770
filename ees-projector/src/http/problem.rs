//! Turns a refused operation into an HTTP error.

use axum::http::StatusCode;
use ees_store::http::Problem;

use crate::OperateError;

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        match error {
            OperateError::Unknown { .. } | OperateError::NoTimer { .. } => {
                Self::new(StatusCode::NOT_FOUND, code, message)
            }
            OperateError::TimedOut { .. } | OperateError::NotInLog { .. } => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, code, message)
            }
            OperateError::NotAuthorized(_) => Self::new(
                StatusCode::FORBIDDEN,
                code,
                "The projection lacks permission to do that in its read-model database.",
            )
            .hiding(message),
            // The driver's message is for the log only.
            OperateError::Unavailable(_) | OperateError::Overtaken => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                code,
                "The projection can't do that now. Try again in a moment.",
            )
            .hiding(message),
            _ => Self::new(StatusCode::CONFLICT, code, message),
        }
    }
}
