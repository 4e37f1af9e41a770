//! The span of a command.

use ees_store::spans::{Kind, Span};

use crate::ExecuteError;

/// Begins it, as a child of the current one.
pub(crate) fn execute(aggregate: &str) -> Span {
    let span = Span::begin(Kind::Internal, || format!("execute {aggregate}"));
    span.set("ees.stream.type", aggregate);
    span
}

/// Ends it. That the aggregate refuses a command is no failure.
pub(crate) fn executed<T, R>(span: &Span, result: &Result<T, ExecuteError<R>>) {
    if let Err(error) = result
        && span.is_recorded()
    {
        match error {
            ExecuteError::Refused(_) => span.set("error.type", "refused"),
            ExecuteError::AlreadyExecuted { .. } => span.set("error.type", "already_executed"),
            ExecuteError::Conflict { attempts, .. } => {
                span.fail("conflict", &format!("changed by others during each of {attempts} attempts"));
            }
            ExecuteError::Failed(error) => span.fail("failed", &error.to_string()),
            ExecuteError::Unwritable(error) => span.fail("unwritable", &error.to_string()),
        }
    }
    span.end();
}
