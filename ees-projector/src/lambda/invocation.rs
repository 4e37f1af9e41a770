//! A call of a function, as a span.

use ees_store::TraceContext;
use ees_store::spans::Kind;
use lambda_runtime::{Context, Error};

use crate::spans;

/// Runs the work of a call within a span, if the process has a tracer provider (feature `opentelemetry`).
///
/// Its parent is the call's trace in AWS X-Ray, where that is recorded, or else the first of `traces`, which are
/// those of the messages that the call brings. The span links to all of them.
///
/// Lambda freezes the process after each call: send what was recorded before returning from the handler.
///
/// # Errors
/// Those of the work.
pub async fn traced<T>(
    context: &Context,
    traces: &[TraceContext],
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let kind = if traces.is_empty() { Kind::Server } else { Kind::Consumer };
    let xray = context.xray_trace_id.as_deref().and_then(TraceContext::from_xray);
    let span = spans::invocation(kind, xray.as_ref(), traces, &context.env_config.function_name);
    span.set("faas.invocation_id", &*context.request_id);
    let done = span.run(work).await;
    if let Err(error) = &done {
        span.fail("failed", &error.to_string());
    }
    span.end();
    done
}
