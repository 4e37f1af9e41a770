//! A refused commit: what the stream has by now, and what to type next.

use ees_store::client::{CallError, Client};
use ees_store::{ChangesetId, Commit, Error, EventId, EventStore, Expectation, Refusal, StreamQuery};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exit::Failure;
use crate::projection::ProjectionClient;
use crate::shell::quoted;

pub(super) async fn failure(
    client: &Client,
    commit: &Commit,
    visible_in: Option<String>,
    error: CallError,
) -> Failure {
    if let (Some(name), Error::Answered { code, .. }) = (visible_in, &error.error)
        && code == "PROJECTION_NOT_FOUND"
    {
        let failure = ProjectionClient::new(client.clone(), name).not_found(error).await;
        return failure.with_detail("nothing was committed");
    }
    let hint = match &error.error {
        Error::Refused(Refusal::Conflict { .. }) => Some(conflict(client, commit, &error).await),
        Error::Refused(Refusal::AheadOfStream { last, .. }) => Some(format!(
            "check the stream id and the server, or commit with {}",
            flag(commit.expectation, *last)
        )),
        _ => None,
    };
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

async fn conflict(client: &Client, commit: &Commit, error: &CallError) -> String {
    let stream = quoted(commit.stream_id.as_str());
    let Some(tail) = tail(client, commit, error).await else {
        return format!("read the stream with `ees read {stream}`, decide again, and commit again");
    };
    let (event, more) = (tail.event, if tail.is_last { "" } else { " or later" });
    let (last, read) = match commit.expectation {
        Expectation::LastEvent(seen) => (event.get(), format!("--events --from {}", seen.next())),
        other => (tail.changeset.get(), format!("--from {}", other.number() + 1)),
    };
    format!(
        "the stream ends with changeset {} (event {event}){more}: read what came first with `ees read {stream} \
         {read}`, decide again, and commit with {}",
        tail.changeset,
        flag(commit.expectation, last)
    )
}

/// The flag that expects `last`, in the unit that the commit used.
fn flag(expectation: Expectation, last: u64) -> String {
    match expectation {
        Expectation::LastEvent(_) => format!("--expected-last-event {last}"),
        _ => format!("--expected-last-changeset {last}"),
    }
}

/// The end of a stream, or a place behind which there may be more.
struct Tail {
    changeset: ChangesetId,
    event: EventId,
    is_last: bool,
}

/// The refusal lists the first changesets that came before the commit. The stream says which event the last
/// of them ends with, and what came since.
async fn tail(client: &Client, commit: &Commit, error: &CallError) -> Option<Tail> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        forthcoming_changesets: Vec<Listed<'a>>,
    }
    #[derive(Deserialize)]
    struct Listed<'a> {
        changeset_id: ChangesetId,
        #[serde(borrow, rename = "events")]
        _events: &'a RawValue,
    }
    let body = error.body.as_ref()?.read::<Body<'_>>().ok()?;
    let listed = body.forthcoming_changesets.last()?.changeset_id;
    let from_there = StreamQuery::changesets(commit.stream_id.clone(), listed, None);
    let page = client.read_stream(from_there).await.ok()?;
    let last = page.changesets.last()?;
    let events = last.events.count();
    Some(Tail {
        changeset: last.changeset_id,
        event: EventId::new((last.first_event_id.get() + events).saturating_sub(1)),
        is_last: page.next.is_none(),
    })
}
