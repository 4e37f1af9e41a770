//! `GET /streams`: how much there is.

use axum::Json;
use axum::extract::State;

use super::super::Problem;
use super::super::app::App;
use crate::Statistics;

/// How much the store holds.
///
/// The read model of the statistics projection, which follows the log: `statistics_version` tells how far it
/// got.
#[utoipa::path(
    get, path = "/streams", tag = "read", operation_id = "statistics",
    responses((status = 200, description = "Counted so far; zeros before the first run.", body = Statistics)),
)]
pub(super) async fn statistics(State(app): State<App>) -> Result<Json<Statistics>, Problem> {
    Ok(Json(app.statistics.statistics().await?))
}
