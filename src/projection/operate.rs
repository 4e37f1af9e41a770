//! An operation on a projection: pause, resume, rebuild and the like.

use ees_projector::{Kind, Status};
use serde_json::Value;

use super::client::ProjectionClient;
use super::text::status_text;
use crate::exit::Outcome;
use crate::output::Output;
use crate::remote::Remote;

/// Which ones an operation is for.
pub(crate) enum For {
    Any,
    Only(Kind),
}

/// Posts an action, and prints the status that the server returns.
pub(crate) async fn operate(
    remote: &Remote,
    name: String,
    wanted: For,
    action: &str,
    body: Value,
    output: &mut Output,
) -> Outcome {
    let projection = ProjectionClient::new(remote.client().await?, name);
    if let For::Only(kind) = wanted {
        projection.check_is(kind).await?;
    }
    let status: Status = projection.post(action, &body).await?;
    output.either(&status, status_text(&status))
}
