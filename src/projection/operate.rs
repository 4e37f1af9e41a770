//! An operation on a projection: pause, resume, rebuild and the like.

use ees_projector::Status;
use serde_json::Value;

use super::client::ProjectionClient;
use super::text::status_text;
use crate::exit::Outcome;
use crate::output::Output;
use crate::remote::Remote;

/// Posts an action, and prints the status that the server returns.
pub(crate) async fn operate(
    remote: &Remote,
    name: String,
    action: &str,
    body: Value,
    output: &mut Output,
) -> Outcome {
    let status: Status = ProjectionClient::new(remote.client().await?, name).post(action, &body).await?;
    output.either(&status, status_text(&status))
}
