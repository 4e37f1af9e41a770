//! `/health/live` and `/health/ready`: what an orchestrator and a load balancer ask.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::super::answer::Answer;
use super::super::app::App;
use super::super::schema::Live;
use super::super::typed;
use crate::{ChangesetLog as _, Result};

/// How long the store may take to tell its head before it counts as away, and all checks together.
pub(super) const STORE_TIME: Duration = Duration::from_secs(2);

/// What the last look at the store has told, and when it ended. Locked by who is looking.
pub(in super::super) type LastProbe = tokio::sync::Mutex<Option<(Instant, Readiness)>>;

/// Whether the server may be given requests.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(in super::super) enum Readiness {
    /// All is well.
    Ready,
    /// The store serves; something beside it does not.
    Degraded {
        /// What is wrong, a sentence each.
        reasons: Vec<String>,
    },
    /// The store does not answer, or takes no commits.
    Unavailable {
        /// Why.
        reason: String,
    },
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Ready | Self::Degraded { .. } => StatusCode::OK,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, axum::Json(self)).into_response()
    }
}

/// Whether a path is one of those that answer to everybody.
pub(in super::super) fn is_path(path: &str) -> bool {
    matches!(path, "/health/live" | "/health/ready" | typed::LIVENESS_PATH)
}

/// Whether the process runs.
#[utoipa::path(
    get, path = "/health/live", tag = "operation", operation_id = "live", security(()),
    responses((status = 200, description = "It runs.", body = Live)),
)]
pub(super) async fn live() -> Response {
    let mut answer = Answer::new();
    answer.text("status", "live");
    answer.respond(StatusCode::OK)
}

/// Whether the server may be given requests.
///
/// A projection that has stopped makes the answer `degraded`, not unavailable: the store still takes commits.
#[utoipa::path(
    get, path = "/health/ready", tag = "operation", operation_id = "ready", security(()),
    responses(
        (status = 200, description = "The store answers.", body = Readiness, example = json!({"status": "ready"})),
        (status = 503, description = "The store does not answer, or takes no commits.", body = Readiness,
            example = json!({"status": "unavailable", "reason": "the store does not answer (UNAVAILABLE)"})),
    ),
)]
pub(super) async fn ready(State(app): State<App>) -> impl IntoResponse {
    let asked = Instant::now();
    let mut last = app.probe.lock().await;
    // Anybody may probe, as often as they like: those who ask meanwhile share one look.
    if let Some((ended, readiness)) = &*last
        && *ended >= asked
    {
        return readiness.clone();
    }
    let readiness = look(&app).await;
    *last = Some((Instant::now(), readiness.clone()));
    readiness
}

/// What a look at the store and at the checks tells.
async fn look(app: &App) -> Readiness {
    let deadline = Instant::now() + STORE_TIME;
    let unavailable = |reason: String| Readiness::Unavailable { reason };
    if let Some(code) = app.commits.failing() {
        return unavailable(format!("commits fail, one after another ({code})"));
    }
    if let Err(code) = told(deadline, app.log.head()).await {
        return unavailable(format!("the store does not answer ({code})"));
    }
    if let Err(code) = told(deadline, app.store.check_writable()).await {
        return unavailable(format!("the store can't take commits ({code})"));
    }
    let late = || vec!["a check did not end in time: its database may be locked or busy".to_owned()];
    let checks = app.health.iter().map(|check| timeout_at(deadline, check.problems()));
    let reasons = join_all(checks).await.into_iter().flat_map(|reasons| reasons.unwrap_or_else(|_| late()));
    let reasons: Vec<_> = reasons.collect();
    if reasons.is_empty() { Readiness::Ready } else { Readiness::Degraded { reasons } }
}

/// What the store answers in time, or the code of its failure.
async fn told<T>(deadline: Instant, answer: impl Future<Output = Result<T>>) -> Result<T, &'static str> {
    match timeout_at(deadline, answer).await {
        Ok(answer) => answer.map_err(|error| {
            tracing::warn!(%error, "not ready");
            error.code()
        }),
        Err(_) => Err("TIMEOUT"),
    }
}
