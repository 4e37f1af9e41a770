//! Reading from a server that speaks the base contract only: without times, the numbers of first events, or
//! the head of the log.
//!
//! What is missing is worked out: the number of a first event by counting the events before it, the head by a
//! search. The log gets an id that follows from the server's URL. A time is not known: it counts microseconds
//! from 1970 on by the number of the changeset, so that times ascend in each stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::transport::{Call, Transport, encoded};
use super::wire::Unplaced;
use crate::{
    Changeset, ChangesetId, Checkpoint, Error, EventId, Events, Json, LogEntry, LogHead, LogId, LogPage,
    LogQuery, Result, StreamId, StreamPage, StreamQuery, StreamRange, Timestamp,
};

/// The pause between two looks at a log that has nothing new: the server does not wait itself.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Changesets of a stream that are read at once to count their events.
const COUNTED_AT_ONCE: u64 = 100;

/// The streams whose ends are remembered.
const STREAMS_MAX: usize = 100_000;

/// The last changeset of each stream that was read, and the number of the event after it.
#[derive(Clone, Default)]
pub(super) struct StreamEnds(Arc<Mutex<HashMap<StreamId, (ChangesetId, EventId)>>>);

impl StreamEnds {
    fn after(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Option<EventId> {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.get(stream_id).filter(|(last, _)| *last == changeset_id).map(|(_, next)| *next)
    }

    fn remember(&self, changeset: &Changeset) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.len() >= STREAMS_MAX {
            ends.clear();
        }
        let next = changeset.first_event_id.plus(changeset.events.count());
        ends.insert(changeset.stream_id.clone(), (changeset.changeset_id, next));
    }
}

/// A server of the base contract.
pub(super) struct BaseServer<'a> {
    pub(super) transport: &'a Transport,
    pub(super) ends: &'a StreamEnds,
}

impl BaseServer<'_> {
    /// A part of a stream. The server knows ranges of changesets only, and answers them whole.
    pub(super) async fn of_stream(
        &self,
        query: &StreamQuery,
        found: Vec<Unplaced<'_>>,
    ) -> Result<StreamPage> {
        let mut changesets = Vec::with_capacity(found.len());
        for unplaced in found {
            changesets.push(self.changeset(query.stream_id.clone(), unplaced).await?);
        }
        if let StreamRange::Events { from, to } = query.range {
            let is_asked_for =
                |it: &Changeset| it.last_event_id() >= from && to.is_none_or(|to| it.first_event_id <= to);
            changesets.retain(is_asked_for);
        }
        Ok(StreamPage { changesets, next: None })
    }

    /// A page of the log. The head lies after it, if it holds anything: there may be more.
    pub(super) async fn of_log(
        &self,
        query: &LogQuery,
        next: Checkpoint,
        found: Vec<(Checkpoint, StreamId, Unplaced<'_>)>,
        wait: Duration,
    ) -> Result<LogPage> {
        let is_end = found.is_empty();
        if is_end && !wait.is_zero() {
            tokio::time::sleep(wait.min(POLL_INTERVAL)).await;
        }
        let mut changesets = Vec::with_capacity(found.len());
        for (checkpoint, stream_id, unplaced) in found {
            changesets.push(LogEntry { checkpoint, changeset: self.changeset(stream_id, unplaced).await? });
        }
        // The server does not filter.
        let filter = query.filter.matcher();
        changesets.retain(|entry| filter.accepts(&entry.changeset));
        let head = if is_end { next } else { next.next() };
        Ok(LogPage::new(query.from, changesets, next, self.head_at(head)))
    }

    /// The head: the first checkpoint at which the log has nothing more.
    pub(super) async fn head(&self) -> Result<LogHead> {
        let mut beyond = 1_u64;
        while self.has_changesets_from(beyond).await? {
            beyond = beyond.saturating_mul(2);
        }
        let mut within = beyond / 2;
        if within == 0 && !self.has_changesets_from(0).await? {
            return Ok(self.head_at(Checkpoint::START));
        }
        while beyond - within > 1 {
            let middle = within + (beyond - within) / 2;
            if self.has_changesets_from(middle).await? {
                within = middle;
            } else {
                beyond = middle;
            }
        }
        Ok(self.head_at(Checkpoint::new(beyond)))
    }

    async fn has_changesets_from(&self, checkpoint: u64) -> Result<bool> {
        #[derive(Deserialize)]
        struct Page {
            changesets: Vec<IgnoredAny>,
        }
        let path = format!("/changesets?checkpoint={checkpoint}&limit=1");
        let answer = self.transport.send(Call::get(path)).await?;
        let page: Page = self.transport.parsed(serde_json::from_slice(&answer.body))?;
        Ok(!page.changesets.is_empty())
    }

    fn head_at(&self, checkpoint: Checkpoint) -> LogHead {
        let digest = Sha256::digest(self.transport.url());
        let id = Uuid::from_u128(digest.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte)));
        LogHead { checkpoint, log_id: LogId(id), incarnation: id }
    }

    async fn changeset(&self, stream_id: StreamId, unplaced: Unplaced<'_>) -> Result<Changeset> {
        let Unplaced { changeset_id, events, metadata } = unplaced;
        let first_event_id = self.first_event_id(&stream_id, changeset_id).await?;
        let unreadable = |why: crate::InvalidJson| {
            Error::InvalidRequest(format!(
                "{} has a changeset that can't be read, {changeset_id} of stream \"{stream_id}\": {why}",
                self.transport.url()
            ))
        };
        let changeset = Changeset {
            // Not without white space, as an ees server's are; nor always a list.
            events: Json::from_valid(events.get(), usize::MAX)
                .map(|json| Events::adopted(json, counted(events.get())))
                .map_err(unreadable)?,
            metadata: Json::from_valid(metadata.get(), usize::MAX).map_err(unreadable)?,
            timestamp: Timestamp::from_micros(i64::try_from(changeset_id.get()).unwrap_or(i64::MAX)),
            stream_type: None,
            trace: None,
            first_event_id,
            changeset_id,
            stream_id,
        };
        self.ends.remember(&changeset);
        Ok(changeset)
    }

    /// One more than the events before the changeset.
    async fn first_event_id(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<EventId> {
        let before = ChangesetId::new(changeset_id.get().saturating_sub(1));
        if before == ChangesetId::NONE {
            return Ok(EventId::new(1));
        }
        if let Some(next) = self.ends.after(stream_id, before) {
            return Ok(next);
        }
        let mut count = 0;
        let mut from = 1;
        while from <= before.get() {
            let to = before.get().min(from + COUNTED_AT_ONCE - 1);
            count += self.count_events(stream_id, from, to).await?;
            from = to + 1;
        }
        Ok(EventId::new(count + 1))
    }

    async fn count_events(&self, stream_id: &StreamId, from: u64, to: u64) -> Result<u64> {
        #[derive(Deserialize)]
        struct Page<'a> {
            #[serde(borrow)]
            changesets: Vec<Unplaced<'a>>,
        }
        let path = format!("/streams/{}/changesets?from={from}&to={to}", encoded(stream_id.as_str()));
        let answer = self.transport.send(Call::get(path)).await?;
        let page: Page<'_> = self.transport.parsed(serde_json::from_slice(&answer.body))?;
        Ok(page.changesets.iter().map(|it| counted(it.events.get())).sum())
    }
}

/// The number of events, as a server of the base contract counts them: the elements of a list, the members of an
/// object, the characters of a text.
fn counted(events: &str) -> u64 {
    let count = match events.as_bytes().first() {
        Some(b'[') => serde_json::from_str::<Vec<IgnoredAny>>(events).map(|list| list.len()),
        Some(b'{') => serde_json::from_str::<HashMap<String, IgnoredAny>>(events).map(|object| object.len()),
        Some(b'"') => serde_json::from_str::<String>(events).map(|text| text.chars().count()),
        _ => Ok(0),
    };
    count.unwrap_or(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_as_the_other_system_counts_them() {
        for (events, count) in [
            ("[]", 0),
            ("[1, [2]]", 2),
            ("{}", 0),
            (r#"{"a": 1, "b": [2, 3]}"#, 2),
            (r#""tüx""#, 3),
            ("7", 0),
        ] {
            assert_eq!(counted(events), count, "{events}");
        }
    }
}
