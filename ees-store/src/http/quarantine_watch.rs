//! What readers of the log have found that can't be read: for readiness and metrics.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use prometheus_client::metrics::gauge::Gauge;

use super::health_check::HealthCheck;
use crate::{
    ChangesetId, ChangesetLog, Checkpoint, LogHead, LogPage, LogQuery, Result, SegmentPage, SegmentQuery,
    StreamId, Timestamp,
};

/// Changesets that are remembered; of more, only the first are counted.
const REMEMBERED_MAX: usize = 10_000;

/// A log that remembers which quarantined changesets it has given to its readers, since the process started.
///
/// Give it to projections and to [`Api::new`](super::Api::new) in place of the log, and to
/// [`Api::with_quarantine`](super::Api::with_quarantine).
pub struct QuarantineWatch {
    log: Arc<dyn ChangesetLog>,
    found: Mutex<BTreeSet<Checkpoint>>,
    count: Gauge,
}

impl QuarantineWatch {
    /// Watches the readers of a log.
    pub fn new(log: Arc<dyn ChangesetLog>) -> Self {
        Self { log, found: Mutex::default(), count: Gauge::default() }
    }

    pub(super) fn count(&self) -> Gauge {
        self.count.clone()
    }

    fn found(&self) -> MutexGuard<'_, BTreeSet<Checkpoint>> {
        // A set of numbers is whole whatever panicked.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a page shows of a part of the log: also that something was repaired.
    fn note(&self, from: Checkpoint, is_all: bool, page: &LogPage) {
        let quarantined = |entry: &&crate::LogEntry| entry.events.quarantined().is_some();
        let mut found = self.found();
        if found.is_empty() && !page.changesets.iter().any(|entry| quarantined(&entry)) {
            return;
        }
        if is_all {
            found.retain(|place| *place < from || *place >= page.next);
        }
        for entry in page.changesets.iter().filter(quarantined) {
            if found.len() < REMEMBERED_MAX && found.insert(entry.checkpoint) {
                let (stream_id, changeset_id) = (&entry.stream_id, entry.changeset_id);
                let why = entry.events.quarantined().map(crate::Quarantined::reason);
                tracing::error!(checkpoint = %entry.checkpoint, %stream_id, %changeset_id, why, "a changeset is quarantined");
            }
        }
        self.count.set(i64::try_from(found.len()).unwrap_or(i64::MAX));
    }
}

#[async_trait]
impl ChangesetLog for QuarantineWatch {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        let (from, is_all) = (query.from, query.filter.is_all());
        let page = self.log.read(query).await?;
        self.note(from, is_all, &page);
        Ok(page)
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.log.locate(stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        self.log.head().await
    }

    async fn checkpoint_at(&self, time: Timestamp) -> Result<Checkpoint> {
        self.log.checkpoint_at(time).await
    }

    fn has_segments(&self) -> bool {
        self.log.has_segments()
    }

    async fn read_segment(&self, query: SegmentQuery) -> Result<SegmentPage> {
        self.log.read_segment(query).await
    }
}

#[async_trait]
impl HealthCheck for QuarantineWatch {
    async fn problems(&self) -> Vec<String> {
        let found = self.found();
        let problem = found.first().map(|first| {
            let count = found.len();
            format!("the log has quarantined changesets: {count} were read, the first at checkpoint {first}; `ees check` lists them")
        });
        problem.into_iter().collect()
    }
}
