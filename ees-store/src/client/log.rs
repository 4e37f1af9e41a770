//! [`ChangesetLog`] over HTTP.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::Deserialize;

use super::Client;
use super::events::LIMIT_MAX;
use super::transport::{Call, encoded};
use super::wire::{OfLog, OfStream, fitting};
use crate::{
    ChangesetId, ChangesetLog, Checkpoint, Error, LogHead, LogPage, LogQuery, Result, StreamId, Timestamp,
    time_search,
};

/// The longest wait of one call. A longer one takes several.
const WAIT_MAX: Duration = Duration::from_secs(20);

#[async_trait]
impl ChangesetLog for Client {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        if query.filter.event_types.iter().any(String::is_empty) {
            // On the wire an empty value is none, and would let everything pass.
            return Err(Error::InvalidRequest(
                "a filter over HTTP can't ask for the event type \"\"".to_owned(),
            ));
        }
        // None is later than any moment there is.
        let end = Instant::now().checked_add(query.wait);
        loop {
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            let (page, pause) = self.read_once(&query, left).await?;
            if page.next > query.from || end.is_some_and(|end| end <= Instant::now()) {
                return Ok(page);
            }
            if let Some(pause) = pause {
                tokio::time::sleep(pause.min(left)).await;
            }
        }
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        if changeset_id == ChangesetId::NONE {
            return Ok(None);
        }
        let stream = encoded(stream_id.as_str());
        let path =
            format!("/streams/{stream}/changesets?include=position&from={changeset_id}&to={changeset_id}");
        match self.transport.send(Call::get(path)).await.map_err(Error::from) {
            Ok(answer) => {
                let read: OfStream<'_> = self.transport.parsed(serde_json::from_slice(&answer.body))?;
                Ok(read.last_checkpoint)
            }
            Err(Error::StreamNotFound(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    async fn head(&self) -> Result<LogHead> {
        // Nothing is that far: the page is empty and tells the head.
        let query = LogQuery::from(Checkpoint::MAX, 1);
        let path = path_of(&query, Duration::ZERO);
        let answer = self.transport.send(Call::get(path)).await?;
        let read: OfLog<'_> = self.transport.parsed(serde_json::from_slice(&answer.body))?;
        match read.page(query.from) {
            Ok(page) => Ok(page.head),
            Err(_) => self.base_server().head().await,
        }
    }

    /// Asks the server, which is nearer to the log: one call instead of some 30.
    async fn checkpoint_at(&self, time: Timestamp) -> Result<Checkpoint> {
        let path = format!("/changesets/at?time={}", encoded(&time.to_string()));
        match self.transport.send(Call::get(path)).await.map_err(Error::from) {
            Ok(answer) => {
                let found: PlaceInLog = self.transport.parsed(serde_json::from_slice(&answer.body))?;
                Ok(Checkpoint::new(found.checkpoint))
            }
            // A server of another system has no such place to ask.
            Err(Error::Answered { status: 404, .. } | Error::InvalidRequest(_) | Error::Forbidden(_)) => {
                time_search::bisect(self, time).await
            }
            Err(other) => Err(other),
        }
    }
}

/// The answer of `GET /changesets/at`, as far as it is needed.
#[derive(Deserialize)]
struct PlaceInLog {
    checkpoint: u64,
}

impl Client {
    /// A page, and how long to pause before the next call, if the server did not hold this one for as long as it may.
    async fn read_once(&self, query: &LogQuery, wait: Duration) -> Result<(LogPage, Option<Duration>)> {
        let wait = wait.min(WAIT_MAX);
        let call = Call::get(path_of(query, wait)).waiting(wait);
        let answer = self.transport.send(call).await?;
        let read: OfLog<'_> = self.transport.parsed(serde_json::from_slice(&answer.body))?;
        let next = read.next_checkpoint;
        let mut page = match read.page(query.from) {
            Ok(page) => page,
            Err(found) => self.base_server().of_log(query, next, found, wait).await?,
        };
        let fit = fitting(page.changesets.iter().map(|it| &it.changeset), query.limit, query.max_bytes);
        if let Some(first_left) = page.changesets.get(fit) {
            page.next = first_left.checkpoint;
            page.changesets.truncate(fit);
        }
        let pause = answer.headers.get("ees-poll-after").and_then(|value| value.to_str().ok()?.parse().ok());
        Ok((page, pause.map(Duration::from_secs)))
    }
}

fn path_of(query: &LogQuery, wait: Duration) -> String {
    let limit = query.limit.clamp(1, LIMIT_MAX);
    let mut path = format!("/changesets?include=position&checkpoint={}&limit={limit}", query.from);
    // Writing to a String does not fail.
    if !wait.is_zero() {
        let _ = write!(path, "&wait={:.3}", wait.as_secs_f64());
    }
    for stream_type in &query.filter.stream_types {
        let _ = write!(path, "&stream_type={}", encoded(stream_type.as_str()));
    }
    for event_type in &query.filter.event_types {
        let _ = write!(path, "&event_type={}", encoded(event_type));
    }
    path
}
