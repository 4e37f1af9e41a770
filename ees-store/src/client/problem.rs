//! Turns answers into errors: the counterpart of the server's `error_response`.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LINK, RETRY_AFTER};
use serde::Deserialize;

use serde_json::value::RawValue;

use super::CallError;
use super::gateway::Gateway;
use crate::{Commit, Error, Json, Refusal, StreamId};

/// An answer other than the one that was asked for.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: String,
    /// What the server said, or, where it said nothing, what it answered.
    pub(super) message: String,
    stream_id: Option<String>,
    /// The whole answer, where it is JSON.
    body: Option<Json>,
    /// The pause the server asks for.
    pub(super) retry_after: Option<Duration>,
    /// What AWS said no to, before the request came to the server.
    #[cfg(feature = "sigv4")]
    gateway: Option<Gateway>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Option<String>,
    // API Gateway writes both.
    #[serde(alias = "Message")]
    message: Option<String>,
    stream_id: Option<String>,
    request_id: Option<String>,
}

impl Problem {
    /// What a server says to a call for this path, or what stands before it.
    pub(crate) fn read(url: &str, path: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        // Whatever stands in between may answer with anything at all.
        let json = serde_json::from_slice::<&RawValue>(body).ok();
        let json = json.and_then(|raw| Json::from_valid(raw.get(), usize::MAX).ok());
        let body: Body = serde_json::from_slice(body).unwrap_or_default();
        let answered = || match body.request_id {
            Some(id) => format!("{url} answered {status}; its log says more under the request id {id}"),
            None => format!("{url} answered {status}"),
        };
        let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = retry_after.map(Duration::from_secs);
        let mut message = body.message.filter(|message| !message.is_empty()).unwrap_or_else(answered);
        let gateway = Gateway::read(headers, &message);
        if status == StatusCode::NOT_FOUND && body.error.is_none() {
            // What has no code names no path either.
            message = nowhere(url, path, headers, &message);
        } else if let Some(hint) = hint(headers) {
            message = format!("{}. {hint}", message.trim_end_matches('.'));
        }
        if let Some(gateway) = gateway {
            message = format!("{}; {}", message.trim_end_matches('.'), gateway.advice());
        }
        Self {
            status,
            code: body.error.unwrap_or_default(),
            message,
            stream_id: body.stream_id,
            body: json,
            retry_after,
            #[cfg(feature = "sigv4")]
            gateway,
        }
    }

    /// What a line of an answer says of a commit that was refused.
    pub(super) fn of_line(code: String, message: String) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            message,
            stream_id: None,
            body: None,
            retry_after: None,
            #[cfg(feature = "sigv4")]
            gateway: None,
        }
    }

    /// Whether the server may have no such route. What stands before it may say so with any of these.
    pub(super) fn may_be_about_the_route(&self) -> bool {
        matches!(self.status.as_u16(), 403 | 404 | 405 | 501)
    }

    /// Whether the server itself refuses this caller.
    pub(super) fn is_about_the_caller(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED || self.code == "FORBIDDEN"
    }

    /// Whether it may pass by itself.
    pub(super) fn passes(&self) -> bool {
        match self.status.as_u16() {
            408 | 429 | 502 | 503 => true,
            // With a code it is the server's own: the wait it was asked for is over.
            504 => self.code.is_empty(),
            _ => false,
        }
    }

    /// Whether other credentials would help.
    #[cfg(feature = "sigv4")]
    pub(super) fn is_about_credentials(&self) -> bool {
        matches!(self.gateway, Some(Gateway::Expired | Gateway::Unknown))
    }

    /// The error that the server had, as far as the answer tells.
    pub(crate) fn into_error(self) -> Error {
        match (self.status.as_u16(), self.code.as_str(), self.stream_id) {
            (_, "STREAM_NOT_FOUND", Some(stream_id)) => Error::StreamNotFound(StreamId::stored(&stream_id)),
            (401, ..) => Error::Unauthorized,
            (403, ..) => Error::Forbidden(self.message),
            (429, ..) | (_, "OVERLOADED", _) => Error::Overloaded,
            (404 | 409 | 504, code, _) if !code.is_empty() => {
                Error::Answered { status: self.status.as_u16(), code: self.code, message: self.message }
            }
            (408 | 502 | 503 | 504, ..) => Error::Unavailable(self.message),
            (500.., ..) => {
                Error::Storage { detail: self.message, source: format!("HTTP status {}", self.status).into() }
            }
            _ => Error::InvalidRequest(self.message),
        }
    }

    /// The error with the whole answer.
    pub(super) fn into_call_error(mut self) -> CallError {
        let body = self.body.take();
        CallError { error: self.into_error(), body }
    }

    /// The error of a commit, with the whole answer.
    pub(crate) fn into_commit_call_error(mut self, commit: &Commit) -> CallError {
        let body = self.body.take();
        CallError { error: self.into_commit_error(commit), body }
    }

    /// The error of a commit: a refusal says again what the server's own said. What was asked is known here;
    /// what the store knew beyond that is in the message.
    pub(super) fn into_commit_error(self, commit: &Commit) -> Error {
        match self.refusal(commit) {
            Some(refusal) => refusal.into(),
            None => self.into_error(),
        }
    }

    fn refusal(&self, commit: &Commit) -> Option<Refusal> {
        let expectation = commit.expectation;
        match self.code.as_str() {
            "OPTIMISTIC_CONCURRENCY_EXCEPTION" => Some(Refusal::Conflict { expectation }),
            "INVALID_EXPECTED_CHANGESET_ID" => Some(Refusal::AheadOfStream {
                stream_id: commit.stream_id.clone(),
                expectation,
                last: last_number(&self.message)?,
            }),
            "IDEMPOTENCY_KEY_REUSED" => Some(Refusal::KeyReused),
            "STREAM_TYPE_MISMATCH" => {
                let given = commit.stream_type.clone()?;
                let known = known_type(&self.message, given.as_str()).and_then(|name| name.parse().ok());
                Some(Refusal::TypeMismatch { known, given })
            }
            "CHANGESET_TOO_LARGE" => Some(Refusal::TooLarge {
                size_bytes: commit.size_bytes(),
                limit_bytes: usize::try_from(last_number(&self.message)?).ok()?,
            }),
            _ => None,
        }
    }
}

/// What was asked for is none of the server's endpoints.
fn nowhere(url: &str, path: &str, headers: &HeaderMap, message: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let message = message.trim_end_matches('.');
    let told =
        if message.starts_with(url) { message.to_owned() } else { format!("{url} answered 404: {message}") };
    match hint(headers) {
        // The server saw more slashes than were sent.
        Some(_) if path.contains("%2F") => format!(
            "{told}, for {path}. What stands before the server takes the %2F for a slash of the path, as the local AWS \
             and some proxies do: through it, no stream whose id has a slash can be reached"
        ),
        Some(hint) => format!("{told}, for {path}. {hint}"),
        None => format!("{told}, for {path}"),
    }
}

/// What the server says of a path that is none of its own: the title of the link to one that was probably meant.
fn hint(headers: &HeaderMap) -> Option<&str> {
    let (_, title) = headers.get(LINK)?.to_str().ok()?.split_once("rel=\"related\"; title=\"")?;
    title.split('"').next()
}

/// The number a message ends with: `... changeset is 7.`
fn last_number(message: &str) -> Option<u64> {
    message.strip_suffix('.')?.rsplit(' ').next()?.parse().ok()
}

/// The first type of `The stream has the type "A", not the type "B". ...`
fn known_type<'a>(message: &'a str, given: &str) -> Option<&'a str> {
    let (known, _) = message.split_once(&format!(", not the type \"{given}\"."))?;
    known.strip_prefix("The stream has the type \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Events, Expectation};

    fn problem(status: u16, body: &str) -> Problem {
        let headers = HeaderMap::new();
        let status = StatusCode::from_u16(status).unwrap();
        Problem::read("http://host", "/streams/a", status, &headers, body.as_bytes())
    }

    #[test]
    fn a_refusal_comes_back_as_it_was() {
        let stream_id: StreamId = "a \"b\" is 3.".parse().unwrap();
        let given = |text: &str| text.parse().unwrap();
        let expectation = Expectation::LastEvent(9.into());
        let commit = Commit::new(stream_id.clone(), expectation, Events::parse("[1]").unwrap())
            .with_stream_type(given("b\", not the type \"b"));
        let mismatch = |known: Option<&str>| Refusal::TypeMismatch {
            known: known.map(given),
            given: given("b\", not the type \"b"),
        };
        for refusal in [
            Refusal::Conflict { expectation },
            Refusal::AheadOfStream { stream_id, expectation, last: 7 },
            Refusal::KeyReused,
            mismatch(None),
            mismatch(Some("a \"quoted\"")),
            Refusal::TooLarge { size_bytes: commit.size_bytes(), limit_bytes: 4 },
        ] {
            let body = serde_json::json!({"error": refusal.code(), "message": refusal.to_string()});
            match problem(409, &body.to_string()).into_commit_error(&commit) {
                Error::Refused(read) => assert_eq!(read, refusal),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_has_no_endpoint_is_told_with_its_path_and_the_likely_cause() {
        let mut headers = HeaderMap::new();
        let told = |path: &str, headers: &HeaderMap, body: &str| {
            Problem::read("http://host", path, StatusCode::NOT_FOUND, headers, body.as_bytes()).message
        };
        let body = r#"{"message":"Invalid endpoint"}"#;
        let plain = "http://host answered 404: Invalid endpoint, for /projections";
        assert_eq!(told("/projections?a=b", &headers, body), plain);
        assert_eq!(told("/x", &headers, "<html>"), "http://host answered 404 Not Found, for /x");
        let link = "<../a%2F1>; rel=\"related\"; title=\"a slash is %2F\"";
        headers.insert(LINK, link.parse().unwrap());
        let unescaped = told("/streams/a/1", &headers, body);
        assert!(unescaped.ends_with("for /streams/a/1. a slash is %2F"), "{unescaped}");
        let escaped = told("/streams/a%2F1", &headers, body);
        assert!(
            escaped.contains("404") && escaped.contains("for /streams/a%2F1. What stands before"),
            "{escaped}"
        );
    }

    #[test]
    fn every_other_answer_is_the_error_it_stands_for() {
        for (status, body, want) in [
            (404, r#"{"error":"STREAM_NOT_FOUND","stream_id":"a"}"#, "STREAM_NOT_FOUND"),
            (404, r#"{"message":"Invalid endpoint"}"#, "INVALID_REQUEST"),
            (400, r#"{"error":"INVALID_BODY","message":"why"}"#, "INVALID_REQUEST"),
            (401, "", "UNAUTHORIZED"),
            (403, r#"{"error":"FORBIDDEN","message":"scope"}"#, "FORBIDDEN"),
            (429, "", "OVERLOADED"),
            (503, r#"{"error":"OVERLOADED","message":"busy"}"#, "OVERLOADED"),
            (503, "<html>", "UNAVAILABLE"),
            (502, "", "UNAVAILABLE"),
            (504, "", "UNAVAILABLE"),
            (504, r#"{"error":"TIMEOUT","message":"not yet"}"#, "ANSWERED"),
            (404, r#"{"error":"PROJECTION_NOT_FOUND","message":"none"}"#, "ANSWERED"),
            (409, r#"{"error":"NOT_POSSIBLE","message":"why"}"#, "ANSWERED"),
            (500, r#"{"error":"INTERNAL","request_id":"r-1"}"#, "STORAGE"),
            (301, "", "INVALID_REQUEST"),
        ] {
            let error = problem(status, body).into_error();
            assert_eq!(error.code(), want, "{status} {body}");
        }
        let told = problem(400, r#"{"message":""}"#).into_error().to_string();
        assert!(told.contains("http://host answered 400"), "{told}");
        let told = problem(500, r#"{"error":"INTERNAL","request_id":"r-1"}"#).into_error().to_string();
        assert!(told.contains("r-1") && told.contains("http://host"), "{told}");
    }
}
