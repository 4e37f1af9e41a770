//! `/typed`: the second contract, in which a stream has a type and a UUID, and an append is one event at a
//! revision.
//!
//! An adapter over the same store: what is appended here is a changeset like any other, and a typed stream
//! whose id is a UUID shows here, however it was written. `append` writes, `events`, `details` and `list`
//! read; `error_response` is the form that everything takes that goes wrong under this prefix.

mod append;
mod body;
mod details;
mod error_response;
mod events;
mod list;
mod liveness;
pub(crate) mod page_key;
mod path;
mod schema;
mod stream;

use axum::http::Method;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;

pub(super) use error_response::in_its_form;
pub(super) use liveness::PATH as LIVENESS_PATH;
pub(super) use schema::Error as ErrorSchema;

/// Whether a path is one of this contract, be there such an endpoint or not.
pub(super) fn is_path(path: &str) -> bool {
    path.strip_prefix("/typed").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a request to this route is an append.
pub(super) fn appends(method: &Method, route: &str) -> bool {
    match *method {
        Method::POST => route == append::NEW_PATH,
        Method::PUT => route == append::NEXT_PATH,
        _ => false,
    }
}

pub(super) fn public_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(liveness::liveness))
}

pub(super) fn read_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(events::events))
        .routes(routes!(details::details))
        .routes(routes!(list::list))
        // Relative, for servers behind a prefix.
        .route("/typed", get(async || moved_to("docs/")))
        .route("/typed/", get(async || moved_to("../docs/")))
}

pub(super) fn commit_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(append::new)).routes(routes!(append::next))
}

fn moved_to(location: &'static str) -> Response {
    (StatusCode::MOVED_PERMANENTLY, [(LOCATION, HeaderValue::from_static(location))]).into_response()
}
