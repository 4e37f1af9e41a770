//! Answers, put together from stored texts: nothing is parsed again, nothing is copied twice.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use super::query::Params;
use crate::{Changeset, ChangesetId, StreamPage, json};

/// Bytes of an answer with a list: what does not fit is left for the next call.
pub(super) const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Room for the members that follow a list.
const TAIL_BYTES: usize = 512;

/// How deep an entry of a list stands.
const LIST_DEPTH: usize = 2;

/// A JSON object in the making. Member names are our own, and need no escaping.
pub(super) struct Answer {
    text: String,
    /// Whether it will be indented on its way out.
    pretty: bool,
}

impl Answer {
    pub(super) fn new() -> Self {
        Self::with_capacity(128)
    }

    /// With room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self { text, pretty: false }
    }

    /// Measured as it will be once it is indented, if it will be.
    pub(super) fn measured_for(self, params: &Params) -> Self {
        Self { pretty: params.wants_pretty(), ..self }
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

    /// A list: an object for each entry that `write` fills, as long as they fit. Returns the first entry that did not.
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
        let mut indentation = 0;
        let mut left = None;
        for entry in entries {
            let before = self.text.len();
            self.separate();
            self.text.push('{');
            write(self, &entry);
            self.text.push('}');
            if self.pretty {
                let entry = &self.text[before..];
                indentation += json::indented_len(entry, LIST_DEPTH) - entry.len();
            }
            if self.text.len() + indentation + TAIL_BYTES > BYTES_MAX && before > first {
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
        self.json("events", changeset.events.as_json().as_str());
        self.json("metadata", changeset.metadata.as_str());
        if positions {
            self.text("timestamp", &changeset.timestamp.to_string());
            self.number("first_event_id", changeset.first_event_id.get());
            match &changeset.stream_type {
                Some(stream_type) => self.text("stream_type", stream_type.as_str()),
                None => self.json("stream_type", "null"),
            };
        }
    }

    /// Answers with the object.
    pub(super) fn respond(mut self, status: StatusCode) -> Response {
        self.text.push('}');
        json_response(status, self.text)
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
