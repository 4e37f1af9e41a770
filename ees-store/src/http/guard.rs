//! The middleware around every route: request ids, API keys, limits, metrics, and caught panics.
//!
//! One function rather than a stack of layers; decision 0021 says why.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use http_body_util::BodyExt as _;
use uuid::Uuid;

use super::admission::{Admission, Rooms};
use super::error_response::{Told, internal_answer};
use super::keys::{ApiKeys, Scope, Scopes};
use super::metrics::Metrics;
use super::query::Params;
use super::{Limits, Problem, endpoints, typed};
use crate::json;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) struct Guard {
    keys: Option<ApiKeys>,
    rooms: Arc<Rooms>,
    metrics: Metrics,
    ids: RequestIds,
}

impl Guard {
    pub(super) fn new(keys: Option<ApiKeys>, limits: &Limits, metrics: Metrics) -> Self {
        Self { keys, rooms: Rooms::new(limits), metrics, ids: RequestIds::new() }
    }

    /// Lets a request in: its key is known, and there is room for it.
    fn admit(&self, request: &mut Request) -> Result<Admission, Problem> {
        // A server that is busy or locked is still alive: its health is told to everybody, always.
        if endpoints::health::is_path(request.uri().path()) {
            return Ok(self.rooms.admit_always());
        }
        if let Some(keys) = &self.keys {
            let scopes = bearer(request.headers()).and_then(|key| keys.scopes_of(key));
            request.extensions_mut().insert(scopes.ok_or_else(Problem::unauthorized)?);
        } else if matches!(*request.method(), Method::POST | Method::PUT)
            && comes_from_elsewhere(request.headers())
        {
            return Err(Problem::cross_origin());
        }
        self.rooms.admit()
    }
}

/// The middleware around every route, and around what has no route.
pub(super) async fn guard(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let _in_flight = guard.metrics.begin();
    let is_typed = typed::is_path(request.uri().path());
    let id = if is_typed { uuid_of(request.headers()) } else { guard.ids.of(request.headers()) };
    let pretty = wants_pretty(request.uri());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let commits = endpoints::commits(request.method(), route) || typed::appends(request.method(), route);

    let (admission, answered) = match guard.admit(&mut request) {
        Ok(admission) => {
            request.extensions_mut().insert(admission.clone());
            let answered = answer(request, next, &admission).await;
            (Some(admission), answered)
        }
        Err(problem) => (None, problem.into_response()),
    };
    let (mut told, mut response) = tell(answered, &id);
    if is_typed {
        response = typed::in_its_form(response, told.as_ref(), &id);
    }
    if pretty {
        response = indented(response).await;
    }
    if let Some(admission) = admission {
        response = match admission.keep_until_sent(response).await {
            Ok(response) => response,
            Err(problem) => {
                let (problem, response) = tell(problem.into_response(), &id);
                told = problem;
                if is_typed { typed::in_its_form(response, told.as_ref(), &id) } else { response }
            }
        };
    }
    response.headers_mut().insert(REQUEST_ID, id);

    if commits {
        guard.metrics.committed(told.map_or("OK", |told| told.code));
    }
    guard.metrics.answered(route, response.status().as_u16(), started.elapsed());
    response
}

/// The answer of the endpoint, or that it failed or took too long.
async fn answer(request: Request, next: Next, admission: &Admission) -> Response {
    tokio::select! {
        answered = AssertUnwindSafe(next.run(request)).catch_unwind() => answered.unwrap_or_else(|panic| {
            Problem::internal(format!("a handler panicked: {}", panic_message(&*panic))).into_response()
        }),
        () = admission.expired() => Problem::late().into_response(),
    }
}

/// Logs what the caller must not see, under the request's id, and puts that id into the answer.
fn tell(mut response: Response, id: &HeaderValue) -> (Option<Told>, Response) {
    let told = response.extensions_mut().remove::<Told>();
    if let Some(Told { code, detail: Some(detail), .. }) = &told {
        let request_id = id.to_str().unwrap_or("");
        tracing::error!(request_id, code, detail, "a request failed");
        if response.status().as_u16() == 500 {
            response = internal_answer(request_id);
        }
    }
    (told, response)
}

/// The middleware around routes that need a scope; only there where keys are in use.
pub(super) async fn demand(State(scope): State<Scope>, request: Request, next: Next) -> Response {
    if request.extensions().get::<Scopes>().is_some_and(|scopes| scopes.allow(scope)) {
        next.run(request).await
    } else {
        Problem::forbidden(scope).into_response()
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| key.trim_ascii())
}

/// Whether a browser says that a page of another site sent this. Without keys, nothing else would keep such a
/// page from writing to a server on the same machine.
fn comes_from_elsewhere(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let site =
        origin.as_bytes().splitn(2, |byte| *byte == b':').nth(1).and_then(|rest| rest.strip_prefix(b"//"));
    site.is_none_or(|site| headers.get(HOST).is_none_or(|host| !site.eq_ignore_ascii_case(host.as_bytes())))
}

fn wants_pretty(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.contains("pp")) && Params::of(uri).wants_pretty()
}

/// A JSON answer with line breaks; any other as it is.
async fn indented(response: Response) -> Response {
    if response.headers().get(CONTENT_TYPE).is_none_or(|of| !of.as_bytes().starts_with(b"application/json")) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    parts.headers.remove(axum::http::header::CONTENT_LENGTH);
    match std::str::from_utf8(&text) {
        Ok(json) => Response::from_parts(parts, Body::from(json::indent(json))),
        Err(_) => Response::from_parts(parts, Body::from(text)),
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// The caller's, if it is a UUID; otherwise one that nobody else has.
fn uuid_of(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).and_then(|id| Uuid::try_parse(id.to_str().ok()?).ok());
    let id = given.unwrap_or_else(Uuid::new_v4).to_string();
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("none"))
}

/// Names for requests that come without one: the same random start for all of a process, then a number.
struct RequestIds {
    process: String,
    count: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        let mut process = Uuid::new_v4().simple().to_string();
        process.truncate(12);
        Self { process, count: AtomicU64::new(0) }
    }

    /// The caller's, if it is up to 128 visible ASCII characters.
    fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let given = headers
            .get(REQUEST_ID)
            .filter(|id| (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic));
        given.cloned().unwrap_or_else(|| {
            let count = self.count.fetch_add(1, Ordering::Relaxed);
            HeaderValue::try_from(format!("{}-{count}", self.process))
                .unwrap_or(HeaderValue::from_static("none"))
        })
    }
}
