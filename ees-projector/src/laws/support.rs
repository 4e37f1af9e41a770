//! What the laws run on: a log that can be exchanged, and a projection that can be told to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, Filter, LogHead, LogPage,
    LogQuery, Quarantined, Result, SegmentPage, SegmentQuery, StreamId, StreamQuery, Timestamp, memory,
};
use serde::Deserialize;

use super::Subject;
use crate::Subscription;
use crate::database::FoldRows;
use crate::reactor::{Cause, Reactor};
use crate::read_model::{Change, Value};
use crate::{
    BoxError, Handle, OnFailure, Order, Projection, Projector, Recorded, Retry, Running, Settings, State,
    Status, Table,
};

/// A new subject; shared by those who are at work on its database.
pub(super) async fn fresh<S: Subject>() -> Arc<S> {
    Arc::new(S::new().await)
}

/// A log whose content can be exchanged under its reader, as a restore would.
#[derive(Default)]
pub(super) struct ChangingLog {
    store: RwLock<Arc<memory::Store>>,
    /// Changesets from here on are not shown, although the log says that they are there.
    held_back: RwLock<Option<Checkpoint>>,
}

impl ChangingLog {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn store(&self) -> Arc<memory::Store> {
        self.store.read().unwrap().clone()
    }

    /// Shows nothing more that is appended, as an index that lags.
    pub(super) async fn hold_back(&self) {
        let head = self.store().head().await.unwrap().checkpoint;
        *self.held_back.write().unwrap() = Some(head);
    }

    /// Shows all again.
    pub(super) fn show_all(&self) {
        *self.held_back.write().unwrap() = None;
    }

    pub(super) fn exchange(&self, other: memory::Store) {
        *self.store.write().unwrap() = Arc::new(other);
    }

    /// Appends one event to a stream, whatever its length; its place.
    pub(super) async fn append(&self, stream: &str, event: &str) -> Checkpoint {
        append(&self.store(), stream, event).await
    }

    /// Appends one event to a new stream, at this time; its place.
    pub(super) async fn append_at(&self, time: Timestamp, stream: &str, event: &str) -> Checkpoint {
        let events = Events::parse(&format!("[{event}]")).unwrap();
        let commit = Commit::new(stream.parse().unwrap(), Expectation::NewStream, events);
        self.store().commit(commit.with_recorded_at(time)).await.unwrap().checkpoint.unwrap()
    }

    /// Appends a changeset with this number that nobody can read; its place.
    pub(super) async fn append_quarantined(&self, stream: &str, changeset_id: u64) -> Checkpoint {
        let quarantined = Quarantined::new("it was told to be", "[NaN]", "{}");
        let events = Events::quarantine(quarantined, 1);
        let expectation = Expectation::LastChangeset((changeset_id - 1).into());
        let commit = Commit::new(stream.parse().unwrap(), expectation, events);
        self.store().commit(commit).await.unwrap().checkpoint.unwrap()
    }
}

pub(super) async fn append(store: &memory::Store, stream: &str, event: &str) -> Checkpoint {
    let id: StreamId = stream.parse().unwrap();
    loop {
        let read = store.read_stream(StreamQuery::all(id.clone())).await;
        let last = read.map_or(0, |page| page.changesets.len());
        let events = Events::parse(&format!("[{event}]")).unwrap();
        let commit = Commit::new(id.clone(), Expectation::LastChangeset((last as u64).into()), events);
        match store.commit(commit).await {
            // Another reader of a log that grows has appended meanwhile.
            Err(ees_store::Error::Refused(ees_store::Refusal::Conflict { .. })) => {}
            committed => return committed.unwrap().checkpoint.unwrap(),
        }
    }
}

#[async_trait]
impl ChangesetLog for ChangingLog {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        let from = query.from;
        let mut page = self.store().read(query).await?;
        if let Some(held_back) = *self.held_back.read().unwrap() {
            page.changesets.retain(|changeset| changeset.checkpoint < held_back);
            page.next = page.next.min(held_back).max(from);
        }
        Ok(page)
    }
    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.store().locate(stream_id, changeset_id).await
    }
    async fn head(&self) -> Result<LogHead> {
        self.store().head().await
    }
    fn has_segments(&self) -> bool {
        self.store().has_segments()
    }
    async fn read_segment(&self, query: SegmentQuery) -> Result<SegmentPage> {
        self.store().read_segment(query).await
    }
}

/// What the test's projection does wrong.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) streams: Mutex<BTreeSet<String>>,
    pub(super) panic: AtomicBool,
}

impl Faults {
    pub(super) fn fail(&self, stream: &str) {
        self.streams.lock().unwrap().insert(stream.to_owned());
    }
    pub(super) fn mend(&self) {
        self.streams.lock().unwrap().clear();
        self.panic.store(false, SeqCst);
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Note {
    Noted { text: String },
}

/// Writes down what it sees: a row an event (how often it was applied, and its text), and a row a stream (its texts
/// in the order they came).
#[derive(Clone)]
pub(super) struct Journal {
    pub(super) name: &'static str,
    pub(super) version: u32,
    pub(super) order: Order,
    pub(super) filter: Filter,
    pub(super) since: Option<Timestamp>,
    pub(super) faults: Arc<Faults>,
    /// Appended to each text.
    pub(super) ending: &'static str,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self {
            name: "journal",
            version: 1,
            order: Order::Stream,
            filter: Filter::default(),
            since: None,
            faults: Arc::default(),
            ending: "",
        }
    }
}

impl<Tx: FoldRows> Projection<Tx> for Journal {
    type Event = Note;

    fn name(&self) -> &str {
        self.name
    }
    fn version(&self) -> u32 {
        self.version
    }
    fn order(&self) -> Order {
        self.order
    }
    fn subscription(&self) -> Subscription {
        Subscription { since: self.since, ..Subscription::to(self.filter.clone()) }
    }
    async fn create_tables(&self, tx: &mut Tx) -> std::result::Result<(), BoxError> {
        tx.create_table(&Table::document(self.name)).await
    }
    async fn drop_tables(&self, tx: &mut Tx) -> std::result::Result<(), BoxError> {
        tx.drop_table(&Table::document(self.name)).await
    }
    async fn apply(&self, event: Recorded<'_, Note>, tx: &mut Tx) -> std::result::Result<(), BoxError> {
        let Note::Noted { text } = event.event;
        let text = format!("{text}{}", self.ending);
        let stream = event.stream_id().as_str();
        let once = format!("{stream}#{}", event.event_id);
        let table = Table::document(self.name);
        let before = tx.load_rows(&table, &[&once, stream]).await?;
        let written: Vec<Option<&str>> = before.iter().map(|row| row.as_deref().map(json)).collect();
        let count: u64 = written[0].map_or(Ok(0), serde_json::from_str)?;
        let texts: Option<String> = written[1].map(serde_json::from_str).transpose()?;
        let texts = texts.map_or_else(|| text.clone(), |texts| format!("{texts} {text}"));
        let document = |text: String| Some(vec![Value::Json(text)]);
        let texts = serde_json::to_string(&texts)?;
        let rows = [
            Change { key: once, before: before[0].clone(), row: document((count + 1).to_string()) },
            Change { key: stream.to_owned(), before: before[1].clone(), row: document(texts) },
        ];
        tx.write_rows(&table, &rows).await?;
        // Fails after it has written: what it wrote must not stay.
        if self.faults.panic.load(SeqCst) {
            panic!("told to");
        }
        if self.faults.streams.lock().unwrap().contains(stream) {
            return Err(format!("no {text}").into());
        }
        Ok(())
    }
}

fn json(document: &[Value]) -> &str {
    match document {
        [Value::Json(text)] => text,
        other => panic!("not a document: {other:?}"),
    }
}

/// A running journal, and what is needed to look at it.
pub(super) struct Bench<S> {
    pub(super) log: Arc<ChangingLog>,
    pub(super) subject: Arc<S>,
    pub(super) running: Running,
}

pub(super) fn settings() -> Settings {
    let retry = Retry { times: 2, delay_min: Duration::from_millis(1), delay_max: Duration::from_millis(5) };
    Settings { retry, ..Settings::default() }
}

pub(super) fn parking(parking: crate::Parking) -> Settings {
    Settings { on_failure: OnFailure::Park(parking), ..settings() }
}

pub(super) fn start<S: Subject>(
    log: &Arc<ChangingLog>,
    subject: &Arc<S>,
    journal: &Journal,
    settings: Settings,
) -> Bench<S> {
    let mut projector = Projector::new(log.clone());
    projector.projection(journal.clone(), subject.database(), settings).unwrap();
    Bench { log: log.clone(), subject: subject.clone(), running: projector.start() }
}

/// Far longer than anything here takes.
pub(super) const LONG: Duration = Duration::from_secs(60);

impl<S: Subject> Bench<S> {
    pub(super) fn handle(&self) -> &Handle {
        self.running.handle()
    }

    /// Shuts the worker down; nothing of it is left.
    pub(super) async fn close(self) {
        self.running.shut_down().await;
    }

    pub(super) async fn caught_up(&self) {
        let head = self.log.head().await.unwrap().checkpoint;
        self.handle().when_reached("journal", head, LONG).await.unwrap();
    }

    /// The status once it is as wanted.
    pub(super) async fn status_when(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut last = None;
        let found = tokio::time::timeout(LONG, async {
            loop {
                let status = self.handle().status("journal").await.unwrap();
                if wanted(&status) {
                    return status;
                }
                last = Some(status);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        match found.await {
            Ok(status) => status,
            Err(_) => panic!("the status never came to what was wanted; it is {last:#?}"),
        }
    }

    pub(super) async fn paused(&self) -> Status {
        self.status_when(|status| status.state == State::Paused).await
    }

    pub(super) async fn texts(&self, stream: &str) -> Option<String> {
        self.subject.table("journal").await.get(stream).map(|text| serde_json::from_str(text).unwrap())
    }

    /// How often each event was applied, by stream and event.
    pub(super) async fn counts(&self) -> BTreeMap<String, u64> {
        let rows = self.subject.table("journal").await;
        rows.into_iter()
            .filter(|(key, _)| key.contains('#'))
            .map(|(key, n)| (key, n.parse().unwrap()))
            .collect()
    }
}

/// Blocks as long as it is told to, and keeps no thread of the runtime from other work.
pub(super) fn wait_while(told: &AtomicBool) {
    if told.load(SeqCst) {
        tokio::task::block_in_place(|| {
            while told.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }
}

pub(super) fn note(text: &str) -> String {
    format!(r#"{{"type":"noted","text":"{text}"}}"#)
}

/// Waits until a projection has applied the whole log.
pub(super) async fn caught_up(log: &ChangingLog, handle: &Handle, name: &str) {
    let head = log.head().await.unwrap().checkpoint;
    handle.when_reached(name, head, LONG).await.unwrap();
}

/// A reactor that does nothing.
pub(super) struct Silent;

impl Reactor for Silent {
    type Event = serde::de::IgnoredAny;
    fn name(&self) -> &str {
        "silent"
    }
    fn acts_in_effects_only(&self) -> bool {
        true
    }
    async fn react(&self, _: Cause<'_, Self::Event>) -> std::result::Result<(), BoxError> {
        Ok(())
    }
}
