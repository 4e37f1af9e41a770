//! A store in memory, for tests. It keeps the same laws as the others, but nothing on disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use crate::decide::{Refusal, Tail, decide};
use crate::segment::OpenPage;
use crate::spans;
use crate::{
    Changeset, ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, Error, EventStore, IdempotencyKey,
    LogEntry, LogHead, LogId, LogPage, LogQuery, Result, Segment, SegmentPage, SegmentPlace, SegmentQuery,
    StreamId, StreamPage, StreamQuery, StreamRange, StreamType, Timestamp, TypePage, TypePosition, TypeQuery,
    TypedStream,
};

/// A store in memory, for tests. Its content is lost when it is dropped; for all other uses choose
/// `sqlite::Store`.
///
/// It keeps idempotency keys for ever.
pub struct Store {
    state: Mutex<State>,
    head: watch::Sender<Checkpoint>,
    log_id: LogId,
    incarnation: Uuid,
    limit_bytes: usize,
}

#[derive(Default)]
struct State {
    log: Vec<Changeset>,
    streams: BTreeMap<StreamId, Vec<usize>>,
    by_type: HashMap<StreamType, BTreeSet<TypePosition>>,
    keys: HashMap<(StreamId, IdempotencyKey), usize>,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// An empty store, for changesets of up to 1 MiB.
    pub fn new() -> Self {
        Self::with_limit_bytes(1024 * 1024)
    }

    /// An empty store, for changesets of up to this many bytes of events and metadata.
    pub fn with_limit_bytes(limit_bytes: usize) -> Self {
        Self {
            state: Mutex::default(),
            head: watch::Sender::new(Checkpoint::START),
            log_id: LogId(Uuid::new_v4()),
            incarnation: Uuid::new_v4(),
            limit_bytes,
        }
    }

    /// Gives this store the identity of another one, as if it held an earlier or later state of the same log:
    /// what a restore leaves behind. For tests of readers.
    #[must_use]
    pub fn with_identity_of(self, other: &Self) -> Self {
        Self { log_id: other.log_id, ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock holds a state that is whole: no change to it can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_head(&self, checkpoint: Checkpoint) -> LogHead {
        LogHead { checkpoint, log_id: self.log_id, incarnation: self.incarnation }
    }

    fn read_now(&self, query: &LogQuery) -> LogPage {
        let state = self.state();
        let head = Checkpoint::new(state.log.len() as u64);
        let from = usize::try_from(query.from.get()).unwrap_or(usize::MAX);
        let (mut changesets, mut next) = (Vec::new(), query.from);
        let filter = query.filter.matcher();
        let mut bytes = 0;
        for (at, changeset) in state.log.iter().enumerate().skip(from) {
            let checkpoint = Checkpoint::new(at as u64);
            if filter.accepts(changeset) {
                bytes += changeset.size_bytes();
                let full = changesets.len() >= query.limit || bytes > query.max_bytes;
                if full && !changesets.is_empty() {
                    break;
                }
                changesets.push(LogEntry { checkpoint, changeset: changeset.clone() });
            }
            next = checkpoint.next();
        }
        LogPage::new(query.from, changesets, next, self.log_head(head))
    }

    fn read_segment_now(&self, query: &SegmentQuery) -> SegmentPage {
        let state = self.state();
        let from = query.after.as_ref().map(|place| StreamId::stored(place.stream_id()));
        let streams =
            state.streams.range((from.as_ref().map_or(Bound::Unbounded, Bound::Included), Bound::Unbounded));
        let mut page = OpenPage::new(query);
        for (stream_id, stream) in streams.filter(|(id, _)| is_in(query.segment, id)) {
            let is_begun = from.as_ref() == Some(stream_id);
            let begin = query.after.as_ref().filter(|_| is_begun).map_or(0, SegmentPlace::changeset_id);
            for &at in stream.iter().skip(usize::try_from(begin).unwrap_or(usize::MAX)) {
                let checkpoint = Checkpoint::new(at as u64);
                if checkpoint >= query.until {
                    break;
                }
                if !page.take(LogEntry { checkpoint, changeset: state.log[at].clone() }) {
                    return page.cut();
                }
            }
        }
        page.last()
    }

    fn commit_now(&self, commit: Commit) -> Result<Committed> {
        let mut state = self.state();
        let key = commit.idempotency_key.clone().map(|key| (commit.stream_id.clone(), key));
        if let Some(&at) = key.as_ref().and_then(|key| state.keys.get(key)) {
            let first = &state.log[at];
            if first.events != commit.events || first.metadata != commit.metadata {
                return Err(Refusal::KeyReused.into());
            }
            return Ok(committed(first, at));
        }
        let tail = state.tail(&commit.stream_id);
        let changeset = decide(&tail, &commit, self.limit_bytes, Timestamp::now())?;
        let at = state.log.len();
        let answer = committed(&changeset, at);
        state.move_within_type(&tail, &changeset);
        state.streams.entry(commit.stream_id).or_default().push(at);
        if let Some(key) = key {
            state.keys.insert(key, at);
        }
        state.log.push(changeset);
        self.head.send_replace(Checkpoint::new(at as u64 + 1));
        Ok(answer)
    }
}

#[async_trait]
impl EventStore for Store {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        spans::commit(commit, "memory", async |commit, _| self.commit_now(commit)).await
    }

    fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        let state = self.state();
        let stream = state.streams.get(&query.stream_id).ok_or(Error::StreamNotFound(query.stream_id))?;
        let mut page = StreamPage::default();
        let mut bytes = 0;
        for changeset in
            stream.iter().map(|&at| &state.log[at]).filter(|changeset| within(query.range, changeset))
        {
            bytes += changeset.size_bytes();
            let full = page.changesets.len() >= query.limit || bytes > query.max_bytes;
            if full && !page.changesets.is_empty() {
                page.next = Some(changeset.changeset_id);
                break;
            }
            page.changesets.push(changeset.clone());
        }
        Ok(page)
    }

    async fn tail(&self, stream_id: &StreamId) -> Result<Tail> {
        Ok(self.state().tail(stream_id))
    }

    async fn read_type(&self, query: TypeQuery) -> Result<TypePage> {
        let state = self.state();
        let Some(streams) = state.by_type.get(&query.stream_type) else { return Ok(TypePage::default()) };
        let after = query.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let found = streams.range((after, Bound::Unbounded));
        let found = found.filter(|it| it.updated_at >= query.updated_from).take(query.page_length() + 1);
        let found =
            found.map(|it| TypedStream { stream_id: it.stream_id.clone(), tail: state.tail(&it.stream_id) });
        Ok(TypePage::cut(found.collect(), query.page_length()))
    }
}

impl State {
    fn tail(&self, stream_id: &StreamId) -> Tail {
        let last = self.streams.get(stream_id).and_then(|stream| stream.last());
        last.map_or_else(Tail::default, |&at| Tail::after(&self.log[at]))
    }

    /// A stream that has a type moves to its end.
    fn move_within_type(&mut self, from: &Tail, changeset: &Changeset) {
        let Some(stream_type) = &changeset.stream_type else { return };
        let at = |updated_at| TypePosition { updated_at, stream_id: changeset.stream_id.clone() };
        let streams = self.by_type.entry(stream_type.clone()).or_default();
        streams.remove(&at(from.last_timestamp));
        streams.insert(at(changeset.timestamp));
    }
}

fn is_in(segment: Segment, stream_id: &StreamId) -> bool {
    let mut hasher = DefaultHasher::new();
    stream_id.hash(&mut hasher);
    hasher.finish() % u64::from(segment.count.max(1)) == u64::from(segment.index)
}

fn committed(changeset: &Changeset, at: usize) -> Committed {
    Committed { changeset_id: changeset.changeset_id, checkpoint: Some(Checkpoint::new(at as u64)) }
}

fn within(range: StreamRange, changeset: &Changeset) -> bool {
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

#[async_trait]
impl ChangesetLog for Store {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        let mut head = self.head.subscribe();
        let page = self.read_now(&query);
        if page.next > query.from || query.wait.is_zero() {
            return Ok(page);
        }
        let arrived = head.wait_for(|&head| head > query.from);
        let _ = tokio::time::timeout(query.wait, arrived).await;
        Ok(self.read_now(&query))
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        let at = usize::try_from(changeset_id.get()).unwrap_or(usize::MAX);
        let state = self.state();
        let place = state.streams.get(stream_id).and_then(|stream| stream.get(at.checked_sub(1)?));
        Ok(place.map(|&at| Checkpoint::new(at as u64)))
    }

    async fn head(&self) -> Result<LogHead> {
        let head = *self.head.borrow();
        Ok(self.log_head(head))
    }

    fn has_segments(&self) -> bool {
        true
    }

    async fn read_segment(&self, query: SegmentQuery) -> Result<SegmentPage> {
        Ok(self.read_segment_now(&query))
    }
}
