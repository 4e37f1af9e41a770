//! Where the log ends, as far as this process knows, and whether it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use uuid::Uuid;

use super::file::OpenFiles;
use crate::{Checkpoint, Error, LogEntry, LogHead, LogId, LogPage, Result};

/// What the writer says of the log.
#[derive(Clone)]
pub(super) struct Written {
    /// The checkpoint after the newest changeset.
    pub(super) next: Checkpoint,
    /// Why no commit can be stored, as things are.
    pub(super) trouble: Option<Arc<str>>,
}

impl Written {
    /// Why a commit that the writer does not take is not stored.
    pub(super) fn refusal(&self) -> Error {
        Error::Unavailable(self.trouble.as_deref().unwrap_or("its writer has stopped").to_owned())
    }
}

/// What is known of the log's end. Shared by all who read.
pub(super) struct Head {
    /// How far the writer has written. It ends with the writer.
    written: watch::Receiver<Written>,
    /// How far others have read: they may see a transaction before the writer says that it is over.
    read: AtomicU64,
    log_id: LogId,
    incarnation: Uuid,
    /// `None` where nothing is written.
    files: Option<Arc<OpenFiles>>,
}

impl Head {
    pub(super) fn new(
        log_id: LogId,
        written: watch::Receiver<Written>,
        files: Option<Arc<OpenFiles>>,
    ) -> Self {
        Self { written, read: AtomicU64::new(0), log_id, incarnation: Uuid::new_v4(), files }
    }

    /// The log's end. No later call returns an earlier one.
    pub(super) fn known(&self) -> LogHead {
        let written = self.written.borrow().next;
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
    pub(super) async fn wait_past(&self, checkpoint: Checkpoint) {
        let mut written = self.written.clone();
        if written.wait_for(|written| written.next > checkpoint).await.is_err() {
            // The writer has stopped: there is nothing to wait for.
            std::future::pending::<()>().await;
        }
    }

    /// Fails when no commit can be stored.
    pub(super) fn check_grows(&self) -> Result<()> {
        if self.written.has_changed().is_err() || self.written.borrow().trouble.is_some() {
            return Err(self.written.borrow().refusal());
        }
        self.files.as_ref().map_or(Ok(()), |files| files.check()).map_err(Error::Unavailable)
    }
}
