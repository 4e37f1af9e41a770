//! `/openapi.json` and `/docs`: the API described, from the code, and shown by this program without any
//! network.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::header::{
    CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use utoipa_swagger_ui::{Config, serve};

use super::super::Problem;
use super::super::answer::Answer;
use super::super::schema::Version;

/// Headers for pages that a browser shows: not within a page of another site, and not as another type.
const SHOWN_AS_IT_IS: [(HeaderName, &str); 3] = [
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"),
];

/// Whether a path is one of the description's.
pub(in super::super) fn is_path(path: &str) -> bool {
    matches!(path, "/openapi.json" | "/docs") || path.starts_with("/docs/")
}

/// The description, and the page that shows it.
pub(in super::super) fn routes(openapi: utoipa::openapi::OpenApi) -> Router {
    let description = Arc::new(openapi);
    // No validator: it would call a server on the internet.
    let page = Arc::new(Config::from("../openapi.json").validator_url("none"));
    let asset = move |path: Option<Path<String>>| {
        let page = Arc::clone(&page);
        async move { asset(&path.map_or_else(String::new, |Path(path)| path), page) }
    };
    Router::new()
        .route("/openapi.json", get(async move || Json(description)))
        .route("/docs", get(async || Redirect::to("docs/")))
        .route("/docs/", get(asset.clone()))
        .route("/docs/{*path}", get(asset))
        .layer(map_response(async |mut response: Response| {
            for (name, value) in SHOWN_AS_IT_IS {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            response
        }))
}

fn asset(path: &str, page: Arc<Config<'static>>) -> Result<Response, Problem> {
    let file = serve(path, page)
        .map_err(|error| Problem::internal(error.to_string()))?
        .ok_or_else(Problem::no_such_endpoint)?;
    let content_type = HeaderValue::try_from(file.content_type).map_err(Problem::internal)?;
    let mut response = ([(CONTENT_TYPE, content_type)], file.bytes.into_owned()).into_response();
    if file.gzpipped {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// The version of the server.
#[utoipa::path(
    get, path = "/version", tag = "operation", operation_id = "version",
    responses((status = 200, description = "The version.", body = Version)),
)]
pub(super) async fn version() -> Response {
    let mut answer = Answer::new();
    answer.text("version", env!("CARGO_PKG_VERSION"));
    answer.respond(StatusCode::OK)
}
