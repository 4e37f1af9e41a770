//! The body of a bulk commit: JSON lines, a commit each.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::body::{content, present};
use super::{Problem, strict};
use crate::{ChangesetId, Commit, EventId, Expectation, IdempotencyKey, StreamId, StreamType, TraceContext};

/// Commits in one request, at most.
pub(crate) const LINES_MAX: usize = 1_000;

/// What a line may have.
const MEMBERS: [&str; 9] = [
    "stream_id",
    "expected_last_changeset",
    "expected_last_event",
    "idempotency_key",
    "stream_type",
    "traceparent",
    "tracestate",
    "events",
    "metadata",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    stream_id: StreamId,
    expected_last_changeset: Option<ChangesetId>,
    expected_last_event: Option<EventId>,
    #[serde(borrow)]
    idempotency_key: Option<Cow<'a, str>>,
    stream_type: Option<StreamType>,
    #[serde(borrow)]
    traceparent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tracestate: Option<Cow<'a, str>>,
    #[serde(borrow)]
    events: &'a RawValue,
    #[serde(borrow, default, deserialize_with = "present")]
    metadata: Option<&'a RawValue>,
}

/// The commits of a body, in the order of its lines. One line that is not valid refuses all of them: nothing is half done.
pub(crate) fn parse(body: &[u8]) -> Result<Vec<Commit>, Problem> {
    let text = std::str::from_utf8(body).map_err(|e| refuse(format!("The body is not UTF-8: {e}.")))?;
    let mut commits = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()) {
        if commits.len() == LINES_MAX {
            return Err(refuse(format!(
                "The body has more than {LINES_MAX} lines. Send the rest in another request."
            )));
        }
        commits.push(commit(text, line, at + 1)?);
    }
    if commits.is_empty() {
        return Err(refuse(
            "The body has no line: write a JSON object with `stream_id` and `events` in each.".to_owned(),
        ));
    }
    Ok(commits)
}

fn refuse(why: String) -> Problem {
    Problem::bad_request("INVALID_BODY", why)
}

fn commit(body: &str, line: &str, number: usize) -> Result<Commit, Problem> {
    let invalid = |why: &dyn std::fmt::Display| refuse(format!("Line {number} is not valid: {why}."));
    // serde reads a struct from an array too.
    if !line.trim_ascii_start().starts_with('{') && serde_json::from_str::<&RawValue>(line).is_ok() {
        return Err(invalid(&"it must be a JSON object with the members `stream_id` and `events`"));
    }
    let read: Line<'_> =
        serde_json::from_str(line).map_err(|error| match strict::unknown_member(line, &MEMBERS) {
            Some((name, instead)) => {
                refuse(format!("Line {number} has the unknown member \"{name}\". {instead}"))
            }
            None => {
                let told = error.to_string();
                let why = told.rsplit_once(" at line ").map_or(told.as_str(), |(why, _)| why);
                invalid(&format_args!("{why}, at column {}", error.column()))
            }
        })?;
    let expectation = match (read.expected_last_changeset, read.expected_last_event) {
        (Some(_), Some(_)) => {
            return Err(invalid(&"it has both `expected_last_changeset` and `expected_last_event`"));
        }
        (None, Some(id)) => Expectation::LastEvent(id),
        (Some(id), None) if id != ChangesetId::NONE => Expectation::LastChangeset(id),
        _ => Expectation::NewStream,
    };
    let (events, metadata) = content(body, read.events, read.metadata)?;
    let mut commit = Commit::new(read.stream_id, expectation, events);
    commit.metadata = metadata.unwrap_or(commit.metadata);
    commit.stream_type = read.stream_type;
    commit.trace = read
        .traceparent
        .and_then(|traceparent| TraceContext::from_headers(&traceparent, read.tracestate.as_deref()));
    if let Some(key) = read.idempotency_key {
        commit.idempotency_key = Some(IdempotencyKey::new(&key).map_err(|why| invalid(&why))?);
    }
    Ok(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_commit() {
        let body = "\n{\"stream_id\":\"a\",\"events\":[1]}\r\n\
                    {\"stream_id\": \"b\", \"expected_last_changeset\": 7, \"idempotency_key\": \"k\\u0021\", \
                     \"stream_type\": \"t\", \"events\": [1, 1.0], \"metadata\": {\"x\": 1e400}, \
                     \"traceparent\": \"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"}\n \n\
                    {\"stream_id\":\"c\",\"expected_last_event\":3,\"events\":[1]}";
        let commits = parse(body.as_bytes()).unwrap();
        let expected = [
            Expectation::NewStream,
            Expectation::LastChangeset(ChangesetId::new(7)),
            Expectation::LastEvent(EventId::new(3)),
        ];
        assert_eq!(commits.iter().map(|commit| commit.expectation).collect::<Vec<_>>(), expected);
        let full = &commits[1];
        assert_eq!((full.events.as_stored(), full.metadata.as_str()), ("[1,1.0]", "{\"x\":1e400}"));
        assert_eq!(full.idempotency_key.as_ref().map(IdempotencyKey::as_str), Some("k!"));
        assert_eq!(full.stream_type.as_ref().map(StreamType::as_str), Some("t"));
        assert!(full.trace.is_some());
        for nothing in ["", "\n", " \r\n\n"] {
            assert!(format!("{:?}", parse(nothing.as_bytes()).unwrap_err()).contains("has no line"));
        }
    }

    #[test]
    fn a_refused_line_is_told_with_its_number() {
        let good = r#"{"stream_id":"a","events":[1]}"#;
        for (bad, told) in [
            ("7", "Line 2 is not valid: it must be a JSON object"),
            ("[\"a\",null,null,null,null,null,null,[1]]", "Line 2 is not valid: it must be a JSON object"),
            ("{", "Line 2 is not valid: EOF while parsing an object, at column 1"),
            (r#"{"events":[1]}"#, "Line 2 is not valid: missing field `stream_id`"),
            (r#"{"stream_id":"","events":[1]}"#, "must not be empty"),
            (r#"{"stream_id":"a","events":[]}"#, "at least one event, at line 2 column 27"),
            (r#"{"stream_id":"a","events":[1],"metadata":null}"#, "`metadata` must be an object, at line 2"),
            (r#"{"stream_id":"a","events":[1],"idempotency_key":"ä"}"#, "Line 2 is not valid: "),
            (
                r#"{"stream_id":"a","events":[1],"expected_last_event":1,"expected_last_changeset":1}"#,
                "it has both",
            ),
            (
                r#"{"stream_id":"a","events":[1],"expected_last_changset":1}"#,
                "Did you mean \\\"expected_last_changeset\\\"?",
            ),
        ] {
            let refusal = format!("{:?}", parse(format!("{good}\n{bad}").as_bytes()).unwrap_err());
            assert!(refusal.contains(told), "{bad}: {refusal}");
        }
        let many = format!("{good}\n").repeat(LINES_MAX + 1);
        assert!(parse(&many.as_bytes()[..many.len() - good.len() - 1]).is_ok());
        assert!(format!("{:?}", parse(many.as_bytes()).unwrap_err()).contains("more than 1000 lines"));
    }
}
