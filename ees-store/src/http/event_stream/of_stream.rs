//! A stream's changesets or events as an event stream.

use std::sync::Arc;

use super::super::answer::{Answer, events_within};
use super::{Next, PART_BYTES, PART_CHANGESETS, Source, text};
use crate::shared_log::{Arrived, Identity, Interest, SharedLog, Watch};
use crate::{
    Changeset, ChangesetId, ChangesetLog as _, Error, EventId, EventStore, Result, StreamId, StreamPage,
    StreamQuery, StreamRange,
};

/// A place in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum At {
    Changeset(ChangesetId),
    Event(EventId),
}

/// What the reader gets of each changeset.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum What {
    Changesets { positions: bool },
    Events,
}

/// A part of a stream, which goes on while the stream has not reached its end.
///
/// What is in the store is read there. The log tells what comes then: a stream's changesets come in their
/// order, each of them a moment after it is in the store, so none is missed, and those that were read are known
/// by their numbers.
pub(in super::super) struct OfStream {
    store: Arc<dyn EventStore>,
    log: SharedLog,
    stream_id: StreamId,
    what: What,
    from: At,
    to: Option<At>,
    watch: Option<Watch>,
    /// The log that it followed first: of another one it tells nothing.
    identity: Option<Identity>,
    /// Whether the store may have something that was not read.
    is_behind: bool,
    is_done: bool,
    /// Whether a range from a changeset to an event may be read already.
    may_be_over: bool,
}

impl OfStream {
    pub(in super::super) fn new(
        store: Arc<dyn EventStore>,
        log: SharedLog,
        stream_id: StreamId,
        what: What,
        from: At,
        to: Option<At>,
    ) -> Self {
        let is_done = match (from, to) {
            (At::Changeset(from), Some(At::Changeset(to))) => from > to,
            (At::Event(from), Some(At::Event(to))) => from > to,
            _ => false,
        };
        let may_be_over = matches!((from, to), (At::Changeset(_), Some(At::Event(_))));
        Self {
            store,
            log,
            stream_id,
            what,
            from,
            to,
            watch: None,
            identity: None,
            is_behind: true,
            is_done,
            may_be_over,
        }
    }

    fn range(&self) -> StreamRange {
        match (self.from, self.to) {
            (At::Changeset(from), Some(At::Changeset(to))) => StreamRange::Changesets { from, to: Some(to) },
            (At::Changeset(from), _) => StreamRange::Changesets { from, to: None },
            (At::Event(from), Some(At::Event(to))) => StreamRange::Events { from, to: Some(to) },
            (At::Event(from), _) => StreamRange::Events { from, to: None },
        }
    }

    /// Adds what is wanted of a changeset, which comes next, and moves on.
    fn add(&mut self, changeset: &Changeset, events: &mut String) {
        let last = changeset.last_event_id();
        let is_wanted = match self.to {
            Some(At::Changeset(to)) => changeset.changeset_id <= to,
            Some(At::Event(to)) => changeset.first_event_id <= to,
            None => true,
        };
        match self.what {
            What::Changesets { positions } => {
                let next = changeset.changeset_id.next();
                if is_wanted {
                    let mut data = Answer::with_capacity(changeset.size_bytes() + 256);
                    data.changeset(changeset, positions);
                    text::push_event(events, Some(next.get()), "changeset", &data.into_text());
                }
                self.from = At::Changeset(next);
            }
            What::Events => {
                let from = match self.from {
                    At::Event(from) => from,
                    At::Changeset(_) => EventId::NONE,
                };
                let to = self.to.and_then(|to| match to {
                    At::Event(to) => Some(to),
                    At::Changeset(_) => None,
                });
                for (id, event) in events_within(changeset, from, to).filter(|_| is_wanted) {
                    let mut data = Answer::new();
                    data.event(id, event);
                    text::push_event(events, Some(id.next().get()), "event", &data.into_text());
                }
                self.from = At::Event(from.max(last.next()));
            }
        }
        self.is_done = match self.to {
            Some(At::Changeset(to)) => changeset.changeset_id >= to,
            Some(At::Event(to)) => last >= to,
            None => false,
        };
    }

    /// Whether the changeset that holds the last event comes before the place to go on from.
    async fn is_over(&self) -> Result<bool> {
        let (At::Changeset(from), Some(At::Event(to))) = (self.from, self.to) else { return Ok(false) };
        let query = StreamQuery::events(self.stream_id.clone(), to, Some(to)).with_limit(1);
        match self.store.read_stream(query).await {
            Ok(page) => Ok(page.changesets.iter().any(|last| last.changeset_id < from)),
            Err(Error::StreamNotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the log is still the one that this reader began with. A page of a stream does not say of which log
    /// it is: it has to be the same one before and after.
    async fn is_same_log(&self) -> Result<bool> {
        let head = self.log.head().await?;
        Ok(self.identity == Some(Identity::of(&head)))
    }

    /// Reads what the store has.
    async fn read_store(&mut self) -> Result<Next> {
        let query = StreamQuery {
            stream_id: self.stream_id.clone(),
            range: self.range(),
            limit: PART_CHANGESETS,
            max_bytes: PART_BYTES,
        };
        let page = match self.store.read_stream(query).await {
            // It may begin later.
            Err(Error::StreamNotFound(_)) => StreamPage::default(),
            page => page?,
        };
        if !page.changesets.is_empty() && !self.is_same_log().await? {
            return Ok(Next::Reopened);
        }
        self.is_behind = page.next.is_some();
        let mut events = String::new();
        for changeset in &page.changesets {
            self.add(changeset, &mut events);
        }
        Ok(if events.is_empty() { Next::PassedOver } else { Next::Events(events) })
    }

    /// Takes what has arrived.
    fn take(&mut self) -> Next {
        let Some(watch) = &self.watch else { return Next::PassedOver };
        let entries = match watch.take(PART_BYTES) {
            Arrived::Changesets(entries, _) if entries.is_empty() => return Next::Nothing,
            Arrived::Changesets(entries, _) => entries,
            Arrived::Behind(_) => {
                self.watch = None;
                self.is_behind = true;
                return Next::PassedOver;
            }
            Arrived::Ended => return Next::Reopened,
        };
        let mut events = String::new();
        let stream_id = self.stream_id.clone();
        for entry in entries.iter().filter(|entry| entry.stream_id == stream_id) {
            let (is_known, is_next) = match self.from {
                At::Changeset(from) => (entry.changeset_id < from, entry.changeset_id == from.max(1.into())),
                At::Event(from) => (entry.last_event_id() < from, entry.first_event_id <= from.max(1.into())),
            };
            if is_known {
                continue;
            }
            if !is_next {
                self.is_behind = true;
                break;
            }
            self.add(entry, &mut events);
            if self.is_done {
                break;
            }
        }
        if events.is_empty() { Next::PassedOver } else { Next::Events(events) }
    }
}

impl Source for OfStream {
    async fn read(&mut self) -> Result<Next> {
        if self.may_be_over {
            self.is_done = self.is_over().await?;
            self.may_be_over = false;
        }
        if self.is_done {
            return Ok(Next::Done);
        }
        if self.watch.is_none() {
            // Before the store is read: what comes between is told.
            let interest = Interest::Stream(self.stream_id.clone());
            let watch = self.log.watch_from_now(interest, self.identity).await?;
            self.identity = watch.identity();
            self.watch = Some(watch);
        }
        if self.watch.as_ref().is_some_and(Watch::has_ended) {
            return Ok(Next::Reopened);
        }
        if self.is_behind { self.read_store().await } else { Ok(self.take()) }
    }

    async fn arrival(&mut self) {
        if let Some(watch) = &self.watch {
            watch.arrival().await;
        }
    }

    fn place(&self) -> Option<u64> {
        match (self.what, self.from) {
            (What::Changesets { .. }, At::Changeset(from)) => Some(from.get().max(1)),
            (What::Events, At::Event(from)) => Some(from.get().max(1)),
            // Which changeset holds the event is not known yet.
            _ => None,
        }
    }

    fn following(&self) -> String {
        let mut data = Answer::new();
        if let Some(place) = self.place() {
            data.number("next", place);
        }
        data.into_text()
    }
}
