//! `/openapi.json` and `/docs`: the API described, from the code, and shown by this program without any
//! network.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use utoipa_swagger_ui::{Config, serve};

use super::super::Problem;
use super::super::answer::Answer;

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
    responses((status = 200, description = "The version.", body = Object, example = json!({"version": "0.0.1"}))),
)]
pub(super) async fn version() -> Response {
    let mut answer = Answer::new();
    answer.text("version", env!("CARGO_PKG_VERSION"));
    answer.respond(StatusCode::OK)
}
