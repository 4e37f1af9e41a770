//! A table, and what the tests do with it over and over.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use ees_store::dynamodb::{Candidate, Indexer, Indexing, Options, Store, TableFormat};
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, LogEntry, LogQuery,
};
use ees_test_aws::{Account, Faults};

use super::formats;

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) const TABLE: &str = "log";
pub(crate) const WAIT: Duration = Duration::from_secs(20);

/// An account with an empty table.
pub(crate) async fn account() -> Account {
    formats::account_with(TableFormat::V3, TABLE).await
}

/// A store that indexes what it commits.
pub(crate) async fn store(account: &Account, faults: &Faults) -> Store {
    Store::open(&account.sdk_config_with(faults), TABLE).await.unwrap()
}

/// A store that leaves indexing to others.
pub(crate) async fn committing(account: &Account, faults: &Faults) -> Store {
    let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
    Store::open_with(&account.sdk_config_with(faults), TABLE, options).await.unwrap()
}

pub(crate) async fn indexer(account: &Account, faults: &Faults) -> Indexer {
    Indexer::open(&account.sdk_config_with(faults), TABLE).await.unwrap()
}

pub(crate) fn client(account: &Account) -> Client {
    Client::new(&account.sdk_config())
}

pub(crate) fn commit(stream: &str, last: u64, events: &str) -> Commit {
    let expectation = Expectation::LastChangeset(ChangesetId::new(last));
    Commit::new(stream.parse().unwrap(), expectation, Events::parse(events).unwrap())
}

pub(crate) async fn append(store: &Store, stream: &str, last: u64) {
    let committed = store.commit(commit(stream, last, "[1]")).await.unwrap();
    assert_eq!(committed.changeset_id.get(), last + 1);
}

pub(crate) fn candidate(stream: &str, id: u64) -> Candidate {
    Candidate { stream_id: stream.parse().unwrap(), changeset_id: id.into(), size_bytes: 300 }
}

/// The log as far as it goes, without waiting for what is not indexed.
pub(crate) async fn read(log: &Store) -> Vec<LogEntry> {
    let mut read = Vec::new();
    let mut from = Checkpoint::START;
    loop {
        let page = log.read(LogQuery::from(from, 1_000)).await.unwrap();
        read.extend(page.changesets);
        if page.next == from {
            return read;
        }
        from = page.next;
    }
}

/// The log once it holds this many changesets.
pub(crate) async fn read_all(log: &Store, count: usize) -> Vec<LogEntry> {
    let mut read = Vec::new();
    let mut from = Checkpoint::START;
    while read.len() < count {
        let page = log.read(LogQuery::from(from, 1_000).with_wait(WAIT)).await.unwrap();
        assert!(page.next > from, "{} of {count} were read", read.len());
        read.extend(page.changesets);
        from = page.next;
    }
    assert_eq!(read.len(), count);
    read
}

/// Places, streams and numbers: `0 a1`.
pub(crate) fn labels(log: &[LogEntry]) -> Vec<String> {
    log.iter().map(|it| format!("{} {}{}", it.checkpoint, it.stream_id, it.changeset_id)).collect()
}

/// From 0 without gaps; each stream from 1, in its order, nothing twice.
pub(crate) fn is_gapless_and_ordered(log: &[LogEntry]) {
    let mut ends: HashMap<&str, (u64, u64)> = HashMap::new();
    for (at, it) in (0..).zip(log) {
        assert_eq!(it.checkpoint.get(), at, "places count from 0 without gaps");
        let (changeset, event) = ends.entry(it.stream_id.as_str()).or_default();
        assert_eq!((it.changeset_id.get(), it.first_event_id.get()), (*changeset + 1, *event + 1), "{it:?}");
        (*changeset, *event) = (it.changeset_id.get(), it.last_event_id().get());
    }
}

pub(crate) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(crate) fn n(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(crate) fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(crate) async fn get(client: &Client, table: &str, stream: &str, changeset: u64) -> Option<Item> {
    let key = item([("stream_id", s(stream)), ("changeset_id", n(changeset.cast_signed()))]);
    client.get_item().table_name(table).set_key(Some(key)).consistent_read(true).send().await.unwrap().item
}
