//! `GET /streams/{stream_id}/changesets` and `/events`: reading one stream.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::answer::{Answer, events_within, held};
use super::super::app::App;
use super::super::path::StreamPath;
use super::super::query::{Params, Whole};
use super::super::schema::{Error as ErrorAnswer, Include, StreamChangesets, StreamEvents};
use super::super::{Problem, paging};
use crate::{ChangesetId, Checkpoint, EventId, StreamId, StreamPage, StreamQuery};

const CHANGESET_PARAMS: &str = "INVALID_CHANGESET_FILTERING_PARAMS";
const EVENT_PARAMS: &str = "INVALID_EVENT_FILTERING_PARAMS";

/// Read a stream's changesets.
///
/// Without `limit` all of them come, as far as they fit an answer of 4 MiB: the rest is where `next` says.
#[utoipa::path(
    get, path = "/streams/{stream_id}/changesets", tag = "read", operation_id = "stream_changesets",
    params(
        ("stream_id" = StreamId, Path, description = "The stream, percent-encoded.", example = "account/42"),
        ("from" = Option<u64>, Query, description = "The first changeset; 0 or absent: from the beginning."),
        ("to" = Option<u64>, Query, description = "The last changeset; 0 or absent: to the end."),
        ("from_event" = Option<u64>, Query, description = "Instead of `from` and `to`: the changesets that hold an event from \
            this one on, whole."),
        ("to_event" = Option<u64>, Query, description = "Instead of `from` and `to`: up to the changeset that \
            holds this event."),
        ("limit" = Option<u64>, Query, minimum = 1, description = "The maximum number of changesets, up to 1,000."),
        ("include" = Option<Include>, Query, description = "`position`: where and when each changeset was stored."),
        ("pp" = Option<String>, Query, description = "`true`: with line breaks. Anything else: without."),
    ),
    responses(
        (status = 200, description = "The changesets, oldest first; none when the range is empty.",
            body = StreamChangesets),
        (status = 400, description = "`MISSING_STREAM_ID`, `INVALID_STREAM_ID`, `INVALID_CHANGESET_FILTERING_PARAMS`, \
            `INVALID_LIMIT`, `INVALID_INCLUDE`.", body = ErrorAnswer),
        (status = 404, description = "`STREAM_NOT_FOUND`.", body = ErrorAnswer),
    ),
)]
pub(super) async fn changesets(
    State(app): State<App>,
    StreamPath(stream_id): StreamPath,
    params: Params,
) -> Result<Response, Problem> {
    let about = stream_id.clone();
    read_changesets(&app, stream_id, &params).await.map_err(|problem| problem.about(about.as_str()))
}

async fn read_changesets(app: &App, stream_id: StreamId, params: &Params) -> Result<Response, Problem> {
    let by_event = range(params, "from_event", "to_event", CHANGESET_PARAMS)?;
    let (from, to) = range(params, "from", "to", CHANGESET_PARAMS)?;
    let query = match by_event {
        (None, None) => {
            let from = from.map_or(ChangesetId::NONE, |from| from.get().into());
            StreamQuery::changesets(stream_id, from, to.map(|to| to.get().into()))
        }
        (first, last) if from.is_none() && to.is_none() => {
            let first = first.map_or(EventId::NONE, |first| first.get().into());
            StreamQuery::events(stream_id, first, last.map(|last| last.get().into()))
        }
        _ => {
            let message = "Cannot use both changesets(from, to) and events(from_event, to_event) as a range.";
            return Err(Problem::bad_request(CHANGESET_PARAMS, message));
        }
    };
    let limit = paging::limit(params)?.unwrap_or(usize::MAX);
    let positions = paging::positions(params)?;
    let stream_id = query.stream_id.clone();
    let page = app.store.read_stream(query.with_limit(limit)).await?;

    let mut answer = Answer::with_capacity(paging::capacity(&page.changesets)).measured_as(params.shape());
    answer.text("stream_id", stream_id.as_str());
    let next = answer.stream_page("changesets", &page, positions);
    if let Some(next) = next {
        answer.number("next", next.get());
    }
    if positions && let Some(checkpoint) = last_checkpoint(app, &page, next).await? {
        answer.number("last_checkpoint", checkpoint.get());
    }
    Ok(answer.respond(StatusCode::OK))
}

/// Read a stream's events.
///
/// One entry an event, cut exactly at `from` and `to`, even inside a changeset.
#[utoipa::path(
    get, path = "/streams/{stream_id}/events", tag = "read", operation_id = "stream_events",
    params(
        ("stream_id" = StreamId, Path, description = "The stream, percent-encoded.", example = "account/42"),
        ("from" = Option<u64>, Query, description = "The first event; 0 or absent: from the beginning."),
        ("to" = Option<u64>, Query, description = "The last event; 0 or absent: to the end."),
        ("limit" = Option<u64>, Query, minimum = 1, description = "The maximum number of events, up to 1,000."),
        ("pp" = Option<String>, Query, description = "`true`: with line breaks. Anything else: without."),
    ),
    responses(
        (status = 200, description = "The events, oldest first; none when the range is empty.", body = StreamEvents),
        (status = 400, description = "`MISSING_STREAM_ID`, `INVALID_STREAM_ID`, `INVALID_EVENT_FILTERING_PARAMS`, \
            `INVALID_LIMIT`.", body = ErrorAnswer),
        (status = 404, description = "`STREAM_NOT_FOUND`.", body = ErrorAnswer),
    ),
)]
pub(super) async fn events(
    State(app): State<App>,
    StreamPath(stream_id): StreamPath,
    params: Params,
) -> Result<Response, Problem> {
    let about = stream_id.clone();
    read_events(&app, stream_id, &params).await.map_err(|problem| problem.about(about.as_str()))
}

async fn read_events(app: &App, stream_id: StreamId, params: &Params) -> Result<Response, Problem> {
    let (from, to) = range(params, "from", "to", EVENT_PARAMS)?;
    let from = from.map_or(EventId::NONE, |from| from.get().into());
    let to = to.map(|to| EventId::new(to.get()));
    let limit = paging::limit(params)?.unwrap_or(usize::MAX);
    // Each changeset of the range holds an event of it, so as many changesets as events are enough.
    let query = StreamQuery::events(stream_id.clone(), from, to).with_limit(limit);
    let page = app.store.read_stream(query).await?;

    let mut events = page.changesets.iter().flat_map(|changeset| events_within(changeset, from, to));
    let mut answer = Answer::with_capacity(paging::capacity(&page.changesets)).measured_as(params.shape());
    answer.text("stream_id", stream_id.as_str());
    let left = answer.list("events", events.by_ref().take(limit), |entry, (id, data)| {
        entry.number("id", id.get());
        match data {
            Ok(data) => entry.json("data", data),
            Err(quarantined) => entry.json("data", "null").json("quarantined", &held(quarantined)),
        };
    });
    let next = left.or_else(|| events.next()).map(|(id, _)| id);
    if let Some(next) = next.or_else(|| after(&page)) {
        answer.number("next", next.get());
    }
    Ok(answer.respond(StatusCode::OK))
}

/// Both ends of a range; 0 and nothing are no end.
fn range(
    params: &Params,
    from: &str,
    to: &str,
    code: &'static str,
) -> Result<(Option<Whole>, Option<Whole>), Problem> {
    let end = |name| match params.whole(name) {
        Ok(end) => Ok(end.filter(|end| !end.is_zero())),
        Err(_) => Err(Problem::bad_request(
            code,
            format!("The filtering params({from}, {to}) have to be positive integer values"),
        )),
    };
    match (end(from)?, end(to)?) {
        (Some(low), Some(high)) if low > high => {
            let what = "The higher boundary cannot be lower than the lower boundary";
            Err(Problem::bad_request(code, format!("{what}: {low}({from}) > {high}({to})")))
        }
        ends => Ok(ends),
    }
}

/// The event that the rest begins with, when the store had more than a page.
fn after(page: &StreamPage) -> Option<EventId> {
    page.next.and(page.changesets.last()).map(|changeset| changeset.last_event_id().next())
}

/// The checkpoint of the last changeset before `next`, once it has one.
async fn last_checkpoint(
    app: &App,
    page: &StreamPage,
    next: Option<ChangesetId>,
) -> Result<Option<Checkpoint>, Problem> {
    let given =
        page.changesets.iter().take_while(|changeset| next.is_none_or(|next| changeset.changeset_id < next));
    match given.last() {
        Some(last) => Ok(app.log.locate(&last.stream_id, last.changeset_id).await?),
        None => Ok(None),
    }
}
