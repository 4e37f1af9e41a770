//! `GET /streams/{stream_id}/changesets` and `/events`: reading one stream.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::super::answer::{Answer, events_within};
use super::super::app::App;
use super::super::event_stream::{self, At, OfStream, What};
use super::super::path::StreamPath;
use super::super::query::{Params, Whole};
use super::super::schema::{Error as ErrorAnswer, Include, StreamChangesets, StreamEvents};
use super::super::{Admission, Closing, Problem, paging};
use super::changesets::invalid_time;
use crate::{
    ChangesetId, ChangesetLog as _, Checkpoint, Error, EventId, StreamId, StreamPage, StreamPlace,
    StreamQuery, StreamRange, Timestamp, stream_place_since,
};

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
        ("since" = Option<String>, Query, format = DateTime, description = "Instead of `from` and `from_event`: begins with the \
            first changeset that was committed at this time, as in RFC 3339, or later. It is found by search.",
            example = "2026-11-21T09:30:00Z"),
        ("limit" = Option<u64>, Query, minimum = 1, description = "The maximum number of changesets, up to 1,000."),
        ("include" = Option<Include>, Query, description = "`position`: where and when each changeset was stored."),
        ("pp" = Option<String>, Query, description = "`true`: with line breaks. Anything else: without."),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "With `Accept: text/event-stream`: where to begin, instead of `from`."),
    ),
    responses(
        (status = 200, description = "The changesets, oldest first; none when the range is empty. With `Accept: \
            text/event-stream`: Server-Sent Events, `changeset` for each changeset, `following` once when there is no \
            more at present, and `end` after `to`; the `id` is the changeset to go on from. A stream that does not exist \
            may begin later.", content((StreamChangesets = "application/json"), (String = "text/event-stream"))),
        (status = 204, description = "An event stream that would go on after `to`: there is no more."),
        (status = 400, description = "`MISSING_STREAM_ID`, `INVALID_STREAM_ID`, `INVALID_CHANGESET_FILTERING_PARAMS`, \
            `INVALID_TIME`, `INVALID_LIMIT`, `INVALID_INCLUDE`.", body = ErrorAnswer),
        (status = 404, description = "`STREAM_NOT_FOUND`.", body = ErrorAnswer),
        (status = 406, description = "`NOT_ACCEPTABLE`: the server runs in a function and has no event streams.", body = ErrorAnswer),
    ),
)]
pub(super) async fn changesets(
    State(app): State<App>,
    StreamPath(stream_id): StreamPath,
    params: Params,
    headers: HeaderMap,
    admission: Admission,
    closing: Closing,
) -> Result<Response, Problem> {
    let followed = followed_changesets(&app, stream_id.clone(), &params, &headers);
    let read = read_changesets(&app, stream_id.clone(), &params);
    let answer = followed_or_read(&app, &headers, admission, closing, followed, read).await;
    answer.map_err(|problem| problem.about(stream_id.as_str()))
}

/// Follows a stream or reads it, as the caller accepts.
async fn followed_or_read(
    app: &App,
    headers: &HeaderMap,
    admission: Admission,
    closing: Closing,
    followed: impl Future<Output = Result<OfStream, Problem>>,
    read: impl Future<Output = Result<Response, Problem>>,
) -> Result<Response, Problem> {
    let answer = if event_stream::is_wanted(headers) {
        let source = followed.await?;
        let subscriber = admission.subscribes(&app.metrics)?;
        event_stream::answer(source, admission, closing, subscriber).await
    } else {
        read.await
    };
    answer.map(event_stream::vary)
}

/// Which changesets are wanted.
fn changesets_wanted(stream_id: StreamId, params: &Params) -> Result<StreamQuery, Problem> {
    let by_event = range(params, "from_event", "to_event", CHANGESET_PARAMS)?;
    let (from, to) = range(params, "from", "to", CHANGESET_PARAMS)?;
    match by_event {
        (None, None) => {
            let from = from.map_or(ChangesetId::NONE, |from| from.get().into());
            Ok(StreamQuery::changesets(stream_id, from, to.map(|to| to.get().into())))
        }
        (first, last) if from.is_none() && to.is_none() => {
            let first = first.map_or(EventId::NONE, |first| first.get().into());
            Ok(StreamQuery::events(stream_id, first, last.map(|last| last.get().into())))
        }
        _ => {
            let message = "Cannot use both changesets(from, to) and events(from_event, to_event) as a range.";
            Err(Problem::bad_request(CHANGESET_PARAMS, message))
        }
    }
}

/// The changesets that are wanted, and those to come.
async fn followed_changesets(
    app: &App,
    stream_id: StreamId,
    params: &Params,
    headers: &HeaderMap,
) -> Result<OfStream, Problem> {
    event_stream::check(params)?;
    let what = What::Changesets { positions: paging::positions(params)? };
    let StreamQuery { stream_id, range, .. } = changesets_wanted(stream_id, params)?;
    let time = since(params, &["from", "from_event"])?;
    let (from, to) = match range {
        StreamRange::Changesets { from, to } => (At::Changeset(from), to.map(At::Changeset)),
        StreamRange::Events { from, to } => (At::Event(from), to.map(At::Event)),
    };
    let from = match (event_stream::last_event_id(headers)?, time) {
        (Some(place), _) => At::Changeset(place.get().into()),
        (None, Some(time)) => At::Changeset(place_to_follow(app, &stream_id, time).await?.changeset_id),
        (None, None) => from,
    };
    Ok(OfStream::new(app.store.clone(), app.log.clone(), stream_id, what, from, to))
}

async fn read_changesets(app: &App, stream_id: StreamId, params: &Params) -> Result<Response, Problem> {
    let mut query = changesets_wanted(stream_id, params)?;
    let limit = paging::limit(params)?.unwrap_or(usize::MAX);
    let positions = paging::positions(params)?;
    let stream_id = query.stream_id.clone();
    if let Some(time) = since(params, &["from", "from_event"])? {
        let place = place_since(app, &stream_id, time).await?;
        query.range = match query.range {
            StreamRange::Changesets { to, .. } => StreamRange::Changesets { from: place.changeset_id, to },
            StreamRange::Events { to, .. } => StreamRange::Events { from: place.event_id, to },
        };
    }
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
        ("since" = Option<String>, Query, format = DateTime, description = "Instead of `from`: begins with the first event that was \
            committed at this time, as in RFC 3339, or later. It is found by search.", example = "2026-11-21T09:30:00Z"),
        ("limit" = Option<u64>, Query, minimum = 1, description = "The maximum number of events, up to 1,000."),
        ("pp" = Option<String>, Query, description = "`true`: with line breaks. Anything else: without."),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "With `Accept: text/event-stream`: where to begin, instead of `from`."),
    ),
    responses(
        (status = 200, description = "The events, oldest first; none when the range is empty. With `Accept: \
            text/event-stream`: Server-Sent Events, `event` for each event, `following` once when there is no more at \
            present, and `end` after `to`; the `id` is the event to go on from. A stream that does not exist may begin \
            later.", content((StreamEvents = "application/json"), (String = "text/event-stream"))),
        (status = 204, description = "An event stream that would go on after `to`: there is no more."),
        (status = 400, description = "`MISSING_STREAM_ID`, `INVALID_STREAM_ID`, `INVALID_EVENT_FILTERING_PARAMS`, \
            `INVALID_TIME`, `INVALID_LIMIT`.", body = ErrorAnswer),
        (status = 404, description = "`STREAM_NOT_FOUND`.", body = ErrorAnswer),
        (status = 406, description = "`NOT_ACCEPTABLE`: the server runs in a function and has no event streams.", body = ErrorAnswer),
    ),
)]
pub(super) async fn events(
    State(app): State<App>,
    StreamPath(stream_id): StreamPath,
    params: Params,
    headers: HeaderMap,
    admission: Admission,
    closing: Closing,
) -> Result<Response, Problem> {
    let followed = followed_events(&app, stream_id.clone(), &params, &headers);
    let read = read_events(&app, stream_id.clone(), &params);
    let answer = followed_or_read(&app, &headers, admission, closing, followed, read).await;
    answer.map_err(|problem| problem.about(stream_id.as_str()))
}

/// Which events are wanted.
fn events_wanted(params: &Params) -> Result<(EventId, Option<EventId>), Problem> {
    let (from, to) = range(params, "from", "to", EVENT_PARAMS)?;
    let from = from.map_or(EventId::NONE, |from| from.get().into());
    Ok((from, to.map(|to| EventId::new(to.get()))))
}

/// The events that are wanted, and those to come.
async fn followed_events(
    app: &App,
    stream_id: StreamId,
    params: &Params,
    headers: &HeaderMap,
) -> Result<OfStream, Problem> {
    event_stream::check(params)?;
    let (from, to) = events_wanted(params)?;
    let from = match (event_stream::last_event_id(headers)?, since(params, &["from"])?) {
        (Some(place), _) => place.get().into(),
        (None, Some(time)) => place_to_follow(app, &stream_id, time).await?.event_id,
        (None, None) => from,
    };
    let (from, to) = (At::Event(from), to.map(At::Event));
    Ok(OfStream::new(app.store.clone(), app.log.clone(), stream_id, What::Events, from, to))
}

async fn read_events(app: &App, stream_id: StreamId, params: &Params) -> Result<Response, Problem> {
    let (mut from, to) = events_wanted(params)?;
    let limit = paging::limit(params)?.unwrap_or(usize::MAX);
    if let Some(time) = since(params, &["from"])? {
        from = place_since(app, &stream_id, time).await?.event_id;
    }
    // Each changeset of the range holds an event of it, so as many changesets as events are enough.
    let query = StreamQuery::events(stream_id.clone(), from, to).with_limit(limit);
    let page = app.store.read_stream(query).await?;

    let mut events = page.changesets.iter().flat_map(|changeset| events_within(changeset, from, to));
    let mut answer = Answer::with_capacity(paging::capacity(&page.changesets)).measured_as(params.shape());
    answer.text("stream_id", stream_id.as_str());
    let left = answer.list("events", events.by_ref().take(limit), |entry, (id, data)| {
        entry.event(*id, *data);
    });
    let next = left.or_else(|| events.next()).map(|(id, _)| id);
    if let Some(next) = next.or_else(|| after(&page)) {
        answer.number("next", next.get());
    }
    Ok(answer.respond(StatusCode::OK))
}

/// The time that a read begins at, if one was given.
fn since(params: &Params, others: &[&str]) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = params.get("since") else { return Ok(None) };
    if let Some(other) = others.iter().find(|other| params.get(other).is_some()) {
        return Err(invalid_time(format_args!("give either `{other}` or `since`")));
    }
    text.parse().map(Some).map_err(invalid_time)
}

/// The place in a stream that a read begins at.
async fn place_since(app: &App, stream_id: &StreamId, time: Timestamp) -> Result<StreamPlace, Problem> {
    match stream_place_since(&*app.store, stream_id.clone(), time).await {
        Err(Error::InvalidRequest(why)) => Err(invalid_time(why)),
        found => Ok(found?),
    }
}

/// The same for an event stream. A stream that does not exist may begin later.
async fn place_to_follow(app: &App, stream_id: &StreamId, time: Timestamp) -> Result<StreamPlace, Problem> {
    match stream_place_since(&*app.store, stream_id.clone(), time).await {
        Err(Error::StreamNotFound(_)) => Ok(StreamPlace::START),
        Err(Error::InvalidRequest(why)) => Err(invalid_time(why)),
        found => Ok(found?),
    }
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
