//! `GET /typed/liveness-check`: whether the process runs.

use axum::http::StatusCode;
use axum::response::Response;

use super::super::answer::Answer;
use super::schema::Liveness;
use crate::Timestamp;

pub(in super::super) const PATH: &str = "/typed/liveness-check";

/// Whether the process runs.
#[utoipa::path(
    get, path = "/typed/liveness-check", tag = "typed", operation_id = "typed_liveness", security(()),
    responses((status = 200, description = "It runs.", body = Liveness)),
)]
pub(super) async fn liveness() -> Response {
    let mut answer = Answer::new();
    answer.text("status", "ok").text("at", &Timestamp::now().to_string());
    answer.respond(StatusCode::OK)
}
