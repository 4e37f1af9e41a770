//! The store as a process reaches it.

use std::sync::Arc;

use async_trait::async_trait;
use ees_projector::memory::Lost;
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, Error, EventStore, LogHead, LogPage, LogQuery,
    Result, SegmentPage, SegmentQuery, StreamId, StreamPage, StreamQuery, Tail, TypePage, TypeQuery, memory,
};

use crate::link::Link;
use crate::servers::Server;

pub(crate) struct RemoteStore {
    pub(crate) store: Arc<memory::Store>,
    pub(crate) link: Arc<Link>,
}

impl RemoteStore {
    /// The call may not arrive, and its answer neither.
    async fn ask<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let lost = |lost: Lost| Error::Unavailable(lost.to_string());
        let deaths = self.link.call(Server::Store).await.map_err(lost)?;
        let answer = call.await;
        self.link.answer(Server::Store, deaths).await.map_err(lost)?;
        answer
    }
}

#[async_trait]
impl ChangesetLog for RemoteStore {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        self.ask(self.store.read(query)).await
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.ask(self.store.locate(stream_id, changeset_id)).await
    }

    async fn head(&self) -> Result<LogHead> {
        self.ask(self.store.head()).await
    }

    fn has_segments(&self) -> bool {
        self.store.has_segments()
    }

    async fn read_segment(&self, query: SegmentQuery) -> Result<SegmentPage> {
        self.ask(self.store.read_segment(query)).await
    }
}

#[async_trait]
impl EventStore for RemoteStore {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.ask(self.store.commit(commit)).await
    }

    fn limit_bytes(&self) -> usize {
        self.store.limit_bytes()
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        self.ask(self.store.read_stream(query)).await
    }

    async fn tail(&self, stream_id: &StreamId) -> Result<Tail> {
        self.ask(self.store.tail(stream_id)).await
    }

    async fn read_type(&self, query: TypeQuery) -> Result<TypePage> {
        self.ask(self.store.read_type(query)).await
    }
}
