//! `GET /settings`: what the server was started with.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::super::settings::{ServerSettings, Started};

/// The settings of the server.
///
/// What it was started with, and where each value came from. Secrets are masked; of the API keys only the scopes are
/// told.
#[utoipa::path(
    get, path = "/settings", tag = "operation", operation_id = "settings",
    responses((status = 200, description = "The settings.", body = ServerSettings)),
)]
pub(super) async fn settings(State(started): State<Arc<Started>>) -> Json<ServerSettings> {
    Json(started.shown())
}
