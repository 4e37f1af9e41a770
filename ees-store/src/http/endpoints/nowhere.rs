//! What has no endpoint.

use axum::http::header::LINK;
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::response::{IntoResponse as _, Response};

use super::super::Problem;
use super::console;
use crate::StreamId;

/// 404. The contract fixes its body. So a header says what was probably meant by `/streams/a/1`.
///
/// With a console, a browser at the root is led there.
pub(in super::super) fn nowhere(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    has_console: bool,
) -> Response {
    let led = has_console.then(|| console::lead(method, uri.path(), headers)).flatten();
    led.unwrap_or_else(|| not_found(uri))
}

fn not_found(uri: &Uri) -> Response {
    let mut response = Problem::no_such_endpoint().into_response();
    if let Some(link) = meant(uri.path()) {
        response.headers_mut().insert(LINK, link);
    }
    response
}

/// The path with a stream id whose slashes are encoded; relative, for servers behind a prefix.
fn meant(path: &str) -> Option<HeaderValue> {
    let rest = path.strip_prefix("/streams/")?;
    let read = ["/changesets", "/events"].into_iter().find(|read| rest.ends_with(read)).unwrap_or_default();
    let id = rest.strip_suffix(read).unwrap_or(rest);
    // Escaped, a byte has three. No longer id can be meant, and a longer header would stop at proxies.
    if !id.trim_matches('/').contains('/') || id.len() > 3 * StreamId::BYTES_MAX {
        return None;
    }
    let up = "../".repeat(rest.matches('/').count());
    let id = id.replace('/', "%2F");
    let title = "In a path, a slash in a stream id is written as %2F";
    HeaderValue::try_from(format!("<{up}{id}{read}>; rel=\"related\"; title=\"{title}\"")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_that_may_hold_a_stream_id_with_a_slash_gets_a_link() {
        for (path, target) in [
            ("/streams/a/1", "<../a%2F1>"),
            ("/streams/a/b/1/changesets", "<../../../a%2Fb%2F1/changesets>"),
            ("/streams/a/1/events", "<../../a%2F1/events>"),
            ("/streams//a//b", "<../../../%2Fa%2F%2Fb>"),
        ] {
            let link = meant(path).unwrap();
            assert!(link.to_str().unwrap().starts_with(target), "{path}: {link:?}");
        }
        assert_eq!(meant(&format!("/streams/{}", "a/".repeat(2_000))), None);
        for path in ["/", "/streams/a/", "/streams//", "/changesets/a/b", "/typed/streams/a/b"] {
            assert_eq!(meant(path), None, "{path}");
        }
    }
}
