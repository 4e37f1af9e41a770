//! The headers of a request that say which trace it belongs to.

use std::borrow::Cow;

use axum::http::HeaderMap;
use utoipa::IntoParams;

use crate::TraceContext;

/// The headers in the description of a commit.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is a description: `trace_of` reads the headers")]
pub(super) struct TraceHeaders {
    /// The trace that the commit belongs to (W3C Trace Context). It is kept beside the changeset; an invalid one is ignored.
    #[param(nullable = false)]
    traceparent: Option<String>,
    /// What tracing systems add to `traceparent`: up to 512 characters; an invalid one is ignored.
    #[param(nullable = false)]
    tracestate: Option<String>,
}

/// The trace that the caller names. Headers that are invalid are ignored, as the standard wants it.
pub(super) fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut traceparents = headers.get_all("traceparent").into_iter();
    let traceparent = traceparents.next().filter(|_| traceparents.next().is_none())?;
    // A list may come as several headers.
    let mut lists =
        headers.get_all("tracestate").into_iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let tracestate =
        lists.next().map(|first| lists.fold(first, |all, list| Cow::Owned(format!("{all},{list}"))));
    TraceContext::from_headers(traceparent.to_str().ok()?, tracestate.as_deref())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(headers: &[(&'static str, &str)]) -> Option<String> {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(pair) {
            map.append(name, value);
        }
        trace_of(&map).map(|trace| trace.as_stored().to_owned())
    }

    #[test]
    fn a_list_in_several_headers_is_one_and_two_parents_are_none() {
        let parent = ("traceparent", TRACEPARENT);
        let of_list = |list: &str| Some(format!("{TRACEPARENT} {list}"));
        assert_eq!(read(&[parent, ("tracestate", "a=1"), ("tracestate", "b=2")]), of_list("a=1,b=2"));
        assert_eq!(read(&[parent, ("tracestate", "a=1")]), of_list("a=1"));
        assert_eq!(
            read(&[parent, ("tracestate", "a=1"), ("tracestate", "b=ä")]),
            Some(TRACEPARENT.to_owned())
        );
        for none in [&[parent, parent][..], &[("tracestate", "a=1")], &[("traceparent", "00-ä")], &[]] {
            assert_eq!(read(none), None);
        }
    }
}
