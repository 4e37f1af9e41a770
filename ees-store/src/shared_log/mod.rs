//! A log that the readers of one process share: what arrives is read once, for all of them.
//!
//! - [`SharedLog`] is the log, and a [`ChangesetLog`] itself. A [`Watch`] waits for what concerns one reader.
//! - `tail_reader` reads what arrives, for as long as somebody waits for it.
//! - `ring` keeps the newest part, `watches` knows who waits for what.
//!
//! A reader that is farther behind than the ring reaches reads the log itself, until it meets the ring.

mod ring;
mod tail_reader;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    ChangesetId, ChangesetLog, Checkpoint, LogEntry, LogHead, LogId, LogPage, LogQuery, Result, SegmentPage,
    SegmentQuery, StreamId, Timestamp,
};
use tail_reader::{State, TailReader};
pub(crate) use watches::Interest;

/// A reader that was ahead of the ring waits this long for it, and then reads by itself.
const MEETING_TIME: Duration = Duration::from_secs(1);

/// Which log it is, in which incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(LogId, Uuid);

impl Identity {
    pub(crate) fn of(head: &LogHead) -> Self {
        Self(head.log_id, head.incarnation)
    }
}

/// A log whose readers in one process read together.
///
/// Each new part of the log is read once, however many readers wait for it, and kept for those who come a
/// little later: for 5 seconds, up to 16 MiB. A reader that is farther behind reads the log itself. Nothing is
/// read while nobody waits.
///
/// It keeps the promises of [`ChangesetLog`] to each reader. Cloning is cheap, and clones share everything.
/// `http::Api` (feature `http`) and projectors share a log among their own readers; give the same one to
/// several of them, so that these share it too.
///
/// ```
/// use std::sync::Arc;
/// use ees_store::{SharedLog, memory};
/// let store = Arc::new(memory::Store::new());
/// let log = SharedLog::from(store);
/// let other_reader = log.clone();
/// # let _ = other_reader;
/// ```
#[derive(Clone)]
pub struct SharedLog(Arc<TailReader>);

impl SharedLog {
    /// Shares a log.
    pub fn new(log: Arc<dyn ChangesetLog>) -> Self {
        Self(Arc::new(TailReader::new(log)))
    }

    /// Reads the log now for all readers that wait: call it when something else announces that it has grown.
    pub fn look_again(&self) {
        self.0.look_again();
    }

    /// Waits for what arrives at `from` and after it; of this log only, or of any without an identity. `None`
    /// when the ring does not reach there, or the log can't be read at the moment: then read the log itself.
    pub(crate) fn watch(
        &self,
        from: Checkpoint,
        interest: Interest,
        identity: Option<Identity>,
    ) -> Option<Watch> {
        let mut state = self.0.state();
        let is_there = state.ring.has(from) || state.ring.end() == from;
        if !is_there || state.last_read_failed() || state.head.is_none() {
            return None;
        }
        Some(self.watch_in(&mut state, from, interest, identity))
    }

    /// Waits for what arrives from now on; of this log only, or of the one that it is now.
    ///
    /// # Errors
    /// The end of the log can't be read.
    pub(crate) async fn watch_from_now(
        &self,
        interest: Interest,
        identity: Option<Identity>,
    ) -> Result<Watch> {
        let watch_at = |state: &mut State, place: Checkpoint| {
            let identity = identity.or(state.head.as_ref().map(Identity::of));
            self.watch_in(state, place, interest.clone(), identity)
        };
        let in_use = |state: &mut State| {
            let end = state.ring.end();
            (state.is_in_use() && state.head.is_some()).then(|| watch_at(state, end))
        };
        if let Some(watch) = in_use(&mut self.0.state()) {
            return Ok(watch);
        }
        let head = self.head().await?.checkpoint;
        let mut state = self.0.state();
        if let Some(watch) = in_use(&mut state) {
            return Ok(watch);
        }
        if state.ring.end() != head {
            state.begin_at(head);
        }
        Ok(watch_at(&mut state, head))
    }

    /// Where the log ends, as far as its readers know.
    pub(crate) fn known_head(&self) -> Option<LogHead> {
        self.0.state().head.clone()
    }

    fn watch_in(
        &self,
        state: &mut State,
        from: Checkpoint,
        interest: Interest,
        identity: Option<Identity>,
    ) -> Watch {
        let found = (from < state.ring.end()).then_some(from);
        let (number, wake) = state.watches.add(interest, found);
        self.0.start(state);
        Watch { log: self.clone(), number, wake, identity }
    }

    /// Lets the ring begin where this reader is, which has found nothing there in a log that ends so; or waits
    /// until the ring comes there. `false` when it does not.
    pub(crate) async fn join_ring(&self, from: Checkpoint, head: &LogHead) -> bool {
        if head.checkpoint != from {
            // The log ends before this place, or does not show yet what is at it.
            return false;
        }
        let until = Instant::now() + MEETING_TIME;
        loop {
            let watch = {
                let mut state = self.0.state();
                if state.last_read_failed() && state.is_in_use() {
                    return false;
                }
                if !state.is_in_use() && (state.ring.end() != from || state.last_read_failed()) {
                    state.begin_at(from);
                }
                let end = state.ring.end();
                if end >= from {
                    return end == from || state.ring.has(from);
                }
                self.watch_in(&mut state, end, Interest::Everything, None)
            };
            if tokio::time::timeout_at(until, watch.arrival()).await.is_err() {
                return false;
            }
        }
    }

    /// Reads the log itself.
    async fn read_itself(&self, query: LogQuery) -> Result<LogPage> {
        let page = self.0.log().read(query).await?;
        self.0.record_head(&page.head);
        Ok(page)
    }

    /// A page of the ring, if it has everything that is asked for, whatever arrives.
    fn whole_page(&self, query: &LogQuery) -> Option<LogPage> {
        let (entries, head) = {
            let state = self.0.state();
            if !query.filter.is_all() || !state.ring.has(query.from) {
                return None;
            }
            let wanted = query.limit.max(1);
            let entries: Vec<_> = state.ring.since(query.from).take(wanted).cloned().collect();
            (entries, state.head.clone()?)
        };
        let end = entries.last()?.checkpoint.next();
        let page = page_of(query, &entries, end, head);
        (page.next < end || page.changesets.len() >= query.limit.max(1)).then_some(page)
    }
}

/// What a query finds among the entries up to `end`.
fn page_of(query: &LogQuery, entries: &[Arc<LogEntry>], end: Checkpoint, head: LogHead) -> LogPage {
    let (limit, filter) = (query.limit.max(1), query.filter.matcher());
    let (mut changesets, mut bytes, mut next) = (Vec::new(), 0_usize, end);
    for entry in entries {
        if !filter.accepts(entry) {
            continue;
        }
        bytes = bytes.saturating_add(entry.size_bytes());
        if changesets.len() >= limit || (bytes > query.max_bytes && !changesets.is_empty()) {
            next = entry.checkpoint;
            break;
        }
        changesets.push(LogEntry::clone(entry));
    }
    LogPage::new(query.from, changesets, next, head)
}

/// A reader that waits. Woken only by changesets that its interest covers.
pub(crate) struct Watch {
    log: SharedLog,
    number: u64,
    wake: Arc<Notify>,
    /// It ends when the log is another one; without an identity it stays.
    identity: Option<Identity>,
}

/// What has arrived.
pub(crate) enum Arrived {
    /// Changesets in order, which may be others too, and where the rest begins. Without changesets: there is
    /// nothing before that place.
    Changesets(Vec<Arc<LogEntry>>, Checkpoint),
    /// Something is at this place that the ring does not have. Read the log itself.
    Behind(Checkpoint),
    /// The log may be another one now.
    Ended,
}

impl Watch {
    /// Waits until something has arrived, or a read failed. It may complete without either.
    pub(crate) async fn arrival(&self) {
        self.wake.notified().await;
    }

    /// Takes what has arrived, up to this many bytes, or one changeset.
    pub(crate) fn take(&self, bytes_max: usize) -> Arrived {
        let mut state = self.log.0.state();
        let (end, start) = (state.ring.end(), state.ring.start());
        if self.has_other_log(&state) {
            return Arrived::Ended;
        }
        let from = match state.watches.found(self.number) {
            None => return Arrived::Ended,
            Some(None) => return Arrived::Changesets(Vec::new(), end),
            Some(Some(from)) if from < start => return Arrived::Behind(from),
            Some(Some(from)) => from,
        };
        let (mut entries, mut bytes, mut rest) = (Vec::new(), 0_usize, None);
        for entry in state.ring.since(from) {
            bytes = bytes.saturating_add(entry.size_bytes());
            if bytes > bytes_max && !entries.is_empty() {
                rest = Some(entry.checkpoint);
                break;
            }
            entries.push(entry.clone());
        }
        state.watches.has_seen(self.number, rest);
        Arrived::Changesets(entries, rest.unwrap_or(end))
    }

    /// The page that a query finds, if anything has arrived at its place.
    fn page(&self, query: &LogQuery) -> Option<LogPage> {
        let state = self.log.0.state();
        let is_found = state.watches.found(self.number).is_some();
        if !is_found || !state.ring.has(query.from) {
            return None;
        }
        let entries: Vec<_> = state.ring.since(query.from).cloned().collect();
        let (end, head) = (state.ring.end(), state.head.clone()?);
        drop(state);
        Some(page_of(query, &entries, end, head))
    }

    /// Whether there is nothing to do but wait for what arrives at `from`.
    fn waits_at(&self, from: Checkpoint) -> bool {
        let state = self.log.0.state();
        let is_there = state.watches.found(self.number).is_some() && state.ring.end() == from;
        is_there && !state.last_read_failed()
    }

    fn has_other_log(&self, state: &State) -> bool {
        self.identity.is_some_and(|own| state.head.as_ref().map(Identity::of) != Some(own))
    }

    /// Whether the log may be another one now.
    pub(crate) fn has_ended(&self) -> bool {
        let state = self.log.0.state();
        state.watches.found(self.number).is_none() || self.has_other_log(&state)
    }

    /// The log that it waits for.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.log.0.state().watches.remove(self.number);
    }
}

#[async_trait]
impl ChangesetLog for SharedLog {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        let now = query.clone().with_wait(Duration::ZERO);
        if query.wait.is_zero() {
            return match self.whole_page(&query) {
                Some(page) => Ok(page),
                None => self.read_itself(now).await,
            };
        }
        let until = Instant::now().checked_add(query.wait);
        let left = || until.map_or(query.wait, |until| until.saturating_duration_since(Instant::now()));
        loop {
            if let Some(watch) = self.watch(query.from, Interest::Everything, None) {
                loop {
                    if let Some(page) = watch.page(&query) {
                        return Ok(page);
                    }
                    if !watch.waits_at(query.from) {
                        break;
                    }
                    if tokio::time::timeout(left(), watch.arrival()).await.is_err() {
                        // The log may not notice by itself what has arrived.
                        let page = self.read_itself(now).await?;
                        if page.next > query.from {
                            self.look_again();
                        }
                        return Ok(page);
                    }
                }
                if self.0.state().last_read_failed() {
                    drop(watch);
                    return self.read_itself(query.clone().with_wait(left())).await;
                }
            }
            let page = self.read_itself(now.clone()).await?;
            if page.next > query.from || left().is_zero() {
                return Ok(page);
            }
            if !self.join_ring(query.from, &page.head).await {
                return self.read_itself(query.clone().with_wait(left())).await;
            }
        }
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.0.log().locate(stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        let head = self.0.log().head().await?;
        self.0.record_head(&head);
        Ok(head)
    }

    async fn checkpoint_at(&self, time: Timestamp) -> Result<Checkpoint> {
        self.0.log().checkpoint_at(time).await
    }

    fn has_segments(&self) -> bool {
        self.0.log().has_segments()
    }

    async fn read_segment(&self, query: SegmentQuery) -> Result<SegmentPage> {
        self.0.log().read_segment(query).await
    }
}

impl<L: ChangesetLog> From<Arc<L>> for SharedLog {
    fn from(log: Arc<L>) -> Self {
        Self::new(log)
    }
}

impl From<Arc<dyn ChangesetLog>> for SharedLog {
    fn from(log: Arc<dyn ChangesetLog>) -> Self {
        Self::new(log)
    }
}
