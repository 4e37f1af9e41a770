//! The span of a command.

use ees_store::TraceContext;
use ees_store::spans::{Kind, Span};

use crate::ExecuteError;

/// Begins it: a child of the trace that the command was given, or else of the current span.
pub(crate) fn execute(aggregate: &str, given: Option<&TraceContext>) -> Span {
    let name = || format!("execute {aggregate}");
    let span = match given {
        Some(_) => Span::child_of(given, Kind::Internal, name),
        None => Span::begin(Kind::Internal, name),
    };
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
