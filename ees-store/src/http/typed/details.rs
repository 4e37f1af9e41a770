//! `GET /typed/streams/{streamType}/{streamId}/details`: where a stream is.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::Problem;
use super::super::app::App;
use super::error_response::no_such_stream;
use super::path::StreamPath;
use super::schema::{Failures, StreamAnswer};
use super::stream;
use crate::StreamType;

/// See where a stream is.
#[utoipa::path(
    get, path = "/typed/streams/{stream_type}/{stream_id}/details", tag = "typed", operation_id = "typed_details",
    params(
        ("stream_type" = StreamType, Path, description = "The type, percent-encoded.", example = "account"),
        ("stream_id" = String, Path, format = "uuid", description = "The stream's UUID."),
    ),
    responses((status = 200, description = "The stream.", body = StreamAnswer), Failures),
)]
pub(super) async fn details(
    State(app): State<App>,
    StreamPath(stream_type, stream_id): StreamPath,
) -> Result<Response, Problem> {
    let tail = app.store.tail(&stream_id).await?;
    if tail.stream_type.as_ref() != Some(&stream_type) {
        return Err(no_such_stream());
    }
    Ok(stream::respond(StatusCode::OK, &stream_id, &stream_type, &tail))
}
