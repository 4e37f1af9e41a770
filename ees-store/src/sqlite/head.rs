//! Where the log ends, as far as this process knows.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use uuid::Uuid;

use super::writer::gone;
use crate::{Checkpoint, LogEntry, LogHead, LogId, LogPage, Result};

/// What is known of the log's end. Shared by all who read.
pub(super) struct Head {
    /// How far the writer has written. It ends with the writer.
    written: watch::Receiver<Checkpoint>,
    /// How far others have read: they may see a transaction before the writer says that it is over.
    read: AtomicU64,
    log_id: LogId,
    incarnation: Uuid,
}

impl Head {
    pub(super) fn new(log_id: LogId, written: watch::Receiver<Checkpoint>) -> Self {
        Self { written, read: AtomicU64::new(0), log_id, incarnation: Uuid::new_v4() }
    }

    /// The log's end. No later call returns an earlier one.
    pub(super) fn known(&self) -> LogHead {
        let written = *self.written.borrow();
        let read = Checkpoint::new(self.read.load(Ordering::Acquire));
        LogHead { checkpoint: written.max(read), log_id: self.log_id, incarnation: self.incarnation }
    }

    /// The log reaches at least this far.
    pub(super) fn reached(&self, checkpoint: Checkpoint) -> LogHead {
        self.read.fetch_max(checkpoint.get(), Ordering::AcqRel);
        self.known()
    }

    /// The page of a query that began at `from`.
    pub(super) fn page(&self, from: Checkpoint, changesets: Vec<LogEntry>, next: Checkpoint) -> LogPage {
        let head = if next > from { self.reached(next) } else { self.known() };
        LogPage::new(from, changesets, next, head)
    }

    /// Waits until the log is known to go further than this.
    pub(super) async fn wait_past(&self, checkpoint: Checkpoint) -> Result<()> {
        let mut written = self.written.clone();
        written.wait_for(|written| *written > checkpoint).await.map(drop).map_err(|_| gone())
    }

    /// Fails when nothing is written any more.
    pub(super) fn is_growing(&self) -> Result<()> {
        self.written.has_changed().map(drop).map_err(|_| gone())
    }
}
