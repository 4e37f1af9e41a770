//! `GET /history`: the last hour of some metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::super::history::{History, Told};
use super::super::query::Params;

/// The last hour of some metrics.
///
/// Samples of this process, in memory: they begin when it starts. Metrics whose name ends with `_total` or `_count`
/// only grow: what happened between two samples is the difference.
#[utoipa::path(
    get, path = "/history", tag = "operation", operation_id = "history",
    params(
        ("metric" = Option<Vec<String>>, Query, description = "Only this metric, or one of several. Default: all that are kept."),
        ("of" = Option<String>, Query, description = "Only series with this value of their label: the name of a projection, say."),
        ("pp" = Option<String>, Query, description = "`true`: with line breaks. Anything else: without."),
    ),
    responses((status = 200, description = "The samples.", body = Told)),
)]
pub(super) async fn history(State(history): State<Arc<History>>, params: Params) -> Json<Told> {
    let metrics: Vec<&str> = params.all("metric").collect();
    Json(history.tell(&metrics, params.get("of")))
}
