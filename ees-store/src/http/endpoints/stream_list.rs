//! `GET /stream-list`: the streams by id, by type, the longest or the newest first.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::answer::Answer;
use super::super::app::App;
use super::super::query::Params;
use super::super::schema::{Error as ErrorAnswer, StreamList, StreamOrder};
use super::super::{Problem, paging};
use crate::{
    ChangesetLog as _, Checkpoint, ListedStream, StreamId, StreamListOrder, StreamListPage, StreamListQuery,
    StreamType,
};

/// Streams of a page when no limit is given.
const LIMIT: usize = 100;

/// List streams.
///
/// The read model of the stream catalogue, which follows the log: `checkpoint` tells how far it got. Go on with
/// `after=` the `next` of the page before, and the same other parameters. A stream that grows while you read the
/// longest ones may come twice or not at all.
#[utoipa::path(
    get, path = "/stream-list", tag = "read", operation_id = "stream_list",
    params(
        ("prefix" = Option<StreamId>, Query, description = "Only streams whose id begins with this; only in the order `id`."),
        ("stream_type" = Option<StreamType>, Query, description = "Only streams of this type."),
        ("order" = Option<StreamOrder>, Query, description = "`id`: by id, in the order of its bytes. `longest`: the most \
            changesets first. `newest`: those that began last first. Default: `id`."),
        ("after" = Option<String>, Query, description = "Where to go on: the `next` of the page before."),
        ("limit" = Option<u64>, Query, minimum = 1, description = "The maximum number of streams, up to 1,000. Default: 100."),
        ("pp" = Option<String>, Query, description = "`true`: with line breaks. Anything else: without."),
    ),
    responses(
        (status = 200, description = "A page of the list. It may have fewer streams than the limit, or none, and still \
            have a `next`.", body = StreamList),
        (status = 400, description = "`INVALID_PREFIX`, `INVALID_FILTER`, `INVALID_ORDER`, `INVALID_AFTER`, `INVALID_LIMIT`; \
            `INVALID_REQUEST`: the read model is in DynamoDB, which has the order `id` only.", body = ErrorAnswer),
        (status = 404, description = "`STREAM_LIST_NOT_FOUND`: the server runs no stream catalogue.", body = ErrorAnswer),
        (status = 503, description = "`STREAM_LIST_NOT_READY`: the stream catalogue is being built; `GET \
            /projections/stream_catalogue` says how far it is. `OVERLOADED`, `UNAVAILABLE`: as for every call.", body = ErrorAnswer),
    ),
)]
pub(super) async fn stream_list(State(app): State<App>, params: Params) -> Result<Response, Problem> {
    let query = query(&params)?;
    let source = app.stream_list.as_ref().ok_or_else(|| {
        let message =
            "This server runs no stream catalogue, so it has no list of streams. `ees serve` runs one.";
        Problem::new(StatusCode::NOT_FOUND, "STREAM_LIST_NOT_FOUND", message)
    })?;
    let order = query.order;
    let page = source.streams(query).await?.ok_or_else(|| {
        let message = "The list of streams is being built. Try again in a moment; GET \
            /projections/stream_catalogue says how far it is.";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "STREAM_LIST_NOT_READY", message)
    })?;
    // Read after the page, so that it is never before the page's checkpoint.
    let head = app.log.head().await?.checkpoint;
    Ok(answer(&params, order, &page, head))
}

fn query(params: &Params) -> Result<StreamListQuery, Problem> {
    let prefix = params.get("prefix").unwrap_or_default();
    if prefix.len() > StreamId::BYTES_MAX || prefix.chars().any(char::is_control) {
        let message = "No stream id begins with this `prefix`: it is longer than 1,024 bytes, or holds control characters.";
        return Err(Problem::bad_request("INVALID_PREFIX", message));
    }
    let stream_type = params.get("stream_type").map(StreamType::new).transpose();
    let stream_type = stream_type.map_err(|why| Problem::bad_request("INVALID_FILTER", why.to_string()))?;
    let invalid_order = |message: String| Problem::bad_request("INVALID_ORDER", message);
    let order = match params.get("order") {
        None => StreamListOrder::default(),
        Some(text) => {
            StreamListOrder::ALL.into_iter().find(|order| order.name() == text).ok_or_else(|| {
                invalid_order(format!("\"{text}\" is an invalid order. Expected id, longest or newest."))
            })?
        }
    };
    if order != StreamListOrder::Id && !prefix.is_empty() {
        let message = "With a prefix, streams come in the order of their ids. Leave out `order` or `prefix`.";
        return Err(invalid_order(message.to_owned()));
    }
    let after = params.get("after").map(|text| match text.parse() {
        Ok(place) if !text.contains('\0') => Ok(place),
        _ => {
            let message = format!("\"{text}\" {}.", crate::InvalidPlace);
            Err(Problem::bad_request("INVALID_AFTER", message))
        }
    });
    let limit = paging::limit(params)?.unwrap_or(LIMIT);
    Ok(StreamListQuery { prefix: prefix.to_owned(), stream_type, order, after: after.transpose()?, limit })
}

fn answer(params: &Params, order: StreamListOrder, page: &StreamListPage, head: Checkpoint) -> Response {
    let mut answer = Answer::new().measured_as(params.shape());
    let left =
        answer.list("streams", page.streams.iter().enumerate(), |entry, (_, stream)| write(entry, stream));
    let next = match left {
        // The list never leaves out its first entry.
        Some((at, _)) => at.checked_sub(1).and_then(|last| page.streams.get(last)).map(|it| it.place(order)),
        None => page.next.clone(),
    };
    if let Some(next) = next {
        answer.text("next", &next.to_string());
    }
    answer.number("checkpoint", page.checkpoint.get()).number("head", head.get());
    answer.respond(StatusCode::OK)
}

fn write(entry: &mut Answer, stream: &ListedStream) {
    entry.text("stream_id", &stream.stream_id);
    match &stream.stream_type {
        Some(stream_type) => entry.text("stream_type", stream_type.as_str()),
        None => entry.json("stream_type", "null"),
    };
    entry.number("changesets", stream.changesets).number("events", stream.events);
    entry.text("first_commit", &stream.first_commit.to_string());
    entry.text("last_commit", &stream.last_commit.to_string());
}
