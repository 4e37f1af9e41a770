//! Turns a refused operation into an HTTP error.

use axum::http::StatusCode;
use ees_store::http::Problem;

use crate::OperateError;

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        let message = error.to_string();
        match error {
            OperateError::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, "PROJECTION_NOT_FOUND", message),
            OperateError::NoTimer { .. } => Self::new(StatusCode::NOT_FOUND, "TIMER_NOT_FOUND", message),
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
            // Not in the state that the projection, its standby or the log is in.
            OperateError::PastHead { .. }
            | OperateError::NotSkippable { .. }
            | OperateError::NoChangesetAt { .. }
            | OperateError::NoChangeset { .. }
            | OperateError::NotParked
            | OperateError::IsReactor { .. }
            | OperateError::Partitioned
            | OperateError::PartitionsDiffer
            | OperateError::NeedsLogOrder
            | OperateError::PartitionCount { .. }
            | OperateError::NoStandby
            | OperateError::NeverLive
            | OperateError::WasLive
            | OperateError::StandbyParked
            | OperateError::StillBuilding
            | OperateError::AlreadyBuilding
            | OperateError::OldReaders
            | OperateError::WouldDrop { .. }
            | OperateError::AlreadyVerifying
            | OperateError::NeverStarted
            | OperateError::Absent
            | OperateError::Failed(_) => Self::new(StatusCode::CONFLICT, "NOT_POSSIBLE", message),
        }
    }
}
