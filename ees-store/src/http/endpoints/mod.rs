//! The endpoints of the contract, one file each.

mod access;
mod bulk_commit;
mod changesets;
mod changesets_at;
mod commit;
pub(super) mod console;
pub(super) mod docs;
pub(super) mod health;
mod history;
pub(super) mod metrics;
mod nowhere;
mod settings;
mod statistics;
mod stream_list;
mod streams;

use std::sync::Arc;

use axum::http::Method;
use axum::routing::{get, post};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use changesets::POLL_AFTER;
pub(super) use commit::{CHECKPOINT, VISIBLE};
pub(super) use metrics::{PATH as METRICS_PATH, text as metrics_text};
pub(super) use nowhere::nowhere;

use super::Problem;
use super::app::App;
use super::history::History;
use super::settings::Started;

/// Whether a request to this route is a commit.
pub(super) fn commits(method: &Method, route: &str) -> bool {
    *method == Method::POST && route == commit::PATH
}

/// Whether a request to this route has many commits, which its endpoint counts.
pub(super) fn commits_in_bulk(method: &Method, route: &str) -> bool {
    *method == Method::POST && route == bulk_commit::PATH
}

pub(super) fn public_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health::live)).routes(routes!(health::ready))
}

/// Routes that need a key, with any scope.
pub(super) fn any_key_routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(access::access))
}

pub(super) fn read_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(statistics::statistics))
        .routes(routes!(stream_list::stream_list))
        .routes(routes!(streams::changesets))
        .routes(routes!(streams::events))
        .routes(routes!(changesets::changesets))
        .routes(routes!(changesets_at::changesets_at))
        .routes(routes!(metrics::metrics))
        .routes(routes!(docs::version))
        // The stream whose id is empty: axum's parameters match one character at least.
        .route("/streams//changesets", get(async || Problem::missing_stream_id()))
        .route("/streams//events", get(async || Problem::missing_stream_id()))
        .route("/streams/", get(async || Problem::missing_stream_id()))
}

/// The route of the history, where it is kept.
pub(super) fn history_routes() -> OpenApiRouter<Arc<History>> {
    OpenApiRouter::new().routes(routes!(history::history))
}

/// The route of the settings, where they are told.
pub(super) fn settings_routes() -> OpenApiRouter<Arc<Started>> {
    OpenApiRouter::new().routes(routes!(settings::settings))
}

pub(super) fn commit_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(commit::commit))
        .routes(routes!(bulk_commit::bulk_commit))
        .route("/streams/", post(async || Problem::missing_stream_id()))
}
