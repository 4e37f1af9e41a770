//! Appending: a new stream with its first event, or the next event at its revision.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use uuid::Uuid;

use super::super::app::App;
use super::super::trace_headers::{TraceHeaders, trace_of};
use super::super::{Admission, Problem, body as whole_body};
use super::body::new_event;
use super::error_response::{no_such_stream, wrong_revision};
use super::path::{RevisionPath, StreamPath, TypePath};
use super::schema::{Failures, InitialEvent, NextEvent, StreamAnswer};
use super::stream;
use crate::{
    Commit, Committed, Error, EventId, Expectation, Refusal, StreamId, StreamQuery, StreamType, Tail,
};

pub(super) const NEW_PATH: &str = "/typed/streams/{stream_type}";
pub(super) const NEXT_PATH: &str = "/typed/streams/{stream_type}/{stream_id}/events/{revision}";

/// Begin a stream of a type.
///
/// Its id is a new UUID, and its first event has the revision 1.
#[utoipa::path(
    post, path = "/typed/streams/{stream_type}", tag = "typed", operation_id = "typed_new_stream",
    params(
        ("stream_type" = StreamType, Path, description = "The type, percent-encoded.", example = "account"),
        TraceHeaders,
    ),
    request_body(content = InitialEvent, content_type = "application/json"),
    responses((status = 201, description = "It is on disk.", body = StreamAnswer), Failures),
)]
pub(super) async fn new(
    State(app): State<App>,
    TypePath(stream_type): TypePath,
    admission: Admission,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = whole_body::read(&parts.headers, body, &app.limits, &admission).await?;
    let events = new_event(&body, "initialEvent")?;
    let stream_id = StreamId::new(&Uuid::new_v4().to_string()).map_err(Problem::internal)?;
    let mut commit =
        Commit::new(stream_id.clone(), Expectation::NewStream, events).with_stream_type(stream_type.clone());
    commit.trace = trace_of(&parts.headers);
    let committed = app.store.commit(commit).await?;
    answer(&app, stream_id, &stream_type, &committed).await
}

/// Append the next event of a stream.
///
/// It is stored when the stream is at the revision before; a new stream is begun without an id.
#[utoipa::path(
    put, path = "/typed/streams/{stream_type}/{stream_id}/events/{revision}", tag = "typed",
    operation_id = "typed_append",
    params(
        ("stream_type" = StreamType, Path, description = "The type, percent-encoded.", example = "account"),
        ("stream_id" = String, Path, format = "uuid", description = "The stream's UUID."),
        ("revision" = u64, Path, minimum = 1, description = "The revision that the event shall have."),
        TraceHeaders,
    ),
    request_body(content = NextEvent, content_type = "application/json"),
    responses((status = 201, description = "It is on disk.", body = StreamAnswer), Failures),
)]
pub(super) async fn next(
    State(app): State<App>,
    StreamPath(stream_type, stream_id): StreamPath,
    RevisionPath(revision): RevisionPath,
    admission: Admission,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = whole_body::read(&parts.headers, body, &app.limits, &admission).await?;
    let events = new_event(&body, "event")?;
    // At 0 there is no stream yet, and nobody but us gives it its id.
    if revision > EventId::new(1) {
        let before = Expectation::LastEvent(EventId::new(revision.get() - 1));
        let mut commit = Commit::new(stream_id.clone(), before, events).with_stream_type(stream_type.clone());
        commit.trace = trace_of(&parts.headers);
        match app.store.commit(commit).await {
            Ok(committed) => return answer(&app, stream_id, &stream_type, &committed).await,
            Err(Error::Refused(
                Refusal::Conflict { .. } | Refusal::AheadOfStream { .. } | Refusal::TypeMismatch { .. },
            )) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Which of the reasons comes first differs: a stream of another type is not there, whatever its revision.
    match app.store.tail(&stream_id).await? {
        tail if tail.exists() && tail.stream_type.as_ref() == Some(&stream_type) => {
            Err(wrong_revision(tail.last_event.get()))
        }
        _ => Err(no_such_stream()),
    }
}

/// The stream as this append left it, with the time that it was stored with: reading it back gives the same.
async fn answer(
    app: &App,
    stream_id: StreamId,
    stream_type: &StreamType,
    committed: &Committed,
) -> Result<Response, Problem> {
    app.metrics.committed_events(1);
    let id = committed.changeset_id;
    let query = StreamQuery::changesets(stream_id.clone(), id, Some(id));
    // It is stored: nobody shall be told to try again, as a store that can't be read now would.
    let unread =
        |error: Error| Problem::internal(format!("{stream_id} is stored, and can't be read back: {error}"));
    let page = app.store.read_stream(query).await.map_err(unread)?;
    let gone = || Problem::internal(format!("the changeset {id} of {stream_id} is gone"));
    let tail = Tail::after(page.changesets.first().ok_or_else(gone)?);
    Ok(stream::respond(StatusCode::CREATED, &stream_id, stream_type, &tail))
}
