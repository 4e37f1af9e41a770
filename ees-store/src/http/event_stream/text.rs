//! The text of Server-Sent Events.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;

/// An event, with the place at which its reader goes on.
pub(super) fn event(place: Option<u64>, name: &str, data: &str) -> String {
    let mut text = String::with_capacity(data.len() + 64);
    push_event(&mut text, place, name, data);
    text
}

/// Adds an event to others.
pub(super) fn push_event(text: &mut String, place: Option<u64>, name: &str, data: &str) {
    // Writing to a String does not fail.
    if let Some(place) = place {
        let _ = writeln!(text, "id: {place}");
    }
    let _ = write!(text, "event: {name}\ndata: {}\n\n", one_line(data));
}

/// Shows that the connection is alive, and moves the place of a reader who wants nothing of what came.
pub(super) fn heartbeat(place: Option<u64>) -> Bytes {
    let id = place.map(|place| format!("id: {place}\n")).unwrap_or_default();
    format!(": heartbeat\n{id}\n").into()
}

pub(super) fn comment(text: &str) -> Bytes {
    format!(": {text}\n\n").into()
}

/// JSON without line breaks. Within its strings there are none, so each is white space.
fn one_line(json: &str) -> Cow<'_, str> {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ").into() } else { json.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_three_lines_whatever_its_data() {
        assert_eq!(
            event(Some(7), "changeset", "{\"a\":\n\r 1}"),
            "id: 7\nevent: changeset\ndata: {\"a\":   1}\n\n"
        );
        assert_eq!(event(None, "end", "{}"), "event: end\ndata: {}\n\n");
        assert_eq!(heartbeat(Some(7)), ": heartbeat\nid: 7\n\n");
        assert_eq!(heartbeat(None), ": heartbeat\n\n");
    }
}
