//! The spans of the store and its API.

#[cfg(feature = "http")]
use axum::http::{Method, StatusCode};

use super::{Kind, Span};
#[cfg(feature = "http")]
use crate::TraceContext;
use crate::{Commit, Committed, Error, Result, StreamType};

/// Commits that the span of their group links to, at most.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
const LINKS_MAX: usize = 128;

/// The span of a commit: a child of the commit's trace, or else of the current span. From now on the commit has
/// its trace, so that what is done because of it belongs there.
pub(crate) async fn commit<F: Future<Output = Result<Committed>>>(
    mut commit: Commit,
    store: &'static str,
    run: impl FnOnce(Commit, Span) -> F,
) -> Result<Committed> {
    let name = || match &commit.stream_type {
        Some(stream_type) => format!("commit {stream_type}"),
        None => "commit".to_owned(),
    };
    let span = match &commit.trace {
        Some(trace) => Span::child_of(Some(trace), Kind::Internal, name),
        None => Span::begin(Kind::Internal, name),
    };
    if !span.is_recorded() {
        return run(commit, Span::default()).await;
    }
    commit.trace = span.trace();
    span.set("db.system.name", store);
    span.set("ees.events", commit.events.count());
    if let Some(stream_type) = commit.stream_type.as_ref().map(StreamType::as_str) {
        span.set("ees.stream.type", stream_type);
    }
    let committed = run(commit, span.clone()).await;
    match &committed {
        Ok(committed) => {
            span.set("ees.changeset", committed.changeset_id.get());
            if let Some(checkpoint) = committed.checkpoint {
                span.set("ees.checkpoint", checkpoint.get());
            }
        }
        // Somebody else was faster, or was here before: that is no failure of the store.
        Err(Error::Refused(refusal)) => span.set("error.type", refusal.code()),
        Err(error) => span.fail(error.code(), &error.to_string()),
    }
    span.end();
    committed
}

/// The span of commits that are written together: a child of the first of them that is recorded. It links to
/// all, and all link to it.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn group<'a, I>(store: &'static str, commits: impl Fn() -> I) -> Span
where
    I: Iterator<Item = (&'a Commit, &'a Span)>,
{
    let recorded = || commits().filter(|(_, span)| span.is_recorded());
    let Some((first, _)) = recorded().next() else { return Span::default() };
    let group = Span::child_of(first.trace.as_ref(), Kind::Client, || "group commit".to_owned());
    let Some(trace) = group.trace() else { return group };
    group.set("db.system.name", store);
    group.set("db.operation.batch.size", commits().count() as u64);
    for (commit, span) in recorded().take(LINKS_MAX) {
        span.link(&trace);
        if let Some(trace) = &commit.trace {
            group.link(trace);
        }
    }
    group
}

/// The span of a request: a child of its caller's. What is polled, such as health, begins no trace.
#[cfg(feature = "http")]
pub(crate) fn request(method: &Method, route: &str, caller: Option<&TraceContext>, is_polled: bool) -> Span {
    // Callers make up methods. Those that have no route are one name.
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
    ];
    let method = if known.contains(method) { method.as_str() } else { "_OTHER" };
    let name = || format!("{method} {route}");
    let span = match caller {
        Some(_) => Span::child_of(caller, Kind::Server, name),
        None if is_polled => Span::default(),
        None => Span::begin(Kind::Server, name),
    };
    if span.is_recorded() {
        span.set("http.request.method", method);
        span.set("http.route", route);
        span.set("url.scheme", "http");
    }
    span
}

/// Ends the span of a request.
#[cfg(feature = "http")]
pub(crate) fn answered(span: &Span, status: StatusCode, code: &str, request_id: &str) {
    if span.is_recorded() {
        span.set("http.response.status_code", u64::from(status.as_u16()));
        span.set("ees.request_id", request_id);
        if status.is_server_error() {
            span.fail(code, code);
        } else if status.is_client_error() {
            span.set("error.type", code);
        }
    }
    span.end();
}
