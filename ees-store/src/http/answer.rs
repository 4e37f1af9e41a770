//! Answers, put together from stored texts: nothing is parsed again, nothing is copied twice.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use crate::{
    Changeset, ChangesetId, EventId, Json, LogEntry, LogHead, Quarantined, StreamId, StreamPage, json,
};

/// Bytes of an answer with a list: what does not fit is left for the next call.
pub(super) const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Room for the members that follow a list. One of them may be a place with a stream id, each character of which
/// may be escaped.
const TAIL_BYTES: usize = 512 + 6 * StreamId::BYTES_MAX;

/// How deep an entry of a list stands.
const LIST_DEPTH: usize = 2;

/// A JSON object in the making. Member names are our own, and need no escaping.
pub(super) struct Answer {
    text: String,
    shape: Shape,
}

/// What becomes of an answer on its way out, as far as its size is concerned.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shape {
    /// It is indented.
    pub(super) pretty: bool,
    /// It is the text of a JSON string.
    pub(super) escaped: bool,
}

impl Shape {
    /// Bytes that an entry of a list has in the end; more than [`BYTES_MAX`] where it is never that long.
    fn len_of(self, entry: &str) -> usize {
        if self.pretty {
            json::indented_len(entry, LIST_DEPTH, BYTES_MAX, self.measure()).unwrap_or(BYTES_MAX + 1)
        } else {
            self.measure()(entry)
        }
    }

    /// An answer with line breaks, unless it grows beyond [`BYTES_MAX`] by them.
    pub(super) fn indent(self, json: &str) -> Option<String> {
        json::indent_within(json, BYTES_MAX, self.measure())
    }

    fn measure(self) -> fn(&str) -> usize {
        if self.escaped { escaped_len } else { str::len }
    }
}

/// Bytes of a text inside of a JSON string.
fn escaped_len(text: &str) -> usize {
    let more = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..0x20 => 5,
        _ => 0,
    };
    text.len() + text.bytes().map(more).sum::<usize>()
}

impl Answer {
    pub(super) fn new() -> Self {
        Self::with_capacity(128)
    }

    /// With room for this many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self { text, shape: Shape::default() }
    }

    /// Measured as it will be on its way out.
    pub(super) fn measured_as(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// A member whose value is JSON already.
    pub(super) fn json(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        self.text.push_str(value);
        self
    }

    /// A member that is a text.
    pub(super) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        push_string(&mut self.text, value);
        self
    }

    /// A member that is a number, or something else that looks the same in JSON.
    pub(super) fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.name(name);
        // Writing to a String does not fail.
        let _ = write!(self.text, "{value}");
        self
    }

    /// A list: an object for each entry that `write` fills, as long as they fit. Returns the first entry that
    /// did not.
    ///
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        entries: impl IntoIterator<Item = T>,
        write: impl Fn(&mut Self, &T),
    ) -> Option<T> {
        self.name(name);
        self.text.push('[');
        let first = self.text.len();
        let mut added = 0;
        let mut left = None;
        for entry in entries {
            let before = self.text.len();
            self.separate();
            self.text.push('{');
            write(self, &entry);
            self.text.push('}');
            let written = &self.text[before..];
            added += self.shape.len_of(written).saturating_sub(written.len());
            if self.text.len() + added + TAIL_BYTES > BYTES_MAX && before > first {
                self.text.truncate(before);
                left = Some(entry);
                break;
            }
        }
        self.text.push(']');
        left
    }

    /// A part of a stream under `name`. Returns the changeset that the rest begins with.
    pub(super) fn stream_page(
        &mut self,
        name: &str,
        page: &StreamPage,
        positions: bool,
    ) -> Option<ChangesetId> {
        let left =
            self.list(name, &page.changesets, |entry, changeset| entry.changeset(changeset, positions));
        left.map(|changeset| changeset.changeset_id).or(page.next)
    }

    /// What every changeset has, and where it stands if `positions` are wanted.
    pub(super) fn changeset(&mut self, changeset: &Changeset, positions: bool) {
        self.number("changeset_id", changeset.changeset_id.get());
        let events = changeset.events.as_json().map_or("[]", Json::as_str);
        self.json("events", events);
        self.json("metadata", changeset.metadata.as_str());
        if let Some(quarantined) = changeset.events.quarantined() {
            self.json("quarantined", &held(quarantined));
        }
        if positions {
            if changeset.events.quarantined().is_some() || !events.starts_with('[') {
                self.number("event_count", changeset.events.count());
            }
            self.text("timestamp", &changeset.timestamp.to_string());
            self.number("first_event_id", changeset.first_event_id.get());
            match &changeset.stream_type {
                Some(stream_type) => self.text("stream_type", stream_type.as_str()),
                None => self.json("stream_type", "null"),
            };
            if let Some(trace) = &changeset.trace {
                self.text("traceparent", trace.traceparent());
                if let Some(tracestate) = trace.tracestate() {
                    self.text("tracestate", tracestate);
                }
            }
        }
    }

    /// A changeset in the log.
    pub(super) fn log_entry(&mut self, entry: &LogEntry, positions: bool) {
        self.text("stream_id", entry.stream_id.as_str());
        self.changeset(&entry.changeset, positions);
        self.number("checkpoint", entry.checkpoint.get());
    }

    /// An event of a stream.
    pub(super) fn event(&mut self, id: EventId, data: Result<&str, &Quarantined>) {
        self.number("id", id.get());
        match data {
            Ok(data) => self.json("data", data),
            Err(quarantined) => self.json("data", "null").json("quarantined", &held(quarantined)),
        };
    }

    /// Where a log ends, and which one it is.
    pub(super) fn log_head(&mut self, head: &LogHead) {
        self.number("head", head.checkpoint.get())
            .text("log_id", &head.log_id.to_string())
            .text("incarnation", &head.incarnation.to_string());
    }

    /// Answers with the object.
    pub(super) fn respond(self, status: StatusCode) -> Response {
        json_response(status, self.into_text())
    }

    /// The object, for a place within another one.
    pub(super) fn into_text(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn name(&mut self, name: &str) {
        self.separate();
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    fn separate(&mut self) {
        if !self.text.ends_with(['{', '[']) {
            self.text.push(',');
        }
    }
}

/// The events of a changeset in a range. One entry, with the last of the numbers, stands for all events of a
/// changeset that can't be read.
pub(super) fn events_within(
    changeset: &Changeset,
    from: EventId,
    to: Option<EventId>,
) -> impl Iterator<Item = (EventId, Result<&str, &Quarantined>)> {
    let within = move |id: EventId| id >= from && to.is_none_or(|to| id <= to);
    let last = changeset.last_event_id().max(from);
    let last = to.map_or(last, |to| last.min(to));
    let held = changeset.events.quarantined().map(|quarantined| (last, Err(quarantined)));
    let events = changeset.numbered_events().into_iter().flatten().map(|(id, event)| (id, Ok(event)));
    events.filter(move |(id, _)| within(*id)).chain(held)
}

/// What the store holds of a changeset that can't be read, and why.
pub(super) fn held(quarantined: &Quarantined) -> String {
    let mut held = Answer::new();
    held.text("reason", quarantined.reason());
    held.text("events", quarantined.events()).text("metadata", quarantined.metadata());
    held.into_text()
}

/// An answer that is JSON already.
pub(super) fn json_response(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn push_string(out: &mut String, text: &str) {
    if text.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        let _ = write!(out, "{}", serde_json::Value::from(text));
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_separated_and_texts_escaped() {
        let mut answer = Answer::new();
        answer.text("a", "x \"y\" \\ \n \u{ffff}").number("b", 7).json("c", "{}");
        let left = answer.list("d", ["1", "2"], |entry, value| {
            entry.json("e", value);
        });
        assert_eq!(left, None);
        assert_eq!(
            answer.text,
            "{\"a\":\"x \\\"y\\\" \\\\ \\n \u{ffff}\",\"b\":7,\"c\":{},\"d\":[{\"e\":1},{\"e\":2}]"
        );
    }

    #[test]
    fn an_answer_is_measured_as_it_leaves() {
        let entry = "{\"a\":\"\\n\",\"b\":[1]}";
        let told = |pretty, escaped| Shape { pretty, escaped }.len_of(entry);
        assert_eq!(told(false, false), entry.len());
        assert_eq!(told(false, true), serde_json::to_string(entry).unwrap().len() - 2);
        // Two levels down, and without a line break before it.
        let pretty = json::indent(&format!("[[{entry}]]"));
        let pretty = pretty.trim_start_matches(['[', ' ', '\n']).trim_end_matches([']', ' ', '\n']);
        assert_eq!(told(true, false), pretty.len());
        assert_eq!(told(true, true), serde_json::to_string(pretty).unwrap().len() - 2);
    }

    #[test]
    fn a_list_is_cut_where_the_answer_would_grow_too_long_but_never_before_its_first_entry() {
        let entry = |bytes: usize| "1".repeat(bytes);
        for (sizes, kept) in [
            (vec![BYTES_MAX * 2, 1], 1),
            (vec![BYTES_MAX / 2, BYTES_MAX / 2, 1], 1),
            (vec![BYTES_MAX / 4, BYTES_MAX / 4, BYTES_MAX / 4, 1], 4),
        ] {
            let mut answer = Answer::new();
            let left = answer.list("d", sizes.iter().enumerate(), |to, (_, bytes)| {
                to.json("e", &entry(**bytes));
            });
            assert_eq!(left.map_or(sizes.len(), |(at, _)| at), kept);
        }
    }
}
