//! `/console/`: a page that shows the store and its projections, and operates them. It calls the API like any
//! other client, so it has no rights of its own.

use axum::extract::Path;
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::super::Problem;
use super::super::banner::Banner;

/// The files of the page, by name.
macro_rules! files {
    ($($name:literal),+ $(,)?) => { [$(($name, include_str!(concat!("../console/", $name)))),+] };
}

const FILES: &[(&str, &str)] = &files![
    "api.js",
    "audit.js",
    "changeset.js",
    "console.css",
    "console.js",
    "dialog.js",
    "dom.js",
    "effects.js",
    "explain.js",
    "filters.js",
    "history.js",
    "icon.svg",
    "index.html",
    "json.js",
    "list.js",
    "log.js",
    "operations.js",
    "overview.js",
    "passed.js",
    "plot.js",
    "problems.js",
    "projections.js",
    "reactors.js",
    "reading.js",
    "screen.js",
    "server.js",
    "settings.js",
    "streams.js",
    "timers.js",
    "words.js",
];

/// What events say is shown as text. Should that fail, nothing that they bring runs, and nothing leaves the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    // An update of the server is an update of the page.
    (CACHE_CONTROL, "no-cache"),
];

/// What the server tells the page about itself.
#[derive(Clone, Serialize)]
struct Config {
    banner: Option<Banner>,
    /// The servers that the page shows, where it is not served by the one that it shows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    servers: Vec<ShownServer>,
}

/// A server that the page shows.
#[derive(Clone, Serialize)]
pub(in super::super) struct ShownServer {
    pub(in super::super) url: String,
    /// Where its API is, from the root of the page's server: empty, or with a slash at its end.
    pub(in super::super) at: String,
}

/// Whether a path is one of the page's.
pub(in super::super) fn is_path(path: &str) -> bool {
    path == "/console" || path.starts_with("/console/")
}

/// Whether a browser was given no more than the address of the server: it prefers a page to data.
fn is_browser_at_root(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).map_or(&b""[..], HeaderValue::as_bytes);
    let first = accepted.split(|byte| matches!(byte, b',' | b';')).next().unwrap_or_default();
    *method == Method::GET && path == "/" && first.trim_ascii().eq_ignore_ascii_case(b"text/html")
}

/// Whether a request is for the page, or is led to it. The page needs no key; what it shows does.
pub(in super::super) fn is_asked_for(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    is_path(path) || is_browser_at_root(method, path, headers)
}

/// Leads a browser at `/` to the page.
pub(in super::super) fn lead(method: &Method, path: &str, headers: &HeaderMap) -> Option<Response> {
    is_browser_at_root(method, path, headers)
        .then(|| ([(VARY, "accept")], Redirect::to("console/")).into_response())
}

/// The page and its files.
pub(in super::super) fn routes<S>(banner: Option<Banner>, servers: Vec<ShownServer>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let config = Config { banner, servers };
    Router::new()
        .route("/console", get(async || Redirect::to("console/")))
        .route("/console/", get(async || file("index.html")))
        .route("/console/config.json", get(async move || Json(config)))
        .route("/console/{file}", get(async |Path(name): Path<String>| file(&name)))
        .layer(map_response(async |mut response: Response| {
            for (name, value) in HEADERS {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            response
        }))
}

fn file(name: &str) -> Result<Response, Problem> {
    let found = FILES.iter().find(|(known, _)| *known == name);
    let (_, text) = found.ok_or_else(Problem::no_such_endpoint)?;
    let content_type = match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    };
    Ok((StatusCode::OK, [(CONTENT_TYPE, content_type)], *text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_prefers_a_page_is_led_to_it() {
        let led = |method: Method, path: &str, accept: &str| {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_str(accept).unwrap())]);
            lead(&method, path, &headers).is_some()
        };
        for accept in ["text/html", "text/html,application/xhtml+xml,*/*;q=0.8", "Text/HTML;q=1"] {
            assert!(led(Method::GET, "/", accept), "{accept}");
        }
        for accept in ["", "*/*", "application/json", "application/json, text/html", "text/htmlx", "text/*"] {
            assert!(!led(Method::GET, "/", accept), "{accept}");
        }
        assert!(!led(Method::POST, "/", "text/html") && !led(Method::GET, "/streams", "text/html"));
    }
}
