//! The middleware around every route: request ids, API keys, limits, metrics, and caught panics.
//!
//! One function rather than a stack of layers; decision 0021 says why.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::{FutureExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use super::access_log::{AccessLog, Line};
use super::admission::{Admission, Kind, Rooms};
use super::answer::Shape;
use super::commit_health::CommitHealth;
use super::compression::Accepted;
use super::cors::CorsOrigins;
use super::endpoints::VISIBLE;
use super::error_response::{Told, internal_answer};
use super::event_stream::EVENT_STREAM;
use super::hosts::{self, Hosts};
use super::keys::{ApiKeys, Pass, Scope, Scopes};
use super::metrics::Metrics;
use super::query::Params;
use super::request_id::{REQUEST_ID, RequestIds, uuid_of};
use super::strict::KnownParameters;
use super::trace_headers::trace_of;
use super::{Limits, Problem, endpoints, typed};
use crate::TraceContext;
use crate::spans::{self, Span};

pub(super) struct Guard {
    callers: Callers,
    rooms: Arc<Rooms>,
    known: KnownParameters,
    metrics: Metrics,
    commits: Arc<CommitHealth>,
    ids: RequestIds,
    access_log: AccessLog,
}

/// Who may call.
pub(super) struct Callers {
    pub(super) keys: Option<ApiKeys>,
    /// The names under which a server without keys answers.
    pub(super) hosts: Hosts,
    /// The pages of other sites that may call.
    pub(super) cors: Option<CorsOrigins>,
    /// Whether the description of the API is there for everybody.
    pub(super) docs: bool,
    /// Whether the console is there for everybody.
    pub(super) console: bool,
}

impl Callers {
    /// Whether a request asks for a page that needs no key.
    fn is_for_everybody(&self, request: &Request) -> bool {
        let (method, path, headers) = (request.method(), request.uri().path(), request.headers());
        self.docs && endpoints::docs::is_path(path)
            || self.console && endpoints::console::is_asked_for(method, path, headers)
    }
}

impl Guard {
    pub(super) fn new(
        callers: Callers,
        limits: &Limits,
        known: KnownParameters,
        metrics: Metrics,
        commits: Arc<CommitHealth>,
    ) -> Self {
        Self {
            callers,
            rooms: Rooms::new(limits),
            known,
            metrics,
            commits,
            ids: RequestIds::new(),
            access_log: AccessLog::new(),
        }
    }

    /// Lets a request in: its key is known, and there is room for it.
    fn admit(&self, request: &mut Request, kind: Kind) -> Result<(Admission, Option<Pass>), Problem> {
        hosts::check_single(request)?;
        // A server that is busy or locked is still alive: its health is told to everybody, always.
        if endpoints::health::is_path(request.uri().path()) {
            return Ok((self.rooms.admit_always(), None));
        }
        let Callers { keys, hosts, cors, .. } = &self.callers;
        let pass = match keys {
            Some(_) if self.callers.is_for_everybody(request) => None,
            Some(keys) => {
                let pass = bearer(request.headers()).and_then(|key| keys.pass(key));
                let pass = pass.ok_or_else(Problem::unauthorized)?;
                request.extensions_mut().insert(pass.scopes);
                Some(pass)
            }
            None => {
                hosts.check(request)?;
                let writes = matches!(*request.method(), Method::POST | Method::PUT);
                if writes && comes_from_elsewhere(request.headers(), cors.as_ref()) {
                    return Err(Problem::cross_origin());
                }
                None
            }
        };
        Ok((self.rooms.admit(kind)?, pass))
    }
}

/// The middleware around every route, and around what has no route.
pub(super) async fn guard(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let _in_flight = guard.metrics.begin();
    let is_typed = typed::is_path(request.uri().path());
    let id = if is_typed { uuid_of(request.headers()) } else { guard.ids.of(request.headers()) };
    let params = Params::of_request(&request);
    let method = request.method().clone();
    // What carries the answer as a text can't carry it compressed.
    let is_text = params.shape().escaped;
    let accepted = if is_text { Accepted::PLAIN } else { Accepted::by(&method, request.headers()) };
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let commits = endpoints::commits(request.method(), route) || typed::appends(request.method(), route);
    let commits_in_bulk = endpoints::commits_in_bulk(request.method(), route);

    let is_probe = endpoints::health::is_path(request.uri().path());
    let is_polled = is_probe || route == endpoints::METRICS_PATH;
    let kind = match route {
        _ if commits || commits_in_bulk => Kind::Commit,
        endpoints::METRICS_PATH => Kind::Metrics,
        _ => Kind::Other,
    };
    // A stranger's requests make no spans.
    let mut span = Span::default();
    let (admission, answered) = match guard.admit(&mut request, kind) {
        Ok((admission, pass)) => {
            span = spans::request(&method, route, trace_of(request.headers()).as_ref(), is_polled);
            if let Some(trace) = span.trace() {
                // What is done for this request belongs to its span, and not to that of the caller.
                belongs_to(request.headers_mut(), &trace);
            }
            // A probe is answered whatever it sends along.
            let known = if is_probe { Ok(()) } else { guard.known.check(request.method(), route, &params) };
            let answered = match known {
                Ok(()) => {
                    request.extensions_mut().insert(admission.clone());
                    let answered = span.run(answer(request, next, &admission)).await;
                    until_revoked(in_json(answered).await, pass)
                }
                Err(problem) => problem.into_response(),
            };
            (Some(admission), answered)
        }
        Err(problem) => (None, problem.into_response()),
    };
    let (mut told, mut response) = tell(answered, &id);
    if is_typed {
        response = typed::in_its_form(response, told.as_ref(), &id);
    }
    if params.wants_pretty() {
        response = indented(response, params.shape()).await;
    }
    if let Some(admission) = admission {
        let coding = accepted.coding_of(&mut response);
        response = match admission.send(response, coding).await {
            Ok(response) => response,
            Err(problem) => {
                let (problem, response) = tell(problem.into_response(), &id);
                told = problem;
                if is_typed { typed::in_its_form(response, told.as_ref(), &id) } else { response }
            }
        };
    }
    response.headers_mut().insert(REQUEST_ID, id.clone());

    let (status, time) = (response.status(), started.elapsed());
    let code = told.map_or("OK", |told| told.code);
    // The endpoint of bulk commits counts those that the store has answered.
    if commits || commits_in_bulk && !status.is_success() {
        // How long a commit waits for a projection that its caller named says nothing about commits.
        let has_waited = response.headers().contains_key(VISIBLE);
        guard.metrics.committed(code, (!has_waited).then_some(time));
        guard.commits.note(status, code);
    }
    spans::answered(&span, status, code, id.to_str().unwrap_or(""));
    guard.metrics.answered(route, status.as_u16(), time);
    let bytes = response.body().size_hint().exact();
    guard.access_log.write(&Line { method: &method, route, status, time, request_id: &id, bytes, code });
    response
}

/// Puts a trace into the headers, in place of the one that was there.
fn belongs_to(headers: &mut HeaderMap, trace: &TraceContext) {
    headers.remove("tracestate");
    for (name, value) in trace.headers() {
        // Visible characters: this can't fail.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
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

/// An answer that goes on, until the key may not read any more.
fn until_revoked(response: Response, pass: Option<Pass>) -> Response {
    match pass {
        Some(pass) if is(&response, EVENT_STREAM) => response.map(|body| {
            let parts = body.into_data_stream();
            Body::from_stream(parts.take_until(pass.loses(Scope::Read).boxed()))
        }),
        _ => response,
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

/// The key that a request brings.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| key.trim_ascii())
}

/// Whether a browser says that a page of another site sent this, and not one that may. Without keys, nothing else
/// would keep such a page from writing to a server on the same machine.
fn comes_from_elsewhere(headers: &HeaderMap, cors: Option<&CorsOrigins>) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return false };
    if cors.is_some_and(|origins| origins.include(origin)) {
        return false;
    }
    let site =
        origin.as_bytes().splitn(2, |byte| *byte == b':').nth(1).and_then(|rest| rest.strip_prefix(b"//"));
    site.is_none_or(|site| headers.get(HOST).is_none_or(|host| !site.eq_ignore_ascii_case(host.as_bytes())))
}

/// A JSON answer with line breaks, if it stays within bounds with them; any other as it is.
async fn indented(response: Response, shape: Shape) -> Response {
    if !is(&response, "application/json") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    parts.headers.remove(CONTENT_LENGTH);
    let indented = std::str::from_utf8(&text).ok().and_then(|json| shape.indent(json));
    Response::from_parts(parts, indented.map_or_else(|| Body::from(text), Body::from))
}

/// What a library has refused in a sentence of plain text, as an error of this API.
async fn in_json(response: Response) -> Response {
    let status = response.status();
    let is_refusal = status.is_client_error() && response.extensions().get::<Told>().is_none();
    if !is_refusal || !is(&response, "text/plain") {
        return response;
    }
    let text = response.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let message = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    Problem::new(status, "INVALID_REQUEST", message).into_response()
}

fn is(response: &Response, content_type: &str) -> bool {
    let given = response.headers().get(CONTENT_TYPE);
    given.is_some_and(|given| given.as_bytes().starts_with(content_type.as_bytes()))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
