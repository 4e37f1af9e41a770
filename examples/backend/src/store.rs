//! An event store in one append-only file: a line names the log, and each line after it is a changeset.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ees_store::decide::decide;
use ees_store::{
    Changeset, ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, Error, EventId, EventStore, Events,
    IdempotencyKey, Json, LogEntry, LogHead, LogId, LogPage, LogQuery, Refusal, Result, StreamId, StreamPage,
    StreamQuery, StreamRange, StreamType, Tail, Timestamp, TraceContext,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use crate::lines::Lines;

/// An event store in a file.
pub struct Store(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Where the log ends: wakes those who wait for more.
    head: watch::Sender<Checkpoint>,
    log_id: LogId,
    incarnation: Uuid,
    limit_bytes: usize,
}

struct State {
    lines: Lines,
    log: Vec<Changeset>,
    /// The places of each stream's changesets.
    streams: HashMap<StreamId, Vec<usize>>,
    keys: HashMap<(StreamId, String), usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Log(LogId),
    Changeset(Record),
}

#[derive(Serialize, Deserialize)]
struct Record {
    stream_id: StreamId,
    changeset_id: ChangesetId,
    first_event_id: EventId,
    events: Json,
    metadata: Json,
    timestamp: Timestamp,
    stream_type: Option<StreamType>,
    trace: Option<String>,
    idempotency_key: Option<String>,
}

impl Store {
    /// Opens the file, or makes it. The store keeps changesets of up to this many bytes.
    ///
    /// # Errors
    /// [`Error::Storage`] when the file can't be read or written, or another process has it;
    /// [`Error::Damaged`] when it is no log.
    pub fn open(path: impl AsRef<Path>, limit_bytes: usize) -> Result<Self> {
        let path = path.as_ref();
        let (mut lines, found) = Lines::open(path).map_err(failed)?;
        let mut found = found.into_iter();
        let log_id = match found.next() {
            Some(Line::Log(log_id)) => log_id,
            Some(Line::Changeset(_)) => return Err(damaged(path, &"no line names the log")),
            None => {
                let log_id = LogId(Uuid::new_v4());
                lines.append(&Line::Log(log_id)).map_err(failed)?;
                log_id
            }
        };
        let mut state = State { lines, log: Vec::new(), streams: HashMap::new(), keys: HashMap::new() };
        for line in found {
            let Line::Changeset(record) = line else { return Err(damaged(path, &"two lines name the log")) };
            let events = Events::parse(record.events.as_str()).map_err(|error| damaged(path, &error))?;
            state.keep(
                Changeset {
                    stream_id: record.stream_id,
                    changeset_id: record.changeset_id,
                    first_event_id: record.first_event_id,
                    events,
                    metadata: record.metadata,
                    timestamp: record.timestamp,
                    stream_type: record.stream_type,
                    trace: record.trace.as_deref().and_then(TraceContext::from_stored),
                },
                record.idempotency_key,
            );
        }
        let head = watch::Sender::new(Checkpoint::new(state.log.len() as u64));
        // Each opening is another incarnation: the file may have been replaced by an older copy of itself.
        let incarnation = Uuid::new_v4();
        Ok(Self(Arc::new(Inner { state: Mutex::new(state), head, log_id, incarnation, limit_bytes })))
    }
}

#[async_trait]
impl EventStore for Store {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        let inner = self.0.clone();
        // The disk is waited for on a thread where that holds up nobody else.
        let committed = tokio::task::spawn_blocking(move || inner.commit(&commit)).await;
        committed.unwrap_or_else(|error| Err(Error::Unavailable(error.to_string())))
    }

    fn limit_bytes(&self) -> usize {
        self.0.limit_bytes
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        let state = self.0.state();
        let stream = state.streams.get(&query.stream_id).ok_or(Error::StreamNotFound(query.stream_id))?;
        let mut page = StreamPage::default();
        let mut room = Room { count: query.limit, bytes: query.max_bytes };
        let stream = stream.iter().map(|&place| &state.log[place]);
        for changeset in stream.filter(|changeset| is_in(query.range, changeset)) {
            if !room.takes(changeset) && !page.changesets.is_empty() {
                page.next = Some(changeset.changeset_id);
                break;
            }
            page.changesets.push(changeset.clone());
        }
        Ok(page)
    }
}

#[async_trait]
impl ChangesetLog for Store {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        // Before the first look, so that nothing arrives unnoticed between looking and waiting.
        let mut head = self.0.head.subscribe();
        let page = self.0.read(&query);
        if page.next > query.from || query.wait.is_zero() {
            return Ok(page);
        }
        // When the time is over the page is empty.
        let _ = tokio::time::timeout(query.wait, head.wait_for(|head| *head > query.from)).await;
        Ok(self.0.read(&query))
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        let state = self.0.state();
        let places = state.streams.get(stream_id).map_or(&[][..], Vec::as_slice);
        let number = usize::try_from(changeset_id.get()).unwrap_or(usize::MAX);
        let place = number.checked_sub(1).and_then(|at| places.get(at));
        Ok(place.map(|&place| Checkpoint::new(place as u64)))
    }

    async fn head(&self) -> Result<LogHead> {
        Ok(self.0.log_head(&self.0.state()))
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock holds a state that is whole: no change to it can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_head(&self, state: &State) -> LogHead {
        let checkpoint = Checkpoint::new(state.log.len() as u64);
        LogHead { checkpoint, log_id: self.log_id, incarnation: self.incarnation }
    }

    fn commit(&self, commit: &Commit) -> Result<Committed> {
        let mut state = self.state();
        let key = commit.idempotency_key.as_ref().map(|key| key.as_str().to_owned());
        if let Some(first) = commit.idempotency_key.as_ref().and_then(|key| state.first(commit, key)) {
            return first;
        }
        let tail = state.tail(&commit.stream_id);
        let changeset = decide(&tail, commit, self.limit_bytes, Timestamp::now())?;
        let record = Record {
            stream_id: changeset.stream_id.clone(),
            changeset_id: changeset.changeset_id,
            first_event_id: changeset.first_event_id,
            events: changeset.events.as_json().map_err(|e| Error::InvalidRequest(e.to_string()))?.clone(),
            metadata: changeset.metadata.clone(),
            timestamp: changeset.timestamp,
            stream_type: changeset.stream_type.clone(),
            trace: changeset.trace.as_ref().map(|trace| trace.as_stored().to_owned()),
            idempotency_key: key.clone(),
        };
        // On disk before anybody can read it, and before it is answered.
        state.lines.append(&Line::Changeset(record)).map_err(failed)?;
        let committed = state.committed(state.log.len(), &changeset);
        state.keep(changeset, key);
        self.head.send_replace(Checkpoint::new(state.log.len() as u64));
        Ok(committed)
    }

    fn read(&self, query: &LogQuery) -> LogPage {
        let state = self.state();
        let (mut changesets, mut next) = (Vec::new(), query.from);
        let mut room = Room { count: query.limit, bytes: query.max_bytes };
        let from = usize::try_from(query.from.get()).unwrap_or(usize::MAX);
        for (place, changeset) in state.log.iter().enumerate().skip(from) {
            let checkpoint = Checkpoint::new(place as u64);
            if query.filter.accepts(changeset) {
                if !room.takes(changeset) && !changesets.is_empty() {
                    break;
                }
                changesets.push(LogEntry { checkpoint, changeset: changeset.clone() });
            }
            next = checkpoint.next();
        }
        LogPage::new(query.from, changesets, next, self.log_head(&state))
    }
}

impl State {
    fn keep(&mut self, changeset: Changeset, key: Option<String>) {
        let place = self.log.len();
        self.streams.entry(changeset.stream_id.clone()).or_default().push(place);
        if let Some(key) = key {
            self.keys.insert((changeset.stream_id.clone(), key), place);
        }
        self.log.push(changeset);
    }

    /// What the first commit with this key was answered, if there was one.
    fn first(&self, commit: &Commit, key: &IdempotencyKey) -> Option<Result<Committed>> {
        let place = *self.keys.get(&(commit.stream_id.clone(), key.as_str().to_owned()))?;
        let first = &self.log[place];
        let is_same = first.events == commit.events && first.metadata == *commit.metadata();
        Some(if is_same { Ok(self.committed(place, first)) } else { Err(Refusal::KeyReused.into()) })
    }

    fn committed(&self, place: usize, changeset: &Changeset) -> Committed {
        let checkpoint = Some(Checkpoint::new(place as u64));
        Committed { changeset_id: changeset.changeset_id, checkpoint }
    }

    fn tail(&self, stream_id: &StreamId) -> Tail {
        let last = self.streams.get(stream_id).and_then(|places| places.last());
        last.map(|&place| Tail::after(&self.log[place])).unwrap_or_default()
    }
}

/// What a page still takes.
struct Room {
    count: usize,
    bytes: usize,
}

impl Room {
    fn takes(&mut self, changeset: &Changeset) -> bool {
        let left = self.count.checked_sub(1).zip(self.bytes.checked_sub(changeset.size_bytes()));
        let takes = left.is_some();
        (self.count, self.bytes) = left.unwrap_or_default();
        takes
    }
}

fn is_in(range: StreamRange, changeset: &Changeset) -> bool {
    match range {
        _ if range.is_empty() => false,
        StreamRange::Changesets { from, to } => {
            changeset.changeset_id >= from && to.is_none_or(|to| changeset.changeset_id <= to)
        }
        StreamRange::Events { from, to } => {
            changeset.last_event_id() >= from && to.is_none_or(|to| changeset.first_event_id <= to)
        }
    }
}

/// Whether a commit was stored is unknown then: its caller repeats it under its key.
fn failed(error: std::io::Error) -> Error {
    Error::Storage { detail: error.to_string(), source: error.into() }
}

fn damaged(path: &Path, detail: &dyn std::fmt::Display) -> Error {
    Error::Damaged { path: path.to_owned(), detail: detail.to_string() }
}
