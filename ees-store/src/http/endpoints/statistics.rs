//! `GET /streams`: how much there is.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::super::Problem;
use super::super::app::App;
use super::super::schema::Error as ErrorAnswer;
use crate::Statistics;

/// How much the store holds.
///
/// The read model of the statistics projection, which follows the log: `statistics_version` tells how far it
/// got.
#[utoipa::path(
    get, path = "/streams", tag = "read", operation_id = "statistics",
    responses(
        (status = 200, description = "Counted so far; zeros before the first run.", body = Statistics),
        (status = 404, description = "`STATISTICS_NOT_FOUND`: the server runs no statistics projection.",
            body = ErrorAnswer),
    ),
)]
pub(super) async fn statistics(State(app): State<App>) -> Result<Json<Statistics>, Problem> {
    let statistics = app.statistics.as_ref().ok_or_else(|| {
        let message =
            "This server runs no statistics projection, so nothing is counted. `ees serve` runs one.";
        Problem::new(StatusCode::NOT_FOUND, "STATISTICS_NOT_FOUND", message)
    })?;
    Ok(Json(statistics.statistics().await?))
}
