//! A call of a function, as a span.

use lambda_runtime::{Context, Error};

use crate::spans;

/// Runs the work of a call within a span, if the process has a tracer provider (feature `opentelemetry`).
///
/// Its parent is the call's trace in AWS X-Ray, where that is recorded; otherwise, it begins a trace.
///
/// Lambda freezes the process after each call: send what was recorded before the handler returns.
///
/// # Errors
/// Those of the work.
pub async fn traced<T>(context: &Context, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let xray = context.xray_trace_id.as_deref();
    let span = spans::invocation(xray, &context.env_config.function_name, &context.request_id);
    let done = span.run(work).await;
    if let Err(error) = &done {
        span.fail("failed", &error.to_string());
    }
    span.end();
    done
}
