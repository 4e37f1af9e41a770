//! `GET /typed/streams/{streamType}`: the streams of a type, by the time of their last event.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use uuid::Uuid;

use super::super::answer::Answer;
use super::super::app::App;
use super::super::query::Params;
use super::super::{Problem, paging};
use super::error_response::bad;
use super::path::TypePath;
use super::schema::{Failures, StreamsAnswer};
use super::{page_key, stream};
use crate::{StreamType, Timestamp, TypePage, TypeQuery, TypedStream};

/// The maximum number of pages to skip that have no stream of this contract: the next call continues after
/// them.
const PAGES_MAX: usize = 10;

/// List the streams of a type.
///
/// Oldest update first. A stream that is updated while pages are read may come twice; none is missed.
#[utoipa::path(
    get, path = "/typed/streams/{stream_type}", tag = "typed", operation_id = "typed_streams",
    params(
        ("stream_type" = StreamType, Path, description = "The type, percent-encoded.", example = "account"),
        ("updated-after" = Option<String>, Query, format = DateTime, description = "RFC 3339: only streams that were updated then or later."),
        ("nextPageKey" = Option<String>, Query, pattern = r"^-?[0-9]+\.([0-9a-f]{2})+$", description = "The key that the page before has ended with."),
        ("stream-next-page-key" = Option<String>, Query, pattern = r"^-?[0-9]+\.([0-9a-f]{2})+$", description = "The same, under its other name."),
        ("limit" = Option<u64>, Query, minimum = 1, description = "The maximum number of streams, up to 1,000."),
    ),
    responses((status = 200, description = "The streams.", body = StreamsAnswer), Failures),
)]
pub(super) async fn list(
    State(app): State<App>,
    TypePath(stream_type): TypePath,
    params: Params,
) -> Result<Response, Problem> {
    let mut query = TypeQuery::all(stream_type.clone()).with_limit(paging::LIMIT_MAX);
    if let Some(limit) = paging::limit(&params)? {
        query = query.with_limit(limit);
    }
    if let Some(moment) = params.get("updated-after") {
        let moment = moment.parse::<Timestamp>();
        query = query.updated_from(moment.map_err(|why| bad("updated-after", format!("is invalid: {why}")))?);
    }
    for name in ["stream-next-page-key", "nextPageKey"] {
        if let Some(key) = params.get(name) {
            query = query.after(page_key::read(key).ok_or_else(|| bad(name, "is none that was given here"))?);
        }
    }
    let page = page(&app, query).await?;

    let mut answer = Answer::new();
    answer.list("streams", &page.streams, |entry, TypedStream { stream_id, tail }| {
        stream::write(entry, stream_id, &stream_type, tail);
    });
    answer.json("hasMore", if page.next.is_some() { "true" } else { "false" });
    if let Some(next) = &page.next {
        answer.text("nextPageKey", &page_key::of(next));
    }
    let mut whole = Answer::new();
    whole.json("streamPage", &answer.into_text());
    Ok(whole.respond(StatusCode::OK))
}

/// A page that has something, if there is something: streams whose ids are no UUIDs are none of this
/// contract's.
async fn page(app: &App, mut query: TypeQuery) -> Result<TypePage, Problem> {
    let mut pages = 1;
    loop {
        let mut page = app.store.read_type(query.clone()).await?;
        page.streams.retain(|stream| is_uuid(stream.stream_id.as_str()));
        match page.next {
            Some(next) if page.streams.is_empty() && pages < PAGES_MAX => query = query.after(next),
            _ => return Ok(page),
        }
        pages += 1;
    }
}

/// As it is written here: another way of writing one is another stream's id.
fn is_uuid(stream_id: &str) -> bool {
    Uuid::try_parse(stream_id).is_ok_and(|uuid| uuid.to_string() == stream_id)
}
