//! A stream as this contract shows it.

use axum::http::StatusCode;
use axum::response::Response;

use super::super::answer::Answer;
use crate::{StreamId, StreamType, Tail};

/// Writes the members of a stream.
pub(super) fn write(entry: &mut Answer, stream_id: &StreamId, stream_type: &StreamType, tail: &Tail) {
    entry.text("streamId", stream_id.as_str()).text("streamType", stream_type.as_str());
    entry.number("revision", tail.last_event.get());
    entry.text("updatedAt", &tail.last_timestamp.to_string());
}

/// Answers with one stream.
pub(super) fn respond(
    status: StatusCode,
    stream_id: &StreamId,
    stream_type: &StreamType,
    tail: &Tail,
) -> Response {
    let mut stream = Answer::new();
    write(&mut stream, stream_id, stream_type, tail);
    let mut answer = Answer::new();
    answer.json("stream", &stream.into_text());
    answer.respond(status)
}
