//! The shapes of bodies, for the description of the API; the tests hold the answers against these.
#![expect(dead_code, reason = "only their description is used")]

use utoipa::{IntoResponses, ToSchema};

/// An event to append.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(rename_all = "camelCase", example = json!({"eventType": "opened", "payload": "{\"owner\":\"ada\"}"}))]
pub(super) struct NewEvent {
    /// What happened.
    #[schema(min_length = 1)]
    event_type: String,
    /// What it was about, in whichever form.
    #[schema(min_length = 1)]
    payload: String,
}

/// The first event of a new stream.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(rename_all = "camelCase")]
pub(super) struct InitialEvent {
    initial_event: NewEvent,
}

/// The next event of a stream.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NextEvent {
    event: NewEvent,
}

/// A stream, and where it is.
#[derive(ToSchema)]
#[schema(as = TypedStream, rename_all = "camelCase")]
pub(super) struct Stream {
    /// A UUID, in lower case.
    #[schema(format = "uuid")]
    stream_id: String,
    stream_type: String,
    /// The number of its last event, from 1.
    revision: u64,
    /// When its last event was appended, in microseconds.
    #[schema(format = DateTime)]
    updated_at: String,
}

/// One stream.
#[derive(ToSchema)]
#[schema(as = TypedStreamAnswer)]
pub(super) struct StreamAnswer {
    stream: Stream,
}

/// An event of a stream.
#[derive(ToSchema)]
#[schema(as = TypedEvent, rename_all = "camelCase")]
pub(super) struct Event {
    #[schema(format = "uuid")]
    stream_id: String,
    /// Its number in the stream, from 1, without gaps.
    revision: u64,
    /// Its `type`, or empty.
    event_type: String,
    /// Its `payload` where that is a text, otherwise the whole event as JSON.
    payload: String,
    /// When it was appended, in microseconds.
    #[schema(format = DateTime)]
    created_at: String,
}

/// A part of a stream.
#[derive(ToSchema)]
#[schema(as = TypedEventPage, rename_all = "camelCase")]
pub(super) struct EventPage {
    events: Vec<Event>,
    has_more: bool,
    /// The revision of the last event here; 0 when there is none.
    last_evaluated_revision: u64,
}

/// A part of a stream.
#[derive(ToSchema)]
#[schema(as = TypedEventsAnswer, rename_all = "camelCase")]
pub(super) struct EventsAnswer {
    event_page: EventPage,
}

/// A part of the streams of a type.
#[derive(ToSchema)]
#[schema(as = TypedStreamPage, rename_all = "camelCase")]
pub(super) struct StreamPage {
    streams: Vec<Stream>,
    has_more: bool,
    /// What the next call is to give; absent on the last page.
    #[schema(nullable = false)]
    next_page_key: Option<String>,
}

/// A part of the streams of a type.
#[derive(ToSchema)]
#[schema(as = TypedStreamsAnswer, rename_all = "camelCase")]
pub(super) struct StreamsAnswer {
    stream_page: StreamPage,
}

/// That the process runs.
#[derive(ToSchema)]
pub(super) struct Liveness {
    status: String,
    #[schema(format = DateTime)]
    at: String,
}

/// What went wrong.
#[derive(ToSchema)]
#[schema(as = TypedError, rename_all = "camelCase", example = json!({"message": "Bad Request",
    "requestId": "0c5b1d5c-9b5e-4d0a-8c53-7d0a6a5f3d11", "details": {"messages": {"event.payload": ["required"]}}}))]
pub(in super::super) struct Error {
    message: String,
    /// The server's log has the same.
    #[schema(format = "uuid")]
    request_id: String,
    /// With 400: what is wrong with the request. Otherwise null.
    details: Option<Details>,
}

/// What is wrong with a request.
#[derive(ToSchema)]
#[schema(as = TypedErrorDetails)]
pub(in super::super) struct Details {
    /// By member or parameter.
    messages: std::collections::BTreeMap<String, Vec<String>>,
}

/// What any call may fail with.
#[derive(IntoResponses)]
pub(super) enum Failures {
    /// `details` names the bad member.
    #[response(status = 400)]
    Bad(Error),
    /// The server has keys, and the call came without one of them.
    #[response(status = 401)]
    Unauthorized(Error),
    /// The key lacks the scope that the call needs.
    #[response(status = 403)]
    Forbidden(Error),
    /// No such stream, or it has another type.
    #[response(status = 404)]
    NotFound(Error),
    /// An append: the stream is not at the revision before.
    #[response(status = 409)]
    Conflict(Error),
    /// An append: the event is larger than the store keeps.
    #[response(status = 413)]
    TooLarge(Error),
    /// An append: the body is compressed.
    #[response(status = 415)]
    Compressed(Error),
    /// An append: the body did not arrive in time.
    #[response(status = 408)]
    Slow(Error),
    /// The server has no API keys, and the `Host` is no loopback name and none of its setting `hosts`.
    #[response(status = 421)]
    Misdirected(Error),
    /// A failure of the server's own; its log has the rest under the request's id.
    #[response(status = 500)]
    Internal(Error),
    /// The server is too busy, or can't reach the store; try again in a moment.
    #[response(status = 503)]
    Unavailable(Error),
}
