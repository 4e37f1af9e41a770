//! The response to every error: its status, code and body.

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::answer::{Answer, Shape};
use super::keys::Scope;
use crate::{Error, Refusal, StreamPage};

/// An error response: `{"error": "CODE", "message": "..."}`.
///
/// Put what the caller must not see (SQL, paths, a driver's message) into [`Problem::internal`] or
/// [`Problem::hiding`]: the server logs it with the request's id, and never sends it.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    stream_id: Option<String>,
    forthcoming: Option<Box<StreamPage>>,
    shape: Shape,
    detail: Option<String>,
    /// The member of the request that is wrong, and why.
    member: Option<Box<(String, String)>>,
}

impl Problem {
    /// An error with a stable code, and a message for people.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            stream_id: None,
            forthcoming: None,
            shape: Shape::default(),
            detail: None,
            member: None,
        }
    }

    /// 400: the request is invalid.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 500: `{"error": "INTERNAL", "request_id": "..."}`; the error goes to the log.
    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "").hiding(error)
    }

    /// 503: the server has reached its limit of concurrent requests.
    pub fn overloaded() -> Self {
        let message = "More requests are under way than the server takes on at once. Try again in a moment.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", message)
    }

    /// 503: the answer was not ready in time.
    pub(super) fn late() -> Self {
        let message =
            "The server could not answer in time. Try again in a moment, with the same idempotency key.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
    }

    /// Adds an error, with its causes, for the log only.
    #[must_use]
    pub fn hiding(self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let error = error.into();
        let causes = std::iter::successors(error.source(), |cause| cause.source());
        let detail = causes.fold(error.to_string(), |detail, cause| format!("{detail}: {cause}"));
        Self { detail: Some(detail), ..self }
    }

    /// Adds the id of the stream that it is about.
    #[must_use]
    pub fn about(self, stream_id: impl Into<String>) -> Self {
        Self { stream_id: Some(stream_id.into()), ..self }
    }

    /// 413 of a body that is no changeset.
    pub(super) fn of_small_body(self) -> Self {
        let code = if self.status == StatusCode::PAYLOAD_TOO_LARGE { "BODY_TOO_LARGE" } else { self.code };
        Self { code, ..self }
    }

    /// Names the member of the request that is wrong.
    pub(super) fn naming(self, member: &str, why: String) -> Self {
        Self { member: Some(Box::new((member.to_owned(), why))), ..self }
    }

    pub(super) fn missing_stream_id() -> Self {
        Self::bad_request("MISSING_STREAM_ID", "stream_id is a required value")
    }

    pub(super) fn no_such_endpoint() -> Self {
        Self::new(StatusCode::NOT_FOUND, "", "Invalid endpoint")
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "This endpoint has no such method; the Allow header lists those it has.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
    }

    pub(super) fn unauthorized() -> Self {
        let message = "Give a valid API key: `Authorization: Bearer KEY`.";
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
    }

    pub(super) fn forbidden(scope: Scope) -> Self {
        let message = format!("This call needs an API key with the scope `{scope}`.");
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", message)
    }

    pub(super) fn cross_origin() -> Self {
        let message = "A page of another site can't write here, unless the server's setting `cors-origins` names it. Give the server \
                       API keys, and send one.";
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", message)
    }

    /// The 409 after a lost race: with the changesets that were appended meanwhile.
    pub(super) fn conflict(refusal: &Refusal, forthcoming: Option<StreamPage>, shape: Shape) -> Self {
        let problem = Self::new(StatusCode::CONFLICT, refusal.code(), refusal.to_string());
        Self { forthcoming: forthcoming.map(Box::new), shape, ..problem }
    }

    /// The same problem, told in other words.
    pub(super) fn map_message(self, tell: impl FnOnce(String) -> String) -> Self {
        Self { message: tell(self.message), ..self }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (code, message) = (error.code(), error.to_string());
        match error {
            Error::Refused(refusal) => Self::new(status_of(&refusal), code, message),
            Error::StreamNotFound(stream_id) => {
                Self::new(StatusCode::NOT_FOUND, code, message).about(stream_id.as_str())
            }
            Error::InvalidRequest(_) => Self::bad_request(code, message),
            Error::Overloaded => Self::overloaded(),
            Error::Unavailable(why) => {
                let told =
                    "The store can't be reached. Try again in a moment, with the same idempotency key.";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code, told).hiding(why)
            }
            // The server's own: a full disk, or a key of its own that another server refused.
            other => Self::internal(other),
        }
    }
}

fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::AheadOfStream { .. } => StatusCode::BAD_REQUEST,
        Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Conflict { .. } | Refusal::KeyReused | Refusal::TypeMismatch { .. } => StatusCode::CONFLICT,
    }
}

/// What the guard must know of a problem that became an answer: it counts the code, logs the detail, and
/// writes the request's id where it belongs.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) detail: Option<String>,
    pub(super) member: Option<Box<(String, String)>>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut answer = Answer::new().measured_as(self.shape);
        if !self.code.is_empty() {
            answer.text("error", self.code);
        }
        answer.text("message", &self.message);
        if let Some(stream_id) = &self.stream_id {
            answer.text("stream_id", stream_id);
        }
        if let Some(page) = &self.forthcoming
            && let Some(next) = answer.stream_page("forthcoming_changesets", page, false)
        {
            answer.number("next", next.get());
        }
        let mut response = answer.respond(self.status);
        let headers = response.headers_mut();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Told {
            code: self.code,
            message: self.message,
            detail: self.detail,
            member: self.member,
        });
        response
    }
}

/// The answer to a failure of ours: its name for the log, and nothing else.
pub(super) fn internal_answer(request_id: &str) -> Response {
    let mut answer = Answer::new();
    answer.text("error", "INTERNAL").text("request_id", request_id);
    answer.respond(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internals_are_logged_not_sent() {
        let storage =
            || Error::Storage { detail: "INSERT at /srv/ees.db".to_owned(), source: "disk full".into() };
        for (error, status, hidden) in [
            (storage(), 500, "the storage failed: INSERT at /srv/ees.db: disk full"),
            (Error::Unavailable("host 10.0.0.7".to_owned()), 503, "host 10.0.0.7"),
            (Error::Unauthorized, 500, "not authorized: give a valid API key"),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.status.as_u16(), problem.detail.as_deref()), (status, Some(hidden)));
            assert!(!problem.message.contains(hidden));
        }
    }
}
