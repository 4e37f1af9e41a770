//! What a client is answered, by a server or by whatever stands before it.

use axum::http::{HeaderMap, HeaderValue, StatusCode};

use super::parts;
use crate::client::problem::Problem;
use crate::client::wire::{OfLog, OfStream};
use crate::{Checkpoint, Commit, Error, Events, Expectation};

/// Any answer becomes an error that says something. The input: a status, two headers and a body, with a byte 0xFF
/// between them.
pub fn problem(data: &[u8]) {
    let [status, retry_after, link, body] = parts(data);
    let status =
        status.iter().take(3).fold(0, |status, digit| status * 10 + u16::from(digit.wrapping_sub(b'0') % 10));
    let Ok(status) = StatusCode::from_u16(status) else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in [("retry-after", retry_after), ("link", link)] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    let read = || Problem::read("http://host", "/streams/a%2Fb?x=y", status, &headers, body);
    let error = read().into_error();
    assert!(!error.to_string().is_empty());
    if status == StatusCode::UNAUTHORIZED {
        assert!(matches!(error, Error::Unauthorized | Error::StreamNotFound(_)), "{error:?}");
    }
    let Ok(events) = Events::parse("[1]") else { return };
    let Ok(stream_id) = "a/b".parse() else { return };
    let commit = Commit::new(stream_id, Expectation::NewStream, events);
    let told = read().into_commit_call_error(&commit);
    assert!(!told.error.to_string().is_empty());
}

/// Any text is a page, or it is not; a page has no more than the answer has.
pub fn page(data: &[u8]) {
    let Ok(stream_id) = "a".parse() else { return };
    if let Ok(read) = serde_json::from_slice::<OfStream<'_>>(data)
        && let Ok(page) = read.page(&stream_id)
    {
        for changeset in &page.changesets {
            assert!(changeset.stream_id == stream_id && changeset.size_bytes() <= data.len());
            assert!(changeset.last_event_id().next() >= changeset.first_event_id);
        }
    }
    if let Ok(read) = serde_json::from_slice::<OfLog<'_>>(data)
        && let Ok(page) = read.page(Checkpoint::START)
    {
        assert!(page.changesets.iter().map(|entry| entry.size_bytes()).sum::<usize>() <= data.len());
    }
}
