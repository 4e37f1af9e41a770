//! The store: who appends, who reads, and the whole log.

use std::sync::Arc;

use ees_store::{
    ChangesetLog, Checkpoint, Commit, EventId, EventStore, Events, Expectation, LogQuery, StreamId,
    StreamQuery,
};
use peers_workload::append::Append;
use peers_workload::read::Read;
use peers_workload::{Payload, account_id};

use crate::account::AccountEvent;

const CHANGESETS_A_PAGE: usize = 5_000;

pub(crate) struct Writer<S>(pub(crate) Arc<S>);

impl<S: EventStore> Append for Writer<S> {
    async fn append(&mut self, stream: usize, version: usize, payloads: Vec<Payload>) {
        let events: Vec<AccountEvent> = payloads.into_iter().map(AccountEvent::Moved).collect();
        let expectation = Expectation::LastEvent(EventId::new(version as u64));
        let commit = Commit::new(stream_id(stream), expectation, Events::of(&events).unwrap());
        self.0.commit(commit).await.unwrap();
    }
}

pub(crate) struct Reader<S>(pub(crate) Arc<S>);

impl<S: EventStore> Read for Reader<S> {
    async fn read(&mut self, stream: usize) -> usize {
        let page = self.0.read_stream(StreamQuery::all(stream_id(stream))).await.unwrap();
        page.changesets.iter().map(|changeset| parse(&changeset.events)).sum()
    }
}

/// Reads the whole log and all of its events.
pub(crate) async fn count(log: &impl ChangesetLog) -> usize {
    let (mut from, mut events) = (Checkpoint::START, 0);
    loop {
        let page = log.read(LogQuery::from(from, CHANGESETS_A_PAGE)).await.unwrap();
        if page.next == from {
            return events;
        }
        events += page.changesets.iter().map(|changeset| parse(&changeset.events)).sum::<usize>();
        from = page.next;
    }
}

fn parse(events: &Events) -> usize {
    let events: Vec<AccountEvent> = serde_json::from_str(events.as_json().unwrap().as_str()).unwrap();
    events.len()
}

fn stream_id(stream: usize) -> StreamId {
    account_id(stream).parse().unwrap()
}
