//! The shapes of bodies, for the description of the API.
//!
//! Answers with events are put together from stored texts (see `answer`), and the tests hold them against
//! these.
#![expect(dead_code, reason = "only their description is used")]

use serde_json::Value;
use utoipa::ToSchema;

use crate::{IdempotencyKey, StreamId, StreamType};

/// What to append.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"events": [{"type": "deposited", "amount": 7}], "metadata": {"user": "ada"}}))]
pub(super) struct CommitRequest {
    /// At least one event, each any JSON. Every token is kept as it is written.
    #[schema(min_items = 1)]
    events: Vec<Value>,
    /// About the commit: who, why, from where.
    #[schema(value_type = Option<Object>, nullable = false)]
    metadata: Option<Value>,
}

/// What the commit became.
#[derive(ToSchema)]
#[schema(example = json!({"stream_id": "account/42", "changeset_id": 2}))]
pub(super) struct CommitAnswer {
    stream_id: String,
    /// The changeset's number in its stream, from 1.
    changeset_id: u64,
}

/// A line of a bulk commit: what to append, to which stream.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"stream_id": "account/42", "expected_last_changeset": 1, "idempotency_key": "7f3a",
    "events": [{"type": "deposited", "amount": 7}]}))]
pub(super) struct BulkCommitLine {
    stream_id: StreamId,
    /// The stream's last changeset; 0: it is new. With neither this nor `expected_last_event`, it must be new too.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    expected_last_changeset: Option<u64>,
    /// The stream's last event. Instead of `expected_last_changeset`: a line with both is not valid.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    expected_last_event: Option<u64>,
    /// 1 to 255 visible ASCII characters. The same commit with the same key is stored once, however often it is sent; keys
    /// are kept at least 7 days.
    idempotency_key: Option<IdempotencyKey>,
    /// The type of the stream, fixed by its first commit.
    stream_type: Option<StreamType>,
    /// The trace that the commit belongs to (W3C Trace Context), in place of that of the request; an invalid one is ignored.
    traceparent: Option<String>,
    /// What tracing systems add to `traceparent`.
    tracestate: Option<String>,
    /// At least one event, each any JSON. Every token is kept as it is written.
    #[schema(min_items = 1)]
    events: Vec<Value>,
    /// About the commit: who, why, from where.
    #[schema(value_type = Option<Object>, nullable = false)]
    metadata: Option<Value>,
}

/// What the line of a bulk commit became.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum BulkCommitAnswer {
    /// It is on disk.
    #[schema(title = "BulkCommitStored", example = json!({"changeset_id": 2, "checkpoint": 17}))]
    Stored {
        /// The changeset's number in its stream, from 1.
        changeset_id: u64,
        /// Its place in the global order, where the store knows it at once.
        #[schema(nullable = false)]
        checkpoint: Option<u64>,
    },
    /// It was refused.
    #[schema(title = "BulkCommitRefused", example = json!({"error": "OPTIMISTIC_CONCURRENCY_EXCEPTION",
        "message": "The expected last changeset (1) is outdated, review the changeset(s) appended after it."}))]
    Refused {
        /// A stable code.
        error: String,
        /// For people.
        message: String,
    },
}

/// A changeset of a known stream.
#[derive(ToSchema)]
#[schema(as = Changeset)]
#[schema(example = json!({"changeset_id": 2, "events": [{"type": "deposited", "amount": 7}], "metadata": {"user": "ada"}}))]
pub(super) struct Changeset {
    /// Its number in the stream, from 1, without gaps.
    changeset_id: u64,
    events: Vec<Value>,
    #[schema(value_type = Object)]
    metadata: Value,
    /// When it was committed, in microseconds. With `include=position`.
    #[schema(format = DateTime, nullable = false)]
    timestamp: Option<String>,
    /// The number of its first event in the stream. With `include=position`.
    #[schema(nullable = false)]
    first_event_id: Option<u64>,
    /// The stream's type, or null. With `include=position`.
    stream_type: Option<String>,
    /// The trace that its commit belongs to, if that came with one. With `include=position`.
    #[schema(nullable = false, example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    traceparent: Option<String>,
    /// What tracing systems added to `traceparent`. With `include=position`.
    #[schema(nullable = false)]
    tracestate: Option<String>,
    /// The number of its events, where `events` does not show it. With `include=position`.
    #[schema(nullable = false)]
    event_count: Option<u64>,
    /// Only of a changeset that can't be read: then `events` is empty.
    #[schema(nullable = false)]
    quarantined: Option<Quarantined>,
}

/// What the store holds of a changeset that can't be read, and why it can't be.
#[derive(ToSchema)]
#[schema(example = json!({"reason": "its `events` are not JSON: expected value at line 1 column 2", "events": "[NaN]",
    "metadata": "{}"}))]
pub(super) struct Quarantined {
    reason: String,
    /// The text of its events, as the store holds it.
    events: String,
    /// The text of its metadata, as the store holds it.
    metadata: String,
}

/// A part of a stream.
#[derive(ToSchema)]
pub(super) struct StreamChangesets {
    stream_id: String,
    changesets: Vec<Changeset>,
    /// Where the rest begins, when the answer was cut.
    #[schema(nullable = false)]
    next: Option<u64>,
    /// The checkpoint of the last changeset here, once it has one. With `include=position`.
    #[schema(nullable = false)]
    last_checkpoint: Option<u64>,
}

/// An event at its place in a stream.
#[derive(ToSchema)]
#[schema(example = json!({"id": 4, "data": {"type": "deposited", "amount": 7}}))]
pub(super) struct NumberedEvent {
    /// Its number in the stream, from 1, without gaps.
    id: u64,
    data: Value,
    /// Only of a changeset that can't be read: this entry stands for all of its events, and `data` is null.
    #[schema(nullable = false)]
    quarantined: Option<Quarantined>,
}

/// A part of a stream, event by event.
#[derive(ToSchema)]
pub(super) struct StreamEvents {
    stream_id: String,
    events: Vec<NumberedEvent>,
    /// Where the rest begins, when the answer was cut.
    #[schema(nullable = false)]
    next: Option<u64>,
}

/// A changeset at its place in the global order.
#[derive(ToSchema)]
pub(super) struct IndexedChangeset {
    stream_id: String,
    #[schema(inline)]
    #[serde(flatten)]
    changeset: Changeset,
    /// Its place in the order over all streams.
    checkpoint: u64,
}

/// A part of the log.
#[derive(ToSchema)]
pub(super) struct LogAnswer {
    /// The checkpoint that was asked for.
    checkpoint: u64,
    /// The limit that was applied.
    limit: u64,
    changesets: Vec<IndexedChangeset>,
    /// Where to go on.
    next_checkpoint: u64,
    /// The checkpoint after the newest changeset. With `include=position`.
    #[schema(nullable = false)]
    head: Option<u64>,
    /// The log's own name, made with it. With `include=position`.
    #[schema(format = "uuid", nullable = false)]
    log_id: Option<String>,
    /// Changes when the log could have been replaced by an older state of itself. With `include=position`.
    #[schema(format = "uuid", nullable = false)]
    incarnation: Option<String>,
}

/// A stream in the list of streams.
#[derive(ToSchema)]
#[schema(example = json!({"stream_id": "account/42", "stream_type": "account", "changesets": 2, "events": 3,
    "first_commit": "2026-11-21T09:30:00.000001Z", "last_commit": "2026-11-22T11:00:00.000000Z"}))]
pub(super) struct ListedStream {
    stream_id: String,
    /// The stream's type, or null.
    stream_type: Option<String>,
    /// The number of its changesets.
    changesets: u64,
    /// The number of its events.
    events: u64,
    /// When it began.
    #[schema(format = DateTime)]
    first_commit: String,
    /// When it was appended to last.
    #[schema(format = DateTime)]
    last_commit: String,
}

/// A part of the list of streams.
#[derive(ToSchema)]
pub(super) struct StreamList {
    streams: Vec<ListedStream>,
    /// What to give as `after` for the next page; absent on the last one.
    #[schema(nullable = false)]
    next: Option<String>,
    /// How far the list has read the log: what was committed at this checkpoint or later is not in it yet.
    checkpoint: u64,
    /// The checkpoint after the newest changeset.
    head: u64,
}

/// Why a request was refused.
#[derive(ToSchema)]
#[schema(example = json!({"error": "STREAM_NOT_FOUND", "message": "The specified stream(account/42) doesn't exist",
    "stream_id": "account/42"}))]
pub(super) struct Error {
    /// A stable code.
    error: String,
    /// For people.
    message: String,
    /// The stream, where known.
    #[schema(nullable = false)]
    stream_id: Option<String>,
}

/// Why a commit was refused.
#[derive(ToSchema)]
#[schema(example = json!({"error": "OPTIMISTIC_CONCURRENCY_EXCEPTION",
    "message": "The expected last changeset (1) is outdated, review the changeset(s) appended after it.",
    "stream_id": "account/42", "forthcoming_changesets": [{"changeset_id": 2, "events": [7], "metadata": {}}]}))]
pub(super) struct Conflict {
    error: String,
    message: String,
    stream_id: String,
    /// What was appended after the expected changeset or event, oldest first, at most 100.
    #[schema(nullable = false)]
    forthcoming_changesets: Option<Vec<Changeset>>,
    /// Where the rest begins, when the list was cut.
    #[schema(nullable = false)]
    next: Option<u64>,
}

/// The version of the server.
#[derive(ToSchema)]
#[schema(example = json!({"version": "0.0.1"}))]
pub(super) struct Version {
    version: String,
}

/// That the process runs.
#[derive(ToSchema)]
#[schema(example = json!({"status": "live"}))]
pub(super) struct Live {
    status: String,
}

/// What `include` asks for.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Include {
    Position,
}

/// What `order` asks for.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum StreamOrder {
    Id,
    Longest,
    Newest,
}

/// A failure of the server's own; its log has the rest under the same id.
#[derive(ToSchema)]
#[schema(example = json!({"error": "INTERNAL", "request_id": "6f1c2b9e04d7-42"}))]
pub(super) struct Internal {
    error: String,
    request_id: String,
}
