//! Where the log ends, as far as this process knows, and how it hears of what others index.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;

use super::counter;
use super::table::Table;
use crate::{Checkpoint, Error, LogHead, LogId, Result};

/// How often the counter is read while somebody waits for news that another process may bring.
const POLL_EVERY: Duration = Duration::from_millis(200);

/// What is known of the log's end. Shared by all who index and read.
pub(super) struct Head {
    known: watch::Sender<Known>,
    log_id: LogId,
    incarnation: Uuid,
}

#[derive(Clone, Copy)]
struct Known {
    checkpoint: Checkpoint,
    /// When the counter was last read.
    at: Instant,
}

impl Head {
    pub(super) fn new(log_id: LogId, checkpoint: Checkpoint) -> Self {
        let known = watch::Sender::new(Known { checkpoint, at: Instant::now() });
        Self { known, log_id, incarnation: Uuid::new_v4() }
    }

    /// Reads the counter.
    pub(super) async fn look(&self, table: &Table) -> Result<LogHead> {
        let at = Instant::now();
        let found = counter::look(table).await?.next();
        self.known.send_if_modified(|known| {
            let news = found > known.checkpoint;
            known.checkpoint = known.checkpoint.max(found);
            known.at = known.at.max(at);
            news
        });
        Ok(self.known())
    }

    /// The log's end, as of some moment within this time.
    pub(super) async fn within(&self, age: Duration, table: &Table) -> Result<LogHead> {
        if self.known.borrow().at.elapsed() < age { Ok(self.known()) } else { self.look(table).await }
    }

    /// The log's end: at least this far.
    pub(super) fn known(&self) -> LogHead {
        let checkpoint = self.known.borrow().checkpoint;
        LogHead { checkpoint, log_id: self.log_id, incarnation: self.incarnation }
    }

    /// This process has indexed up to here.
    pub(super) fn reached(&self, checkpoint: Checkpoint) {
        self.known.send_if_modified(|known| {
            let news = checkpoint > known.checkpoint;
            known.checkpoint = known.checkpoint.max(checkpoint);
            news
        });
    }

    /// Waits until the log is known to go further than this.
    pub(super) async fn wait_past(&self, checkpoint: Checkpoint) -> Result<()> {
        let mut known = self.known.subscribe();
        match known.wait_for(|known| known.checkpoint > checkpoint).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Unavailable("it is shutting down".to_owned())),
        }
    }
}

/// Reads the counter now and then, as long as anybody waits.
pub(super) async fn poll(head: Arc<Head>, table: Table) {
    loop {
        tokio::time::sleep(POLL_EVERY).await;
        if head.known.receiver_count() > 0
            && let Err(error) = head.look(&table).await
        {
            tracing::warn!(%error, "failed to read the head of the log; will retry");
        }
    }
}
