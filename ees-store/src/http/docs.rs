//! `/openapi.json` and `/docs`: the API described, from the code, and shown by this program without any network.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, serve};

use super::Problem;
use super::answer::Answer;
use super::schema;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ees",
        description = "An event store: streams of changesets under optimistic concurrency, and one global order over all of \
            them.\n\nEvents and metadata are opaque JSON and come back token for token. Errors are \
            `{\"error\": \"CODE\", \"message\": \"...\"}`, plus `stream_id` where it is known. Every answer has an \
            `X-Request-Id`. Besides the answers listed, any call may be answered with 401 `UNAUTHORIZED`, 403 `FORBIDDEN`, \
            500 `INTERNAL` (with a `request_id` that the server's log knows), or 503 `OVERLOADED` or `UNAVAILABLE` with \
            `Retry-After`. Answers with a list are cut at 4 MiB, and then say where the rest begins.",
        license(name = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "commit", description = "Appending to streams."),
        (name = "read", description = "Reading streams, and everything in order."),
        (name = "operation", description = "Running it."),
    ),
    components(schemas(schema::Internal)),
    modifiers(&ApiKey),
    // Nothing is demanded where the server has no keys.
    security(("api_key" = []), ()),
)]
struct Description;

struct ApiKey;

impl Modify for ApiKey {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key with the scope that the call needs: `read`, `commit` or `admin`."));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme.build()));
    }
}

/// What all routes are added to.
pub(super) fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// The description, and the page that shows it.
pub(super) fn routes(openapi: utoipa::openapi::OpenApi) -> Router {
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
