//! A store that fails as told, and remembers what it was asked for.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, Error, EventStore, Events, Expectation,
    LogHead, LogPage, LogQuery, Result, StreamId, StreamPage, StreamQuery,
};

/// What becomes of one commit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// It is stored, and the answer lost.
    LoseAnswer,
    /// It is stored, the answer lost, and then somebody else appends.
    LoseAnswerThenOvertake,
    /// It does not arrive.
    LoseRequest,
    /// Somebody else appends first.
    Overtake,
}

/// Any store, with faults of the test's choice.
pub(crate) struct Rigged {
    events: Arc<dyn EventStore>,
    log: Arc<dyn ChangesetLog>,
    turns: Mutex<VecDeque<Turn>>,
    asked: Mutex<Vec<StreamQuery>>,
    page: Mutex<Option<usize>>,
    _kept: Box<dyn Any + Send + Sync>,
}

impl Rigged {
    pub(crate) fn new<S: EventStore + ChangesetLog>(
        store: Arc<S>,
        kept: impl Any + Send + Sync,
    ) -> Arc<Self> {
        Arc::new(Self {
            events: store.clone(),
            log: store,
            turns: Mutex::default(),
            asked: Mutex::default(),
            page: Mutex::default(),
            _kept: Box::new(kept),
        })
    }

    /// One turn for each commit to come; then they are forwarded.
    pub(crate) fn rig(&self, turns: impl IntoIterator<Item = Turn>) {
        self.turns.lock().unwrap().extend(turns);
    }

    /// From now on, a page has at most this many changesets.
    pub(crate) fn cut_pages(&self, changesets: usize) {
        *self.page.lock().unwrap() = Some(changesets);
    }

    /// What was read of streams since this was asked last.
    pub(crate) fn asked(&self) -> Vec<StreamQuery> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Somebody else's events, behind whatever is there.
    pub(crate) async fn append(&self, stream_id: &StreamId, events: &str) {
        let last = match self.events.read_stream(StreamQuery::all(stream_id.clone())).await {
            Ok(page) => page.changesets.last().map_or(ChangesetId::NONE, |last| last.changeset_id),
            Err(Error::StreamNotFound(_)) => ChangesetId::NONE,
            Err(other) => panic!("{other}"),
        };
        let events = Events::parse(events).unwrap();
        let commit = Commit::new(stream_id.clone(), Expectation::LastChangeset(last), events);
        self.events.commit(commit).await.unwrap();
    }

    /// How many changesets there are, in all streams.
    pub(crate) async fn count(&self) -> u64 {
        self.log.head().await.unwrap().checkpoint.get()
    }
}

const OTHERS: &str = r#"[{"type":"restocked","count":1000}]"#;

#[async_trait]
impl EventStore for Rigged {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        let turn = self.turns.lock().unwrap().pop_front();
        let lost = || Err(Error::Unavailable("lost, as the test wants it".to_owned()));
        let stream_id = commit.stream_id.clone();
        match turn {
            None => self.events.commit(commit).await,
            Some(Turn::LoseRequest) => lost(),
            Some(Turn::LoseAnswer) => {
                self.events.commit(commit).await?;
                lost()
            }
            Some(Turn::LoseAnswerThenOvertake) => {
                self.events.commit(commit).await?;
                self.append(&stream_id, OTHERS).await;
                lost()
            }
            Some(Turn::Overtake) => {
                self.append(&stream_id, OTHERS).await;
                self.events.commit(commit).await
            }
        }
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        self.asked.lock().unwrap().push(query.clone());
        let page = *self.page.lock().unwrap();
        self.events.read_stream(query.with_limit(page.unwrap_or(usize::MAX))).await
    }
}

#[async_trait]
impl ChangesetLog for Rigged {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        self.log.read(query).await
    }
    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.log.locate(stream_id, changeset_id).await
    }
    async fn head(&self) -> Result<LogHead> {
        self.log.head().await
    }
}
