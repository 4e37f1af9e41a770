//! `GET /typed/streams/{streamType}/{streamId}/events`: a stream, event by event.

use std::borrow::Cow;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::answer::{Answer, events_within, held};
use super::super::app::App;
use super::super::query::{Params, Whole};
use super::super::{Problem, paging};
use super::error_response::{bad, no_such_stream};
use super::path::StreamPath;
use super::schema::{EventsAnswer, Failures};
use crate::{Error, EventId, Quarantined, StreamQuery, StreamType, Timestamp, json};

/// Read a stream's events.
///
/// Whatever has been committed to the stream shows, also what was not committed here: the revision is the
/// event's number in its stream.
#[utoipa::path(
    get, path = "/typed/streams/{stream_type}/{stream_id}/events", tag = "typed", operation_id = "typed_events",
    params(
        ("stream_type" = StreamType, Path, description = "The type, percent-encoded.", example = "account"),
        ("stream_id" = String, Path, format = "uuid", description = "The stream's UUID."),
        ("after-revision" = Option<u64>, Query, description = "Only later events; 0 or absent: from the beginning."),
        ("limit" = Option<u64>, Query, minimum = 1, description = "The maximum number of events, up to 1,000."),
    ),
    responses((status = 200, description = "The events, oldest first.", body = EventsAnswer), Failures),
)]
pub(super) async fn events(
    State(app): State<App>,
    StreamPath(stream_type, stream_id): StreamPath,
    params: Params,
) -> Result<Response, Problem> {
    let after = params.whole("after-revision");
    let after = after.map_err(|_| bad("after-revision", "must be a whole number"))?;
    let after = EventId::new(after.as_ref().map_or(0, Whole::get));
    let limit = paging::limit(&params)?.unwrap_or(paging::LIMIT_MAX);
    // Each changeset of the range holds an event of it, so as many changesets as events are enough.
    let query = StreamQuery::events(stream_id.clone(), after.next(), None).with_limit(limit);
    let page = match app.store.read_stream(query).await {
        Err(Error::StreamNotFound(_)) => return Err(no_such_stream()),
        read => read?,
    };
    let known_type = match page.changesets.first() {
        Some(first) => first.stream_type.clone(),
        None => app.store.tail(&stream_id).await?.stream_type,
    };
    if known_type.as_ref() != Some(&stream_type) {
        return Err(no_such_stream());
    }

    let mut events = page.changesets.iter().flat_map(|changeset| {
        let events = events_within(changeset, after.next(), None);
        events.map(move |(revision, event)| (revision, event, changeset.timestamp))
    });
    let mut last = None;
    let capacity = paging::capacity(&page.changesets);
    let mut answer = Answer::with_capacity(capacity).measured_as(params.shape());
    let wanted = events.by_ref().take(limit).inspect(|(revision, ..)| last = Some(*revision));
    let left = answer.list("events", wanted, |entry, (revision, event, created_at)| {
        write_event(entry, stream_id.as_str(), *revision, *event, *created_at);
    });
    // What was left is read, and not given.
    let last = match &left {
        Some((revision, ..)) => EventId::new(revision.get() - 1),
        None => last.unwrap_or(EventId::NONE),
    };
    let has_more = left.is_some() || events.next().is_some() || page.next.is_some();
    answer.json("hasMore", if has_more { "true" } else { "false" });
    answer.number("lastEvaluatedRevision", last.get());
    let mut whole = Answer::with_capacity(capacity);
    whole.json("eventPage", &answer.into_text());
    Ok(whole.respond(StatusCode::OK))
}

fn write_event(
    entry: &mut Answer,
    stream_id: &str,
    revision: EventId,
    event: Result<&str, &Quarantined>,
    created_at: Timestamp,
) {
    // A reader that does not know this type of event must not go on as if there was none.
    let quarantined =
        event.err().map(|it| format!(r#"{{"type":"quarantined","payload":{}}}"#, quoted(&held(it))));
    let event = quarantined.as_deref().or(event.ok()).unwrap_or_default();
    // Texts are passed on as they were written, escapes and all.
    let text = |name| json::member(event, name).filter(|member| member.starts_with('"'));
    let payload = text("payload").map_or_else(|| Cow::Owned(quoted(event)), Cow::Borrowed);
    entry.text("streamId", stream_id).number("revision", revision.get());
    entry.json("eventType", text("type").unwrap_or("\"\"")).json("payload", &payload);
    entry.text("createdAt", &created_at.to_string());
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
