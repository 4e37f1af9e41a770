//! Why a step failed, and the error that an operator gets.

use crate::database::Fenced;
use crate::error::{BoxError, chain, is_missing_right};
use crate::projection_state::{ChangesetRef, Position};
use crate::worker::operations::operation::OperateError;

/// Why a step failed. Whatever the reason, its transaction changed nothing.
#[derive(Debug)]
pub(crate) enum StepError {
    /// The log can't be read.
    Log(ees_store::Error),
    /// The log was replaced: it is not the one that was read before.
    Replaced(String),
    /// Another worker moved the projection. Read its row again.
    Fenced,
    /// The read-model database failed. A transient fault, for which no changeset is blamed.
    Database(BoxError),
    /// A service that a reactor calls failed. A transient fault as well.
    Outside(BoxError),
    /// The projection at this position can't apply this changeset.
    Failed { at: Position, changeset: ChangesetRef, error: String },
    /// Like `Failed`: these changesets don't fit one transaction. Fewer may fit.
    TooLarge { at: Position, changeset: ChangesetRef, error: String },
    /// This program's version has no such read model. It may have one later.
    Absent,
    /// Another process runs the projection, and only one may on this database.
    ClaimedElsewhere(String),
    /// A rebuild would drop these objects, which others added to the tables.
    WouldDrop(String),
    /// The projection can't start: its tables can't be created, or belong to a newer version.
    Setup(String),
    /// The standby can't be swapped: something in the database is in its way.
    NotSwapped(String),
}

/// Every error of a database, except the fence.
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
            StepError::Database(error) if is_missing_right(&*error) => Self::NotAuthorized(chain(&*error)),
            StepError::Database(error) => {
                Self::Unavailable(format!("the read-model database failed: {}", chain(&*error)))
            }
            StepError::Outside(error) => Self::Unavailable(chain(&*error)),
            StepError::Fenced => Self::Overtaken,
            StepError::Absent => Self::Absent,
            StepError::WouldDrop(objects) => Self::WouldDrop { objects },
            StepError::Failed { error, .. }
            | StepError::TooLarge { error, .. }
            | StepError::Replaced(error)
            | StepError::ClaimedElsewhere(error)
            | StepError::Setup(error)
            | StepError::NotSwapped(error) => Self::Failed(error),
        }
    }
}
