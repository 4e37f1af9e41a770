//! Event streams of a log that becomes another one while they are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, EventStore, Events, Expectation, LogHead,
    LogPage, LogQuery, Result, StreamId, StreamPage, StreamQuery, memory,
};
use uuid::Uuid;

use super::following::Following;
use super::support::TestServer;

/// Changesets of the stream in each log: each of them is a part of an event stream.
const CHANGESETS: u64 = 5;

/// A store that is replaced by another one, with other events, at one of the reads of a stream.
struct Replaced {
    before: memory::Store,
    after: memory::Store,
    reads_before: usize,
    reads: AtomicUsize,
}

impl Replaced {
    async fn at_read(reads_before: usize) -> Self {
        let (before, after) = (log_of("before").await, log_of("after").await);
        Self { before, after, reads_before, reads: AtomicUsize::new(0) }
    }

    fn current(&self) -> &memory::Store {
        if self.reads.load(SeqCst) > self.reads_before { &self.after } else { &self.before }
    }
}

async fn log_of(text: &str) -> memory::Store {
    let store = memory::Store::new();
    for last in 0..CHANGESETS {
        commit(&store, last, text).await;
    }
    store
}

async fn commit(store: &dyn EventStore, last: u64, text: &str) {
    let events = Events::parse(&format!("[\"{text} {}\"]", "x".repeat(200_000))).unwrap();
    let commit = Commit::new("s".parse().unwrap(), Expectation::LastChangeset(last.into()), events);
    store.commit(commit).await.unwrap();
}

#[async_trait]
impl EventStore for Replaced {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.current().commit(commit).await
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        self.reads.fetch_add(1, SeqCst);
        self.current().read_stream(query).await
    }
}

#[async_trait]
impl ChangesetLog for Replaced {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        self.current().read(query).await
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.current().locate(stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        self.current().head().await
    }
}

/// From which logs the events of a stream come, up to its end, or to the end of the history.
async fn logs_of(mut reader: Following) -> Vec<&'static str> {
    let mut logs = Vec::new();
    while let Some(event) = reader.event().await {
        if event.name == "following" {
            break;
        }
        logs.push(if event.data.contains("\"before ") { "before" } else { "after" });
    }
    logs
}

#[tokio::test]
async fn a_reader_of_a_stream_that_is_behind_never_gets_a_mixture_of_two_logs() {
    for target in ["/streams/s/changesets", "/streams/s/events"] {
        for reads in 0..CHANGESETS as usize {
            let server = TestServer::over(Replaced::at_read(reads).await).await;
            let logs = logs_of(Following::open(server.address(), target, &[]).await).await;
            assert!(logs.iter().all(|log| *log == logs[0]), "{target}, replaced at read {reads}: {logs:?}");
            assert_eq!(logs.len(), reads, "what was read before is sent, then it ends");
            // Who comes again reads the new log.
            let logs = logs_of(Following::open(server.address(), target, &[]).await).await;
            assert_eq!(logs, ["after"; CHANGESETS as usize]);
        }
    }
}

/// The servers behind one address, which answer in turn: each has its own incarnation of the log.
struct Balanced {
    store: memory::Store,
    incarnations: [Uuid; 2],
    reads: AtomicUsize,
}

impl Balanced {
    fn in_turn(&self, head: LogHead) -> LogHead {
        let turn = self.reads.fetch_add(1, SeqCst) % 2;
        LogHead { incarnation: self.incarnations[turn], ..head }
    }
}

#[async_trait]
impl EventStore for Balanced {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.store.commit(commit).await
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        self.store.read_stream(query).await
    }
}

#[async_trait]
impl ChangesetLog for Balanced {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        let mut page = self.store.read(query).await?;
        page.head = self.in_turn(page.head);
        Ok(page)
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.store.locate(stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        Ok(self.in_turn(self.store.head().await?))
    }
}

#[tokio::test]
async fn over_servers_that_answer_in_turn_a_reader_that_comes_again_loses_and_repeats_nothing() {
    let incarnations = [Uuid::new_v4(), Uuid::new_v4()];
    let log = Balanced { store: log_of("same").await, incarnations, reads: AtomicUsize::new(0) };
    let log = Arc::new(log);
    let server = TestServer::with(log.clone(), |api| api).await;
    let mut read = Vec::new();
    let mut connections = 0;
    while read.len() < CHANGESETS as usize * 2 {
        connections += 1;
        assert!(connections < 100, "{read:?}");
        if read.len() == CHANGESETS as usize {
            for last in CHANGESETS..CHANGESETS * 2 {
                commit(&log.store, last, "later").await;
            }
        }
        let place = read.last().map_or(0, |id: &u64| *id).to_string();
        let mut reader = Following::open(server.address(), "/changesets", &[("Last-Event-ID", &place)]).await;
        while let Some(event) = reader.event().await {
            if event.name == "following" {
                break;
            }
            read.extend(event.id);
        }
    }
    assert_eq!(read, (1..=CHANGESETS * 2).collect::<Vec<_>>());
}
