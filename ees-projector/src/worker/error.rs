//! Why a step came to nothing, and what an operator is told of it.

use crate::database::Fenced;
use crate::error::{BoxError, chain};
use crate::projection_state::{ChangesetRef, Position};
use crate::worker::operations::operation::OperateError;

/// Why a step came to nothing. Whatever it is, the transaction left no trace.
#[derive(Debug)]
pub(crate) enum StepError {
    /// The log could not be read.
    Log(ees_store::Error),
    /// The log is not the one that was read before.
    Replaced(String),
    /// Another worker moved the projection. Read its row again.
    Fenced,
    /// The read-model database failed. Nobody's fault, and it passes.
    Database(BoxError),
    /// What a reactor talks to failed. It passes, too.
    Outside(BoxError),
    /// The projection, standing at this position, can't get past this changeset.
    Failed { at: Position, changeset: ChangesetRef, error: String },
    /// As `Failed`, for more than one transaction takes: fewer changesets may fit.
    TooLarge { at: Position, changeset: ChangesetRef, error: String },
    /// There is no read model here that this program could go on with; there may be one day.
    Absent,
    /// The projection can't start: its tables can't be made, or belong to a newer version.
    Setup(String),
}

/// A database's error, but for the one that says who was faster.
impl From<BoxError> for StepError {
    fn from(error: BoxError) -> Self {
        if error.is::<Fenced>() { Self::Fenced } else { Self::Database(error) }
    }
}

impl From<ees_store::Error> for StepError {
    fn from(error: ees_store::Error) -> Self {
        Self::Log(error)
    }
}

impl From<StepError> for OperateError {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Log(error) => Self::Unavailable(format!("the log can't be read: {}", chain(&error))),
            StepError::Database(error) => {
                Self::Unavailable(format!("the read model's database failed: {}", chain(&*error)))
            }
            StepError::Outside(error) => Self::Unavailable(chain(&*error)),
            StepError::Fenced => Self::Overtaken,
            StepError::Absent => Self::Absent,
            StepError::Failed { error, .. }
            | StepError::TooLarge { error, .. }
            | StepError::Replaced(error)
            | StepError::Setup(error) => Self::Failed(error),
        }
    }
}
