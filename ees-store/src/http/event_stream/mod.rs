//! Answers that go on: Server-Sent Events with what a read finds, and then with what arrives.
//!
//! A [`Source`] says what comes next: `of_log` and `of_stream`. Nothing is read before the connection takes it,
//! so a slow reader costs one page of memory.

mod of_log;
mod of_stream;
mod text;

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, stream};
use tokio::time::Instant;

pub(super) use of_log::OfLog;
pub(super) use of_stream::{At, OfStream, What};

use super::admission::Subscriber;
use super::query::{Params, Whole};
use super::{Admission, Closing, Problem, weights};
use crate::Result;

/// The media type.
pub(super) const EVENT_STREAM: &str = "text/event-stream";
/// After this time a browser connects again.
const RETRY: &str = "retry: 1000\n\n";
/// Bytes of changesets in one part at most, unless one changeset has more.
const PART_BYTES: usize = 256 * 1024;
/// Changesets in one part at most.
const PART_CHANGESETS: usize = 1_000;
/// The first pause after a read that failed; the next ones are longer.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells proxies to pass on each part at once.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What comes next of something that is read to its end and beyond.
pub(super) trait Source: Send + 'static {
    /// Reads on, without waiting for what is not there yet.
    ///
    /// Not called again after an error of a kind that stays, or after [`Next::End`].
    fn read(&mut self) -> impl Future<Output = Result<Next>> + Send;

    /// Waits until there may be more. It may complete early.
    fn arrival(&mut self) -> impl Future<Output = ()> + Send;

    /// Where a reader goes on who has read everything so far, as far as it is known.
    fn place(&self) -> Option<u64>;

    /// What the reader is told when the history ends, as a JSON object.
    fn following(&self) -> String;
}

/// What a source has read.
pub(super) enum Next {
    /// Events, as text.
    Events(String),
    /// Nothing that the reader wants; there is more to read.
    PassedOver,
    /// There is no more at present.
    Nothing,
    /// There will be no more: the range that was asked for is read.
    Done,
    /// The log may be another one now: the reader has to look where it is.
    Reopened,
}

/// Whether a caller wants an event stream: it names that type, and likes it more than JSON, or as much and lists
/// it first.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let types = weights::of(headers, ACCEPT);
    let find = |name: &str| types.iter().position(|(listed, _)| listed == name).map(|at| (at, types[at].1));
    let Some((at, liking)) = find(EVENT_STREAM).filter(|(_, liking)| *liking > 0.0) else { return false };
    match find("application/json") {
        Some((json_at, json)) => liking > json || (liking >= json && at < json_at),
        None => find("application/*").or_else(|| find("*/*")).is_none_or(|(_, json)| liking >= json),
    }
}

/// Says to caches that the answer depends on what the caller accepts.
pub(super) fn vary(mut response: Response) -> Response {
    response.headers_mut().append(VARY, HeaderValue::from_static("Accept"));
    response
}

/// The place from which the reader wants to go on, if it was here before. It counts more than the parameters.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<Whole>, Problem> {
    let mut given = headers.get_all(LAST_EVENT_ID).into_iter().filter(|value| !value.is_empty());
    let Some(value) = given.next() else { return Ok(None) };
    let whole = value.to_str().ok().and_then(Whole::parse).filter(|_| given.next().is_none());
    whole.map(Some).ok_or_else(|| {
        let why = "The header Last-Event-ID is invalid. Expected the `id` of an event of this stream.";
        Problem::bad_request("INVALID_HEADER", why)
    })
}

/// Refuses parameters that make no sense for an answer that goes on.
pub(super) fn check(params: &Params) -> Result<(), Problem> {
    if params.shape().escaped {
        let message =
            "This server answers with event streams nowhere: it runs in a function. Read with `wait`.";
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", message));
    }
    for (name, code) in [("wait", "INVALID_WAIT"), ("limit", "INVALID_LIMIT")] {
        if params.get(name).is_some() {
            let message = format!("An event stream waits by itself and has no end: leave out `{name}`.");
            return Err(Problem::bad_request(code, message));
        }
    }
    Ok(())
}

/// Answers with what a source has. The first part is read before, so that what is wrong is told by a status.
pub(super) async fn answer(
    mut source: impl Source,
    admission: Admission,
    closing: Closing,
    subscriber: Subscriber,
) -> Result<Response, Problem> {
    let first = source.read().await?;
    if matches!(first, Next::Done) {
        // A browser does not connect again after this status.
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let heartbeat = admission.limits().heartbeat;
    let events = EventStream {
        source,
        first: Some(first),
        is_following: false,
        has_begun: false,
        has_ended: false,
        heartbeat,
        heartbeat_due: Instant::now() + heartbeat,
        failures: 0,
        sending: None,
        admission,
        closing,
        _subscriber: subscriber,
    };
    let mut response = Response::new(Body::from_stream(stream::unfold(events, EventStream::next)));
    for (name, value) in [(CONTENT_TYPE, EVENT_STREAM), (CACHE_CONTROL, "no-store"), (BUFFERING, "no")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// The body of such an answer.
struct EventStream<S> {
    source: S,
    /// What was read before the answer began.
    first: Option<Next>,
    has_begun: bool,
    is_following: bool,
    has_ended: bool,
    heartbeat: Duration,
    heartbeat_due: Instant,
    failures: u32,
    /// A part that waits for room among those that are sent.
    sending: Option<BoxFuture<'static, Bytes>>,
    admission: Admission,
    closing: Closing,
    /// Its place among the readers of event streams.
    _subscriber: Subscriber,
}

type Part = Result<Bytes, Infallible>;

impl<S: Source> EventStream<S> {
    /// The next part, or none at the end. Dropped when the reader goes away.
    async fn next(mut self) -> Option<(Part, Self)> {
        if self.has_ended {
            return None;
        }
        if !self.has_begun {
            self.has_begun = true;
            return Some((Ok(Bytes::from_static(RETRY.as_bytes())), self));
        }
        let closing = self.closing.clone();
        tokio::select! {
            biased;
            // The reader connects again, to another server.
            () = closing.closed() => None,
            part = self.part() => {
                self.heartbeat_due = Instant::now() + self.heartbeat;
                Some((Ok(part?), self))
            }
        }
    }

    async fn part(&mut self) -> Option<Bytes> {
        loop {
            if let Some(sending) = &mut self.sending {
                let Ok(part) = tokio::time::timeout_at(self.heartbeat_due, sending).await else {
                    // Without a place: the part that waits comes before it.
                    return Some(text::comment("waiting for room to send the next part"));
                };
                self.sending = None;
                return Some(part);
            }
            let read = match self.first.take() {
                Some(first) => Ok(first),
                None => self.source.read().await,
            };
            let is_late = Instant::now() >= self.heartbeat_due;
            match read {
                Ok(next) => {
                    self.failures = 0;
                    match next {
                        Next::Events(text) => {
                            let admission = self.admission.clone();
                            let sending = async move { admission.sending(text.into()).await };
                            self.sending = Some(sending.boxed());
                        }
                        Next::PassedOver if is_late => return Some(text::heartbeat(self.source.place())),
                        Next::PassedOver => {}
                        Next::Nothing if !self.is_following => {
                            self.is_following = true;
                            let data = self.source.following();
                            return Some(text::event(self.source.place(), "following", &data).into());
                        }
                        Next::Nothing => {
                            let arrival = tokio::time::timeout_at(self.heartbeat_due, self.source.arrival());
                            if arrival.await.is_err() {
                                return Some(text::heartbeat(self.source.place()));
                            }
                        }
                        Next::Done => {
                            self.has_ended = true;
                            return Some(text::event(self.source.place(), "end", "{}").into());
                        }
                        Next::Reopened => {
                            self.has_ended = true;
                            return Some(text::comment("the log was opened anew; connect again"));
                        }
                    }
                }
                Err(error) if error.is_transient() => {
                    if self.failures == 0 {
                        tracing::warn!(%error, "failed to read for an event stream; will retry");
                    }
                    if is_late {
                        return Some(text::comment("the store can't be read at the moment"));
                    }
                    let pause = PAUSE_MIN.saturating_mul(1 << self.failures.min(10)).min(PAUSE_MAX);
                    self.failures = self.failures.saturating_add(1);
                    tokio::time::sleep(pause).await;
                }
                Err(error) => {
                    tracing::error!(%error, place = self.source.place(), "an event stream ended");
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_types_the_one_that_is_liked_more_or_listed_first_is_wanted() {
        let wanted = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            is_wanted(&headers)
        };
        for accept in [
            "text/event-stream",
            "Text/Event-Stream; q=0.5",
            "text/html, text/event-stream, application/json",
            "application/json;q=0.5, text/event-stream",
            "text/event-stream, */*",
            "*/*;q=0.1, text/event-stream; q=0.2",
        ] {
            assert!(wanted(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/*",
            "application/json, text/event-stream",
            "text/event-stream;q=0",
            "text/event-stream;q=0.0",
            "text/event-stream;q=0.4, application/json",
            "text/event-stream;q=0.4, */*",
            "text/event-stream;q=much",
            "text/event",
        ] {
            assert!(!wanted(accept), "{accept}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }
}
