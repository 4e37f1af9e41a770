//! The loop of a function that is called with events.

use ees_otlp::Telemetry;
use ees_projector::lambda::traced;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Environment;

/// Handles calls until the runtime ends the process: each within a span, which is sent before the call ends.
pub(crate) async fn serve<A, B, F>(
    environment: &Environment,
    handler: impl Fn(LambdaEvent<A>) -> F,
) -> Result<(), Error>
where
    A: DeserializeOwned,
    B: Serialize,
    F: Future<Output = Result<B, Error>>,
{
    let (handler, telemetry) = (&handler, environment.telemetry.as_ref());
    lambda_runtime::run(service_fn(|call: LambdaEvent<A>| async move {
        let context = call.context.clone();
        let done = traced(&context, &[], handler(call)).await;
        flush(telemetry).await;
        done
    }))
    .await
}

/// Sends what was recorded: Lambda freezes the process until the next call.
pub(crate) async fn flush(telemetry: Option<&Telemetry>) {
    if let Some(telemetry) = telemetry {
        telemetry.flush().await;
    }
}
