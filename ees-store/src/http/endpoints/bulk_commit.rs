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
use crate::{Commit, Committed, Error, Refusal, StreamType};

pub(super) const PATH: &str = "/changesets";

/// What a commit takes in memory besides its texts, about: many small ones take more than their body.
const COMMIT_BYTES: usize = 512;

/// What is told of a commit, at most, but for the names in a refusal.
const LINE_BYTES: usize = 320;

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
    // The commits have copies of its texts.
    drop(body);
    let longest = commits.iter().map(line_bytes_max).sum();
    admission.take_answer(longest)?;
    if let Some(trace) = trace_of(&parts.headers) {
        for commit in commits.iter_mut().filter(|commit| commit.trace.is_none()) {
            commit.trace = Some(trace.clone());
        }
    }
    let events: Vec<u64> = commits.iter().map(|commit| commit.events.count()).collect();
    let verdicts = app.store.commit_in_order(commits).await;
    let (mut answer, mut failed) = (String::new(), None);
    for (verdict, events) in verdicts.into_iter().zip(events) {
        let verdict = match verdict {
            Ok(committed) => Ok(committed),
            Err(Error::Refused(refusal)) => Err(refusal),
            // It is not known whether it is stored: the same request with the same keys finds out.
            Err(error) => {
                failed.get_or_insert(error);
                continue;
            }
        };
        app.metrics.committed(verdict.as_ref().err().map_or("OK", Refusal::code), None);
        if verdict.is_ok() {
            app.metrics.committed_events(events);
        }
        answer.push_str(&line(&verdict));
        answer.push('\n');
    }
    if let Some(error) = failed {
        return Err(error.into());
    }
    // The store has judged each of them.
    app.commits.note(StatusCode::OK, "OK");
    let mut response = Response::new(Body::from(answer));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

/// What may be told of a commit, at most: also that its stream, or a type, has characters that are escaped. What was stored must
/// be told.
fn line_bytes_max(commit: &Commit) -> usize {
    let types = if commit.stream_type.is_some() { 2 * StreamType::BYTES_MAX } else { 0 };
    LINE_BYTES + 2 * (commit.stream_id.as_str().len() + types)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Events, Expectation, StreamId};

    #[test]
    fn no_refusal_is_longer_than_the_room_that_it_was_given() {
        let name = |bytes| "\"".repeat(bytes);
        let stream_id: StreamId = name(StreamId::BYTES_MAX).parse().unwrap();
        let of_type: StreamType = name(StreamType::BYTES_MAX).parse().unwrap();
        let expectation = Expectation::LastChangeset(u64::MAX.into());
        let commit = Commit::new(stream_id.clone(), expectation, Events::parse("[1]").unwrap());
        let typed = Commit { stream_type: Some(of_type.clone()), ..commit.clone() };
        for (commit, refusal) in [
            (&commit, Refusal::Conflict { expectation }),
            (&commit, Refusal::AheadOfStream { stream_id, expectation, last: u64::MAX }),
            (&commit, Refusal::KeyReused),
            (&commit, Refusal::TooLarge { size_bytes: usize::MAX, limit_bytes: usize::MAX }),
            (&typed, Refusal::TypeMismatch { known: Some(of_type.clone()), given: of_type }),
        ] {
            let line = line(&Err(refusal));
            assert!(line.len() < line_bytes_max(commit), "{} bytes: {line}", line.len());
        }
    }
}
