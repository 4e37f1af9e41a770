//! `POST /changesets`: appending to many streams in one request.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use super::super::answer::Answer;
use super::super::app::App;
use super::super::schema::{BulkCommitAnswer, BulkCommitLine, Error as ErrorAnswer};
use super::super::trace_headers::{TraceHeaders, trace_of};
use super::super::{Admission, Problem, body, bulk_body};
use crate::{Committed, Error, Refusal};

pub(super) const PATH: &str = "/changesets";

/// What a commit takes in memory besides its texts, about: many small ones take more than their body.
const COMMIT_BYTES: usize = 512;

/// What is told of a commit that is stored, at most. A refusal may take more.
const LINE_BYTES: usize = 80;

/// Append many changesets, to any number of streams.
///
/// The body is JSON lines, a commit in each: at most 1,000 lines, and together no larger than the body of a single commit
/// may be. The commits are carried out in the order of the lines. A refused one stops none of the others. The answer has a
/// line for each of them, in the same order: `changeset_id` says that it is on disk, `error` that it was refused, with the
/// code and the message that `POST /streams/{stream_id}` has.
///
/// A line that is not valid refuses the whole request: then nothing is committed. After a 5xx, some of the lines may be
/// committed: give each line an `idempotency_key`, and send the same request again.
#[utoipa::path(
    post, path = "/changesets", tag = "commit", operation_id = "bulk_commit",
    params(TraceHeaders),
    request_body(content = BulkCommitLine, content_type = "application/x-ndjson", description = "JSON lines: an object of \
        this form in each."),
    responses(
        (status = 200, description = "JSON lines: an object of this form for each line of the body.", body = BulkCommitAnswer,
            content_type = "application/x-ndjson"),
        (status = 400, description = "`INVALID_BODY`: a line is not valid, or there are too many. Nothing is committed.",
            body = ErrorAnswer),
        (status = 408, description = "`REQUEST_TIMEOUT`: the body did not arrive in time. Nothing is committed.", body = ErrorAnswer),
        (status = 413, description = "`BODY_TOO_LARGE`. Nothing is committed.", body = ErrorAnswer),
        (status = 415, description = "`UNSUPPORTED_ENCODING`: the body is compressed. Nothing is committed.", body = ErrorAnswer),
    ),
)]
pub(super) async fn bulk_commit(
    State(app): State<App>,
    admission: Admission,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body =
        body::read(&parts.headers, body, &app.limits, &admission).await.map_err(Problem::of_small_body)?;
    let mut commits = bulk_body::parse(&body)?;
    admission.take_body(body.len() + commits.len() * COMMIT_BYTES)?;
    admission.take_answer(commits.len() * LINE_BYTES)?;
    if let Some(trace) = trace_of(&parts.headers) {
        for commit in commits.iter_mut().filter(|commit| commit.trace.is_none()) {
            commit.trace = Some(trace.clone());
        }
    }
    let events: Vec<u64> = commits.iter().map(|commit| commit.events.count()).collect();
    let verdicts = app.store.commit_in_order(commits).await;
    // Of a commit that failed it is not known whether it is stored: the same request with the same keys finds out.
    let told = |verdict| match verdict {
        Ok(committed) => Ok(Ok(committed)),
        Err(Error::Refused(refusal)) => Ok(Err(refusal)),
        Err(error) => Err(error),
    };
    let verdicts = verdicts.into_iter().map(told).collect::<Result<Vec<_>, Error>>()?;
    let mut answer = String::new();
    for (verdict, events) in verdicts.iter().zip(events) {
        let (status, code) = match verdict {
            Ok(_) => (StatusCode::OK, "OK"),
            Err(refusal) => (StatusCode::CONFLICT, refusal.code()),
        };
        app.metrics.committed(code, None);
        app.commits.note(status, code);
        if verdict.is_ok() {
            app.metrics.committed_events(events);
        }
        answer.push_str(&line(verdict));
        answer.push('\n');
    }
    let mut response = Response::new(Body::from(answer));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

/// Without the stream, which is that of the line in the request: the ids of a thousand could be too long for an answer.
fn line(verdict: &Result<Committed, Refusal>) -> String {
    let mut line = Answer::new();
    match verdict {
        Ok(Committed { changeset_id, checkpoint }) => {
            line.number("changeset_id", changeset_id.get());
            if let Some(checkpoint) = checkpoint {
                line.number("checkpoint", checkpoint.get());
            }
        }
        Err(refusal) => {
            line.text("error", refusal.code()).text("message", &refusal.to_string());
        }
    }
    line.into_text()
}
