//! `GET /metrics`: what the API counts, for Prometheus.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::super::Problem;
use super::super::app::App;
use super::health;
use crate::ChangesetLog as _;

pub(in super::super) const PATH: &str = "/metrics";

/// Metrics for Prometheus, in the OpenMetrics text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operation", operation_id = "metrics",
    responses(
        (status = 200, description = "Commits by result, request durations, requests under way, the log's head, and what \
            the projections add.", content_type = "application/openmetrics-text", body = String,
            example = "# TYPE ees_commits counter\nees_commits_total{result=\"OK\"} 3\n# EOF\n"),
    ),
)]
pub(super) async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let text = text(&app).await.map_err(Problem::internal)?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, content_type)], text).into_response())
}

/// All metrics of this moment as text.
pub(in super::super) async fn text(app: &App) -> Result<String, std::fmt::Error> {
    // What can still be told is told when the store does not answer.
    if let Ok(Ok(head)) = tokio::time::timeout(health::STORE_TIME, app.log.head()).await {
        app.metrics.log_ends_at(head.checkpoint);
    }
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &app.registry)?;
    Ok(text)
}
