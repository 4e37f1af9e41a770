//! `GET /changesets`: reading everything in global order.

use std::fmt::Display;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use super::super::answer::Answer;
use super::super::app::App;
use super::super::event_stream::{self, OfLog};
use super::super::query::{Params, Whole, seconds};
use super::super::schema::{Error as ErrorAnswer, Include, LogAnswer};
use super::super::{Admission, Closing, Problem, paging};
use crate::{
    ChangesetLog, Checkpoint, Error, Filter, LogPage, LogQuery, StreamType, Timestamp, checkpoint_since,
};

/// Changesets of a page when no limit is given.
const LIMIT: usize = 10;

/// The names of each kind that a filter may have.
const FILTER_NAMES_MAX: usize = 1_000;

/// The longest wait that may be asked for.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// In how many seconds to ask again, where a request was not held for as long as it asked.
pub(in super::super) const POLL_AFTER: HeaderName = HeaderName::from_static("ees-poll-after");
const POLL_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Read everything, in global order.
///
/// Each changeset comes exactly once, and the order never changes once read. Go on at `next_checkpoint`,
/// always: checkpoints may have gaps.
#[utoipa::path(
    get, path = "/changesets", tag = "read", operation_id = "changesets",
    params(
        ("checkpoint" = Option<u64>, Query, description = "Where to begin. Default: 0."),
        ("since" = Option<String>, Query, format = DateTime, description = "Begins where the log reaches this time, as in RFC \
            3339, instead of at a `checkpoint`: see `/changesets/at`. Go on at `next_checkpoint` without it.",
            example = "2026-11-21T09:30:00Z"),
        ("limit" = Option<u64>, Query, minimum = 1, description = "The maximum number of changesets, up to 1,000. Default: 10."),
        ("wait" = Option<f64>, Query, minimum = 0, maximum = 20, description = "Seconds to wait for something to \
            arrive, when there is nothing yet."),
        ("stream_type" = Option<Vec<StreamType>>, Query, max_items = 1000, description = "Only streams of this type, or of one of several; up to 1,000."),
        ("event_type" = Option<Vec<String>>, Query, max_items = 1000, description = "Only changesets with an event whose `type` member \
            is this, or one of several; up to 1,000."),
        ("include" = Option<Include>, Query, description = "`position`: where and when each changeset was stored, and \
            the log's head and name."),
        ("pp" = Option<String>, Query, description = "`true`: with line breaks. Anything else: without."),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "With `Accept: text/event-stream`: where to begin, instead of `checkpoint`."),
    ),
    responses(
        (status = 200, description = "The changesets from the checkpoint on. A filtered page may be empty and still \
            have a `next_checkpoint` further on. With `Accept: text/event-stream`: Server-Sent Events without an end, \
            `changeset` for each changeset, and `following` once when there is no more at present; the `id` is the \
            checkpoint to go on from.", content((LogAnswer = "application/json"), (String = "text/event-stream")),
            headers(("Ees-Poll-After" = u64, description = "Nothing has arrived, and the server did not hold the request for as \
                long as `wait` asked: the seconds to wait before the next call."))),
        (status = 400, description = "`INVALID_CHECKPOINT`, `INVALID_TIME`, `INVALID_LIMIT`, `INVALID_WAIT`, `INVALID_FILTER`, \
            `INVALID_INCLUDE`, `INVALID_HEADER`.", body = ErrorAnswer),
        (status = 406, description = "`NOT_ACCEPTABLE`: the server runs in a function and has no event streams.", body = ErrorAnswer),
    ),
)]
pub(super) async fn changesets(
    State(app): State<App>,
    params: Params,
    headers: HeaderMap,
    admission: Admission,
    closing: Closing,
) -> Result<Response, Problem> {
    if event_stream::is_wanted(&headers) {
        return follow(&app, &params, &headers, admission, closing).await.map(event_stream::vary);
    }
    let start = Start::of(&params)?;
    let limit = paging::limit(&params)?.unwrap_or(LIMIT);
    let asked = wait(&params)?;
    let wait = asked.min(app.limits.wait);
    let filter = filter(&params)?;
    let positions = paging::positions(&params)?;
    if !wait.is_zero() {
        admission.waits(wait)?;
    }
    let checkpoint = start.checkpoint(&app.log).await?;
    let query = LogQuery::from(Checkpoint::new(checkpoint.get()), limit).with_wait(wait).with_filter(filter);
    let page = read(&app.log, query, &closing).await?;
    let mut response = answer(&params, &checkpoint, limit, &page, positions);
    if wait < asked && page.next.get() <= checkpoint.get() {
        response.headers_mut().insert(POLL_AFTER, POLL_AFTER_SECONDS);
    }
    Ok(event_stream::vary(response))
}

/// Answers with an event stream.
async fn follow(
    app: &App,
    params: &Params,
    headers: &HeaderMap,
    admission: Admission,
    closing: Closing,
) -> Result<Response, Problem> {
    event_stream::check(params)?;
    let start = match event_stream::last_event_id(headers)? {
        Some(place) => Start::At(place),
        None => Start::of(params)?,
    };
    let (filter, positions) = (filter(params)?, paging::positions(params)?);
    let subscriber = admission.subscribes(&app.metrics)?;
    let checkpoint = start.checkpoint(&app.log).await?;
    let source = OfLog::new(app.log.clone(), Checkpoint::new(checkpoint.get()), filter, positions);
    event_stream::answer(source, admission, closing, subscriber).await
}

/// Reads a page; one that is waited for comes as it is once the server stops.
async fn read(log: &dyn ChangesetLog, query: LogQuery, closing: &Closing) -> Result<LogPage, Problem> {
    let now = query.clone().with_wait(Duration::ZERO);
    let page = if query.wait.is_zero() {
        log.read(now).await
    } else {
        tokio::select! {
            page = log.read(query) => page,
            () = closing.closed() => log.read(now).await,
        }
    };
    Ok(page?)
}

fn answer(params: &Params, checkpoint: &Whole, limit: usize, page: &LogPage, positions: bool) -> Response {
    let mut answer =
        Answer::with_capacity(paging::capacity(page.changesets.iter().map(|indexed| &indexed.changeset)))
            .measured_as(params.shape());
    answer.json("checkpoint", checkpoint.as_str()).number("limit", limit as u64);
    let left =
        answer.list("changesets", &page.changesets, |entry, indexed| entry.log_entry(indexed, positions));
    match left {
        Some(indexed) => answer.number("next_checkpoint", indexed.checkpoint.get()),
        // A checkpoint past all numbers stays what it is.
        None if page.next.get() < checkpoint.get() => answer.json("next_checkpoint", checkpoint.as_str()),
        None => answer.number("next_checkpoint", page.next.get()),
    };
    if positions {
        answer.log_head(&page.head);
    }
    answer.respond(StatusCode::OK)
}

/// Where to begin.
enum Start {
    At(Whole),
    Since(Timestamp),
}

impl Start {
    fn of(params: &Params) -> Result<Self, Problem> {
        let checkpoint = params.whole("checkpoint").map_err(|text| {
            let what = "is an invalid checkpoint value. Expected a positive integer value.";
            Problem::bad_request("INVALID_CHECKPOINT", format!("\"{text}\" {what}"))
        })?;
        match (checkpoint, params.get("since")) {
            (checkpoint, None) => Ok(Self::At(checkpoint.unwrap_or_else(Whole::zero))),
            (None, Some(text)) => text.parse().map(Self::Since).map_err(invalid_time),
            (Some(_), Some(_)) => Err(invalid_time("give either `checkpoint` or `since`")),
        }
    }

    async fn checkpoint(self, log: &dyn ChangesetLog) -> Result<Whole, Problem> {
        match self {
            Self::At(checkpoint) => Ok(checkpoint),
            Self::Since(time) => match checkpoint_since(log, time).await {
                Ok(checkpoint) => Ok(checkpoint.get().into()),
                Err(Error::InvalidRequest(why)) => Err(invalid_time(why)),
                Err(other) => Err(other.into()),
            },
        }
    }
}

pub(super) fn invalid_time(why: impl Display) -> Problem {
    Problem::bad_request("INVALID_TIME", format!("`since`: {why}."))
}

fn wait(params: &Params) -> Result<Duration, Problem> {
    let Some(text) = params.get("wait") else { return Ok(Duration::ZERO) };
    seconds(text).filter(|wait| *wait <= WAIT_MAX).ok_or_else(|| {
        let what = "is an invalid wait value. Expected seconds from 0 to 20.";
        Problem::bad_request("INVALID_WAIT", format!("\"{text}\" {what}"))
    })
}

fn filter(params: &Params) -> Result<Filter, Problem> {
    for name in ["stream_type", "event_type"] {
        let count = params.all(name).count();
        if count > FILTER_NAMES_MAX {
            let message =
                format!("The filter has {count} values of {name}; the limit is {FILTER_NAMES_MAX}.");
            return Err(Problem::bad_request("INVALID_FILTER", message));
        }
    }
    let stream_types = params.all("stream_type").map(StreamType::new).collect::<Result<_, _>>();
    Ok(Filter {
        stream_types: stream_types.map_err(|why| Problem::bad_request("INVALID_FILTER", why.to_string()))?,
        event_types: params.all("event_type").map(str::to_owned).collect(),
    })
}
