//! The body of a commit: read within bounds, then cut into its two texts.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Admission, Limits, Problem, strict};
use crate::{Events, InvalidJson, Json};

/// A body that is too large is still read up to this many times its limit: a client that is cut off while it
/// sends sees a broken connection, not the answer.
const DRAIN_FACTOR: usize = 4;

/// Reads a body of at most [`Limits::body_bytes`], which must arrive within [`Limits::body_time`]. Refuses one that
/// is compressed, once it is there: a client that is cut off while it sends does not see the answer.
///
/// The time for the answer begins when it is there.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
    admission: &Admission,
) -> Result<Bytes, Problem> {
    admission.restart_after(limits.body_time);
    let read = tokio::time::timeout(limits.body_time, collect(body, limits.body_bytes, admission)).await;
    admission.restart_after(Duration::ZERO);
    let body = read.unwrap_or_else(|_| Err(too_slow(limits.body_time)))?;
    match encoding(headers) {
        None => Ok(body),
        Some(encoding) => Err(compressed(&encoding)),
    }
}

/// What was done to the body, if anything was.
fn encoding(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let all = headers.get_all(CONTENT_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let is_plain = |value: &Cow<'_, str>| {
        value.split(',').all(|name| name.trim().is_empty() || name.trim().eq_ignore_ascii_case("identity"))
    };
    all.into_iter().find(|value| !is_plain(value))
}

fn compressed(encoding: &str) -> Problem {
    let message = format!("The body has the Content-Encoding \"{encoding}\". Send it without an encoding.");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_ENCODING", message)
}

async fn collect(mut body: Body, limit: usize, admission: &Admission) -> Result<Bytes, Problem> {
    let drain = limit.saturating_mul(DRAIN_FACTOR);
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > drain {
        return Err(too_large(announced, limit));
    }
    let mut kept = Bytes::new();
    let mut size = 0_usize;
    while let Some(frame) = body.frame().await {
        let broken = |_| Problem::bad_request("INVALID_BODY", "The body broke off before its end.");
        let Ok(chunk) = frame.map_err(broken)?.into_data() else { continue };
        size = size.saturating_add(chunk.len());
        if size > drain {
            break;
        }
        admission.take_body(size.min(limit))?;
        if size > limit {
            kept.clear();
        } else if kept.is_empty() {
            // Most bodies come in one piece, which is then used as it is.
            kept = chunk;
        } else {
            let mut joined = BytesMut::from(kept);
            joined.extend_from_slice(&chunk);
            kept = joined.freeze();
        }
    }
    if size > limit { Err(too_large(size.max(announced), limit)) } else { Ok(kept) }
}

fn too_large(size: usize, limit: usize) -> Problem {
    let message = format!("The body has {size} bytes or more; the server's limit is {limit}.");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "CHANGESET_TOO_LARGE", message)
}

fn too_slow(limit: Duration) -> Problem {
    let message = format!("The body did not arrive within {limit:?}.");
    Problem::new(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", message)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitBody<'a> {
    #[serde(borrow)]
    events: &'a RawValue,
    #[serde(borrow, default, deserialize_with = "present")]
    metadata: Option<&'a RawValue>,
}

/// `null` is a value here, not an absence: metadata is an object or is left out.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The events and the metadata of a commit's body.
pub(crate) fn parse(body: &[u8]) -> Result<(Events, Option<Json>), Problem> {
    let refuse = |why: String| Problem::bad_request("INVALID_BODY", why);
    let text = std::str::from_utf8(body).map_err(|e| refuse(format!("The body is not UTF-8: {e}.")))?;
    // serde reads a struct from an array too.
    if !text.trim_ascii_start().starts_with(['{']) && serde_json::from_str::<&RawValue>(text).is_ok() {
        return Err(refuse("The body must be a JSON object with the member `events`.".to_owned()));
    }
    let body: CommitBody<'_> = serde_json::from_str(text).map_err(|why| {
        refuse(match strict::unknown_member(text, &["events", "metadata"]) {
            Some((name, instead)) => format!("The body has the unknown member \"{name}\". {instead}"),
            None => format!("The body is not valid: {why}."),
        })
    })?;
    content(text, body.events, body.metadata)
}

/// The events and the metadata that stand in a body. What is wrong with them is told with its place there.
pub(super) fn content(
    body: &str,
    events: &RawValue,
    metadata: Option<&RawValue>,
) -> Result<(Events, Option<Json>), Problem> {
    let refuse = |part: &RawValue, InvalidJson(why)| {
        Problem::bad_request("INVALID_BODY", format!("{why}, at {}.", place(body, part)))
    };
    let events = Events::from_valid(events.get()).map_err(|why| refuse(events, why))?;
    let Some(metadata) = metadata else { return Ok((events, None)) };
    if !metadata.get().starts_with('{') {
        return Err(refuse(metadata, InvalidJson("`metadata` must be an object".to_owned())));
    }
    let object = Json::from_valid(metadata.get(), Json::DEPTH_MAX).map_err(|why| refuse(metadata, why))?;
    Ok((events, Some(object)))
}

/// Where in the body a part of it begins.
fn place(body: &str, part: &RawValue) -> String {
    let offset = part.get().as_ptr().addr().saturating_sub(body.as_ptr().addr());
    let before = body.get(..offset).unwrap_or("");
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    format!("line {line} column {}", before.len() - line_start + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &[u8]) -> String {
        format!("{:?}", parse(body).unwrap_err())
    }

    #[test]
    fn events_and_metadata_are_taken_as_they_were_written() {
        let body = "{ \"metadata\": {\"a\": 1.0, \"a\": 1e400},\n \"events\": [ \"\\ud800\", 2 ]}";
        let (events, metadata) = parse(body.as_bytes()).unwrap();
        assert_eq!(events.as_stored(), "[\"\\ud800\",2]");
        assert_eq!(metadata.unwrap().as_str(), "{\"a\":1.0,\"a\":1e400}");
        assert_eq!(parse(br#"{"events":[1]}"#).unwrap().1, None);
    }

    #[test]
    fn a_refused_body_is_told_what_and_where() {
        for (body, what, place) in [
            ("", "EOF", "line 1 column 0"),
            ("{", "EOF", "line 1 column 1"),
            ("{}", "missing field `events`", "line 1 column 2"),
            ("[[1]]", "must be a JSON object", ""),
            (
                "{\"events\": [1], \"meta\": {}}",
                "unknown member \\\"meta\\\". Did you mean \\\"metadata\\\"?",
                "",
            ),
            ("7", "must be a JSON object", ""),
            ("{\n \"events\": 7}", "`events` must be an array", "line 2 column 12"),
            ("{\"events\": []}", "at least one event", "line 1 column 12"),
            ("{\"events\": [1], \"metadata\": null}", "`metadata` must be an object", "line 1 column 29"),
            ("{\"events\": [1], \"metadata\": [2]}", "`metadata` must be an object", "line 1 column 29"),
            ("{\"events\": [1,]}", "expected value", "line 1 column 15"),
            ("{\"events\": [1]} x", "trailing characters", "line 1 column 17"),
        ] {
            let refusal = refusal(body.as_bytes());
            assert!(refusal.contains(what) && refusal.contains(place), "{body}: {refusal}");
        }
        assert!(refusal(b"{\"events\": [\"\xff\"]}").contains("UTF-8"));
    }
}
