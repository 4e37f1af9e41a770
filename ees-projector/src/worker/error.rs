//! Why a step came to nothing, and what is told of it.

use crate::control::{Applied, Position};
use crate::database::Fenced;
use crate::operation::OperateError;
use crate::projection::BoxError;

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
    Failed { at: Position, place: Applied, error: String },
    /// As `Failed`, for more than one transaction takes: fewer changesets may fit.
    TooLarge { at: Position, place: Applied, error: String },
    /// There is no read model here that this program could go on with; there may be one day.
    Absent,
    /// The projection can't start: its tables can't be made, or belong to a newer version.
    Setup(String),
}

/// Whether an error of this type is at the bottom of it, or is it.
pub(crate) fn is_caused_by<E: std::error::Error + 'static>(
    error: &(dyn std::error::Error + 'static),
) -> bool {
    cause_of::<E>(error).is_some()
}

/// The error of this type that is at the bottom of it, or is it.
pub(crate) fn cause_of<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// The longest error that is kept, in bytes: one may quote a whole document, and is stored with each attempt.
const ERROR_BYTES_MAX: usize = 4 * 1024;

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    if text.len() > ERROR_BYTES_MAX {
        text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX));
        text.push_str(" ...");
    }
    text
}

/// What a transaction that could not be committed came to.
pub(crate) fn uncommitted(error: BoxError) -> StepError {
    if error.is::<Fenced>() { StepError::Fenced } else { StepError::Database(error) }
}

/// The error that a panic is.
pub(crate) fn panicked(who: &str, panic: &(dyn std::any::Any + Send)) -> BoxError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("{who} panicked: {}", text.unwrap_or("no message")).into()
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
            StepError::Absent => Self::Invalid(
                "there is no such read model of this program's version: the live one is another version's, or none is \
                 built beside it"
                    .to_owned(),
            ),
            StepError::Failed { error, .. }
            | StepError::TooLarge { error, .. }
            | StepError::Replaced(error) | StepError::Setup(error) => {
                Self::Invalid(error)
            }
        }
    }
}
