//! `GET /changesets/at`: the place where the log reaches a time.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Problem;
use super::super::app::App;
use super::super::query::Params;
use super::super::schema::Error as ErrorAnswer;
use crate::{ChangesetLog as _, Timestamp};

/// The place of a time in the log.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"time": "2026-11-21T09:30:00.000000Z", "checkpoint": 1200, "head": 8300}))]
pub(super) struct PlaceInLog {
    /// The time that was asked for, UTC.
    #[schema(format = DateTime)]
    time: String,
    /// Where to read from: the changeset before it is older than the time, and the one after it is not.
    checkpoint: u64,
    /// The checkpoint after the newest changeset.
    head: u64,
}

/// Find the place of a time in the log.
///
/// `GET /changesets?checkpoint=` the answer's `checkpoint` reads what was committed at that time or later. Times
/// ascend within each stream, not over all of them: where the clocks of those who commit differ by a second at most,
/// what is on the other side of the place is a second off at most. The log's head, when all changesets are older.
#[utoipa::path(
    get, path = "/changesets/at", tag = "read", operation_id = "changesets_at",
    params(
        ("time" = String, Query, format = DateTime, description = "The time, as in RFC 3339.", example = "2026-11-21T09:30:00Z"),
        ("pp" = Option<String>, Query, description = "`true`: with line breaks. Anything else: without."),
    ),
    responses(
        (status = 200, description = "The place.", body = PlaceInLog),
        (status = 400, description = "`INVALID_TIME`.", body = ErrorAnswer),
    ),
)]
pub(super) async fn changesets_at(
    State(app): State<App>,
    params: Params,
) -> Result<Json<PlaceInLog>, Problem> {
    let text = params.get("time").unwrap_or_default();
    let time: Timestamp =
        text.parse().map_err(|why| Problem::bad_request("INVALID_TIME", format!("`time`: {why}.")))?;
    let checkpoint = app.log.checkpoint_at(time).await?.get();
    // Read afterwards, so that it is never before the place.
    let head = app.log.head().await?.checkpoint.get();
    Ok(Json(PlaceInLog { time: time.to_string(), checkpoint, head }))
}
