//! The response to every error of this contract: its status and body.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::super::Problem;
use super::super::answer::Answer;
use super::super::error_response::Told;

/// 400, for a member of the request that can't be right.
pub(super) fn bad(member: &str, why: impl std::fmt::Display) -> Problem {
    Problem::bad_request("INVALID_REQUEST", format!("{member} {why}")).naming(member, why.to_string())
}

/// 404: no such stream, or it has another type.
pub(super) fn no_such_stream() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "STREAM_NOT_FOUND", "There is no such stream of this type.")
}

/// 409: the stream is not at the revision before.
pub(super) fn wrong_revision(revision: u64) -> Problem {
    let message = format!("The stream is at revision {revision}.");
    Problem::new(StatusCode::CONFLICT, "OPTIMISTIC_CONCURRENCY_EXCEPTION", message)
}

/// An answer of this server, told as this contract does. Whatever is no error stays as it is.
///
/// `details` is what clients of this contract look into: the members that are wrong, or null.
pub(in super::super) fn in_its_form(response: Response, told: Option<&Told>, id: &HeaderValue) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let mut answer = Answer::new();
    answer.text("message", &message(status, told));
    answer.text("requestId", id.to_str().unwrap_or_default());
    match told {
        Some(told) if status == StatusCode::BAD_REQUEST => answer.json("details", &messages(told)),
        _ => answer.json("details", "null"),
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(parts, Body::from(answer.into_text()))
}

fn message(status: StatusCode, told: Option<&Told>) -> Cow<'static, str> {
    match status {
        StatusCode::CONFLICT => "Trying to write based on invalid state. Refetch and try again.".into(),
        StatusCode::NOT_FOUND => "Requested resource not found".into(),
        StatusCode::INTERNAL_SERVER_ERROR => "Something went wrong".into(),
        // There are no idempotency keys here.
        StatusCode::SERVICE_UNAVAILABLE => {
            "Not available at the moment. What was being written may be there: look before you write it again.".into()
        }
        other => match (other.canonical_reason().unwrap_or("Invalid request"), told) {
            (reason, Some(told)) if other != StatusCode::BAD_REQUEST => {
                format!("{reason}: {}", told.message).into()
            }
            (reason, _) => reason.into(),
        },
    }
}

/// `{"messages": {"initialEvent.eventType": ["required"]}}`
fn messages(told: &Told) -> String {
    let (member, why) = match told.member.as_deref() {
        Some((member, why)) => (member.as_str(), why.as_str()),
        None => ("request", told.message.as_str()),
    };
    json!({"messages": {member: [why]}}).to_string()
}
