//! `POST /streams/{stream_id}`: appending to a stream.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use super::super::answer::Answer;
use super::super::app::App;
use super::super::keys::{Scope, Scopes};
use super::super::path::StreamPath;
use super::super::query::{Params, Whole, seconds};
use super::super::schema::{CommitAnswer, CommitRequest, Conflict, Error as ErrorAnswer};
use super::super::trace_headers::{TraceHeaders, trace_of};
use super::super::visibility::Visibility;
use super::super::{Admission, Closing, Problem, body};
use crate::{
    ChangesetId, Commit, Committed, Error, EventId, EventStore, Expectation, IdempotencyKey, Refusal,
    StreamId, StreamPage, StreamQuery, StreamType,
};

pub(super) const PATH: &str = "/streams/{stream_id}";

/// Where a commit stands in the log.
pub(in super::super) const CHECKPOINT: HeaderName = HeaderName::from_static("ees-checkpoint");
/// Says whether a projection has applied the commit.
pub(in super::super) const VISIBLE: HeaderName = HeaderName::from_static("ees-visible");

/// How long a commit waits until it is visible, if it does not say so.
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Changesets that an outdated commit is shown at most.
const FORTHCOMING_MAX: usize = 100;

/// Append a changeset to a stream.
///
/// Concurrency control is never optional: say which changeset or event you believe to be the stream's last.
/// With neither, the stream must not exist yet. Nothing is stored when the belief is outdated; the answer
/// then brings what was appended meanwhile.
#[utoipa::path(
    post, path = "/streams/{stream_id}", tag = "commit", operation_id = "commit",
    params(
        ("stream_id" = StreamId, Path, description = "The stream, percent-encoded: `account/42` is `account%2F42`.",
            example = "account/42"),
        ("expected_last_changeset" = Option<u64>, Query, description = "The stream's last changeset; 0: it is new."),
        ("expected_last_event" = Option<u64>, Query, description = "The stream's last event. Instead of \
            `expected_last_changeset`: a call with both is refused."),
        ("visible_in" = Option<String>, Query, description = "The name of a projection: the answer comes once that has applied \
            the commit, and says so in `Ees-Visible`."),
        ("timeout" = Option<f64>, Query, minimum = 0, maximum = 60, description = "With `visible_in`: the longest wait in seconds. \
            Default: 10."),
        ("Idempotency-Key" = Option<IdempotencyKey>, Header, nullable = false, description = "1 to 255 visible ASCII characters. The same commit \
            with the same key is stored once, however often it is sent; keys are kept at least 7 days."),
        ("Stream-Type" = Option<StreamType>, Header, nullable = false, description = "The type of the stream, fixed by its first commit."),
        TraceHeaders,
    ),
    request_body(content = CommitRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "It is on disk.", body = CommitAnswer, headers(
            ("Ees-Checkpoint" = u64, description = "Its place in the global order, where the store knows it at once."),
            ("Ees-Visible" = bool, description = "With `visible_in`: whether the projection has applied it. `false`: it \
                is committed, and not visible so far."),
        )),
        (status = 400, description = "`MISSING_STREAM_ID`, `INVALID_STREAM_ID`, `INVALID_EXPECTED_CHANGESET_ID` (also: \
            the stream is not that far), `INVALID_EXPECTED_EVENT_ID`, `BOTH_EXPECTED_CHANGESET_AND_EVENT_ARE_SET`, \
            `INVALID_HEADER`, `INVALID_BODY`, `INVALID_WAIT`.", body = ErrorAnswer),
        (status = 404, description = "`PROJECTION_NOT_FOUND`: there is no projection `visible_in`. Nothing is committed.", body = ErrorAnswer),
        (status = 408, description = "`REQUEST_TIMEOUT`: the body did not arrive in time.", body = ErrorAnswer),
        (status = 409, description = "`OPTIMISTIC_CONCURRENCY_EXCEPTION`: somebody else appended first; \
            `forthcoming_changesets` is what. `IDEMPOTENCY_KEY_REUSED`, `STREAM_TYPE_MISMATCH`.", body = Conflict),
        (status = 413, description = "`CHANGESET_TOO_LARGE`.", body = ErrorAnswer),
        (status = 415, description = "`UNSUPPORTED_ENCODING`: the body is compressed.", body = ErrorAnswer),
    ),
)]
pub(super) async fn commit(
    State(app): State<App>,
    StreamPath(stream_id): StreamPath,
    params: Params,
    admission: Admission,
    closing: Closing,
    request: Request,
) -> Result<Response, Problem> {
    let about = stream_id.clone();
    append(&app, stream_id, &params, &admission, &closing, request)
        .await
        .map_err(|problem| problem.about(about.as_str()))
}

/// Checks in the order of the contract: the expectation, the headers, the body, the state of the stream.
async fn append(
    app: &App,
    stream_id: StreamId,
    params: &Params,
    admission: &Admission,
    closing: &Closing,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (expectation, given) = expectation(params)?;
    let visible = VisibleIn::of(app, params)?;
    let (parts, body) = request.into_parts();
    // A key that may commit but not read must not learn what others committed.
    let may_read = parts.extensions.get::<Scopes>().is_none_or(|scopes| scopes.allow(Scope::Read));
    let idempotency_key = header(&parts.headers, "Idempotency-Key")?;
    let stream_type = header(&parts.headers, "Stream-Type")?;
    let (events, metadata) = body::parse(&body::read(&parts.headers, body, &app.limits, admission).await?)?;

    let event_count = events.count();
    let mut commit = Commit::new(stream_id.clone(), expectation, events);
    commit.metadata = metadata.unwrap_or(commit.metadata);
    commit.stream_type = stream_type;
    commit.idempotency_key = idempotency_key;
    commit.trace = trace_of(&parts.headers);
    if let Some(VisibleIn { timeout, .. }) = &visible {
        // Before the commit: what is committed is not turned away any more.
        admission.waits(*timeout)?;
    }
    match app.store.commit(commit).await {
        Ok(committed) => {
            app.metrics.committed_events(event_count);
            let mut response = answer(&stream_id, &committed);
            if let Some(visible) = visible {
                let is_visible = visible.wait(&stream_id, &committed, closing).await;
                let value = HeaderValue::from_static(if is_visible { "true" } else { "false" });
                response.headers_mut().insert(VISIBLE, value);
            }
            Ok(response)
        }
        Err(Error::Refused(refusal @ Refusal::Conflict { .. })) => {
            let forthcoming =
                if may_read { forthcoming(&*app.store, stream_id, expectation).await } else { None };
            Err(Problem::conflict(&refusal, forthcoming, params.shape()))
        }
        Err(error @ Error::Refused(Refusal::AheadOfStream { .. })) => {
            Err(Problem::from(error).map_message(|message| as_given(&message, expectation, given.as_ref())))
        }
        Err(error) => Err(error.into()),
    }
}

/// The read model in which a commit is to be visible before it is answered.
struct VisibleIn<'a> {
    visibility: &'a dyn Visibility,
    name: &'a str,
    timeout: Duration,
}

impl<'a> VisibleIn<'a> {
    fn of(app: &'a App, params: &'a Params) -> Result<Option<Self>, Problem> {
        let Some(name) = params.get("visible_in") else {
            return match params.get("timeout") {
                None => Ok(None),
                Some(_) => Err(invalid_wait("`timeout` is for a commit with `visible_in`.")),
            };
        };
        let timeout = match params.get("timeout") {
            None => TIMEOUT,
            Some(text) => seconds(text)
                .filter(|timeout| *timeout <= TIMEOUT_MAX)
                .ok_or_else(|| invalid_wait("`timeout` must be between 0 and 60 seconds."))?,
        };
        let none = || {
            let message = format!("There is no projection \"{name}\" here. This server has none.");
            Problem::new(StatusCode::NOT_FOUND, "PROJECTION_NOT_FOUND", message)
        };
        let visibility = app.visibility.as_deref().ok_or_else(none)?;
        visibility.check(name)?;
        Ok(Some(Self { visibility, name, timeout }))
    }

    /// Waits until it is visible, no longer than asked for, nor than the server runs.
    async fn wait(&self, stream_id: &StreamId, committed: &Committed, closing: &Closing) -> bool {
        tokio::select! {
            is_visible = self.visibility.is_visible(self.name, stream_id, committed, self.timeout) => is_visible,
            () = closing.closed() => false,
        }
    }
}

fn invalid_wait(message: &str) -> Problem {
    Problem::bad_request("INVALID_WAIT", message)
}

/// What the committer believes, and the number as it was given.
fn expectation(params: &Params) -> Result<(Expectation, Option<Whole>), Problem> {
    let number = |name, code, unit| {
        params.whole(name).map_err(|text| {
            let what = "is invalid. Expected a positive integer.";
            Problem::bad_request(code, format!("The specified expected {unit} id(\"{text}\") {what}"))
        })
    };
    let changeset = number("expected_last_changeset", "INVALID_EXPECTED_CHANGESET_ID", "changeset")?;
    let event = number("expected_last_event", "INVALID_EXPECTED_EVENT_ID", "event")?;
    match (changeset, event) {
        (Some(_), Some(_)) => Err(Problem::bad_request(
            "BOTH_EXPECTED_CHANGESET_AND_EVENT_ARE_SET",
            "Cannot use both \"last_changeset_id\" and \"last_event_id\" for concurrency management. Specify only \
             one value.",
        )),
        (None, Some(id)) => Ok((Expectation::LastEvent(EventId::new(id.get())), Some(id))),
        (Some(id), None) if !id.is_zero() => {
            Ok((Expectation::LastChangeset(ChangesetId::new(id.get())), Some(id)))
        }
        _ => Ok((Expectation::NewStream, None)),
    }
}

/// A header that is there at most once.
fn header<T: std::str::FromStr<Err = crate::InvalidName>>(
    headers: &HeaderMap,
    name: &'static str,
) -> Result<Option<T>, Problem> {
    let refuse =
        |why: String| Problem::bad_request("INVALID_HEADER", format!("The header {name} is invalid: {why}."));
    let mut values = headers.get_all(name).into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refuse("it is given more than once".to_owned()));
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| refuse("it is not UTF-8".to_owned()))?;
    text.parse().map(Some).map_err(|why: crate::InvalidName| refuse(why.to_string()))
}

/// The changesets after the expected one; by event, those that hold an event after it. None when they can't
/// be read: the commit is refused all the same.
async fn forthcoming(
    store: &dyn EventStore,
    stream_id: StreamId,
    expectation: Expectation,
) -> Option<StreamPage> {
    let query = match expectation {
        Expectation::NewStream => StreamQuery::all(stream_id),
        Expectation::LastChangeset(id) => StreamQuery::changesets(stream_id, id.next(), None),
        Expectation::LastEvent(id) => StreamQuery::events(stream_id, id.next(), None),
    };
    store.read_stream(query.with_limit(FORTHCOMING_MAX)).await.ok()
}

/// A number too large for any stream is told as it was given, not as what stands for it.
fn as_given(message: &str, expectation: Expectation, given: Option<&Whole>) -> String {
    let known = expectation.number().to_string();
    message.replacen(&known, given.map_or(known.as_str(), Whole::as_str), 1)
}

fn answer(stream_id: &StreamId, committed: &Committed) -> Response {
    let mut answer = Answer::new();
    answer.text("stream_id", stream_id.as_str()).number("changeset_id", committed.changeset_id.get());
    let mut response = answer.respond(StatusCode::OK);
    if let Some(checkpoint) = committed.checkpoint {
        response.headers_mut().insert(CHECKPOINT, HeaderValue::from(checkpoint.get()));
    }
    response
}
