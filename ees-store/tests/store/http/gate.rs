//! A store whose calls wait at a gate: what is under way stays under way until the test says so.

use async_trait::async_trait;
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, Error, EventStore, LogHead, LogPage, LogQuery,
    Result, StreamId, StreamPage, StreamQuery, memory,
};
use tokio::sync::Semaphore;

/// A store in memory behind a gate. Commits wait at it; reads of the log tell that they came, then go on.
pub(crate) struct Gated {
    store: memory::Store,
    arrived: Semaphore,
    gate: Semaphore,
}

impl Gated {
    pub(crate) fn new() -> Self {
        Self { store: memory::Store::new(), arrived: Semaphore::new(0), gate: Semaphore::new(0) }
    }

    /// Waits until a call has come.
    pub(crate) async fn arrival(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    /// Lets one commit through.
    pub(crate) fn open(&self) {
        self.gate.add_permits(1);
    }
}

#[async_trait]
impl EventStore for Gated {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.arrived.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        self.store.commit(commit).await
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        self.store.read_stream(query).await
    }
}

#[async_trait]
impl ChangesetLog for Gated {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        self.arrived.add_permits(1);
        self.store.read(query).await
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.store.locate(stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        self.store.head().await
    }
}

/// A store that always fails in the same way.
pub(crate) struct Failing(pub(crate) fn() -> Error);

#[async_trait]
impl EventStore for Failing {
    async fn commit(&self, _: Commit) -> Result<Committed> {
        Err(self.0())
    }

    async fn read_stream(&self, _: StreamQuery) -> Result<StreamPage> {
        Err(self.0())
    }
}

#[async_trait]
impl ChangesetLog for Failing {
    async fn read(&self, _: LogQuery) -> Result<LogPage> {
        Err(self.0())
    }

    async fn locate(&self, _: &StreamId, _: ChangesetId) -> Result<Option<Checkpoint>> {
        Err(self.0())
    }

    async fn head(&self) -> Result<LogHead> {
        Err(self.0())
    }
}
