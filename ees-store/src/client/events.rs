//! [`EventStore`] over HTTP.

use std::fmt::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderValue};

use super::transport::{Call, Failure, Transport, encoded};
use super::wire::{OfStream, Stored, fitting};
use super::{CallResult, Client, bulk};
use crate::{
    Commit, Committed, Error, EventStore, Expectation, IdempotencyKey, Result, StreamPage, StreamQuery,
    StreamRange, TraceContext,
};

/// The most changesets that a call can ask for by number.
pub(super) const LIMIT_MAX: usize = 1_000;

#[async_trait]
impl EventStore for Client {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        Ok(self::commit(&self.transport, &commit).await?)
    }

    async fn commit_in_order(&self, commits: Vec<Commit>) -> Vec<Result<Committed>> {
        bulk::commit_in_order(self, commits).await
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        let answer = self.transport.send(Call::get(path_of(&query))).await?;
        let read: OfStream<'_> = self.transport.parsed(serde_json::from_slice(&answer.body))?;
        let mut page = match read.page(&query.stream_id) {
            Ok(page) => page,
            Err(found) => self.base_server().of_stream(&query, found).await?,
        };
        let fit = fitting(page.changesets.iter(), query.limit, query.max_bytes);
        if let Some(first_left) = page.changesets.get(fit) {
            page.next = Some(first_left.changeset_id);
            page.changesets.truncate(fit);
        }
        Ok(page)
    }
}

/// The longest wait that a server takes.
const VISIBLE_WITHIN_MAX: Duration = Duration::from_secs(60);

pub(super) async fn commit(transport: &Transport, commit: &Commit) -> CallResult<Committed> {
    Ok(send(transport, commit, call_of(commit)?).await?.0)
}

/// Commits, and returns whether the server says that the projection has applied it.
pub(super) async fn commit_visible_in(
    transport: &Transport,
    commit: &Commit,
    projection: &str,
    timeout: Duration,
) -> CallResult<(Committed, bool)> {
    let timeout = timeout.min(VISIBLE_WITHIN_MAX);
    let query = format!("&visible_in={}&timeout={:.3}", encoded(projection), timeout.as_secs_f64());
    let call = call_of(commit)?.with_query(&query).waiting(timeout);
    let (committed, headers) = send(transport, commit, call).await?;
    Ok((committed, headers.get("Ees-Visible").is_some_and(|value| value == "true")))
}

async fn send(transport: &Transport, commit: &Commit, call: Call) -> CallResult<(Committed, HeaderMap)> {
    let answer = match transport.send(call).await {
        Ok(answer) => answer,
        Err(Failure::Problem(problem)) => return Err(problem.into_commit_call_error(commit)),
        Err(broken) => return Err(broken.into()),
    };
    let stored: Stored = transport.parsed(serde_json::from_slice(&answer.body))?;
    let place = answer.headers.get("Ees-Checkpoint").and_then(|value| value.to_str().ok()?.parse().ok());
    Ok((Committed { changeset_id: stored.changeset_id, checkpoint: place }, answer.headers))
}

fn call_of(commit: &Commit) -> Result<Call> {
    if commit.recorded_at.is_some() {
        let why = "a commit with a time of its own can't be sent over HTTP: the server's clock stamps it";
        return Err(Error::InvalidRequest(why.to_owned()));
    }
    let parameter = match commit.expectation {
        Expectation::NewStream | Expectation::LastChangeset(_) => "expected_last_changeset",
        Expectation::LastEvent(_) => "expected_last_event",
    };
    let path = format!(
        "/streams/{}?{parameter}={}",
        encoded(commit.stream_id.as_str()),
        commit.expectation.number()
    );
    let events = commit.events.as_json().map_err(|error| Error::InvalidRequest(error.to_string()))?;
    let body = format!("{{\"events\":{events},\"metadata\":{}}}", commit.metadata);
    // Without a key of its own it still gets one: then it is safe to send again.
    let key = commit.idempotency_key.clone().unwrap_or_else(IdempotencyKey::random);
    let mut call = Call::post(path, body)
        .repeatable()
        .header("Idempotency-Key", header("Idempotency-Key", key.as_str())?);
    let stream_type = commit.stream_type.as_ref().map(|stream_type| ("Stream-Type", stream_type.as_str()));
    for (name, value) in stream_type.into_iter().chain(commit.trace.iter().flat_map(TraceContext::headers)) {
        call = call.header(name, header(name, value)?);
    }
    Ok(call)
}

/// A text as a header's value: what the value would lose on its way is refused.
fn header(name: &str, text: &str) -> Result<HeaderValue> {
    let refuse = || Error::InvalidRequest(format!("{text:?} can't be sent in the header {name}"));
    if text.trim_ascii() != text {
        return Err(refuse());
    }
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| refuse())
}

fn path_of(query: &StreamQuery) -> String {
    let mut path = format!("/streams/{}/changesets?include=position", encoded(query.stream_id.as_str()));
    let (from_name, to_name, from, to) = match query.range {
        StreamRange::Changesets { from, to } => ("from", "to", from.get(), to.map(|id| id.get())),
        StreamRange::Events { from, to } => ("from_event", "to_event", from.get(), to.map(|id| id.get())),
    };
    // On the wire 0 is "no bound", and an end before the beginning a mistake. Here both are an empty range,
    // which is asked for as what lies after everything: the server still says whether the stream exists.
    let (from, to) = if query.range.is_empty() { (crate::ChangesetId::MAX.get(), None) } else { (from, to) };
    // Writing to a String does not fail.
    let _ = write!(path, "&{from_name}={from}");
    if let Some(to) = to {
        let _ = write!(path, "&{to_name}={to}");
    }
    if query.limit <= LIMIT_MAX {
        let _ = write!(path, "&limit={}", query.limit.max(1));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_asked_for_by_the_parameters_it_has() {
        let of = |query: StreamQuery| path_of(&query).split_once('&').unwrap().1.to_owned();
        let id = || "a".parse().unwrap();
        let max = i64::MAX;
        assert_eq!(of(StreamQuery::all(id())), "from=0");
        assert_eq!(
            of(StreamQuery::changesets(id(), 2.into(), Some(3.into())).with_limit(7)),
            "from=2&to=3&limit=7"
        );
        assert_eq!(of(StreamQuery::events(id(), 2.into(), None).with_limit(1_001)), "from_event=2");
        assert_eq!(of(StreamQuery::changesets(id(), 0.into(), Some(0.into()))), format!("from={max}"));
        assert_eq!(of(StreamQuery::events(id(), 3.into(), Some(2.into()))), format!("from_event={max}"));
    }

    #[test]
    fn a_header_carries_a_text_whole_or_not_at_all() {
        assert_eq!(header("X", "ä b").unwrap().as_bytes(), "ä b".as_bytes());
        assert!(header("X", " a").is_err());
    }
}
