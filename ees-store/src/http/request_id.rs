//! Names requests, so that a caller's report and the server's log can be put together.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The caller's, if it is a UUID; otherwise one that nobody else has.
pub(super) fn uuid_of(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).and_then(|id| Uuid::try_parse(id.to_str().ok()?).ok());
    let id = given.unwrap_or_else(Uuid::new_v4).to_string();
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("none"))
}

/// Names for requests that come without one: the same random start for all of a process, then a number.
pub(super) struct RequestIds {
    process: String,
    count: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let mut process = Uuid::new_v4().simple().to_string();
        process.truncate(12);
        Self { process, count: AtomicU64::new(0) }
    }

    /// The caller's, if it is up to 128 visible ASCII characters.
    pub(super) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let given = headers
            .get(REQUEST_ID)
            .filter(|id| (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic));
        given.cloned().unwrap_or_else(|| {
            let count = self.count.fetch_add(1, Ordering::Relaxed);
            HeaderValue::try_from(format!("{}-{count}", self.process))
                .unwrap_or(HeaderValue::from_static("none"))
        })
    }
}
