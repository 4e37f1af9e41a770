//! Where the log ends, as far as this process knows.

use sqlx::Row;
use sqlx::postgres::PgConnection;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{Checkpoint, Error, LogEntry, LogHead, LogId, LogPage, Result};

/// What is known of the log's end. Shared by all who read and write.
pub(super) struct Head {
    known: watch::Sender<Known>,
    /// How far this process has written, for others.
    written: watch::Sender<Checkpoint>,
}

#[derive(Clone, Copy)]
struct Known {
    checkpoint: Checkpoint,
    log_id: LogId,
    incarnation: Uuid,
    server_started: i64,
}

/// The log as one look at the database found it.
struct Look {
    checkpoint: Checkpoint,
    log_id: LogId,
    server_started: i64,
}

impl Head {
    pub(super) async fn of(connection: &mut PgConnection, log_id: LogId) -> sqlx::Result<Self> {
        let Look { checkpoint, server_started, .. } = look(connection, log_id).await?;
        let known = Known { checkpoint, log_id, incarnation: Uuid::new_v4(), server_started };
        Ok(Self { known: watch::Sender::new(known), written: watch::Sender::new(checkpoint) })
    }

    /// The log's end, as far as it is known.
    pub(super) fn known(&self) -> LogHead {
        let Known { checkpoint, log_id, incarnation, .. } = *self.known.borrow();
        LogHead { checkpoint, log_id, incarnation }
    }

    /// The page of a query that began at `from`. A read sees what others append before this process hears of
    /// it. From then on it is known, so that no later head is behind it.
    pub(super) fn page(&self, from: Checkpoint, changesets: Vec<LogEntry>, next: Checkpoint) -> LogPage {
        if next > from {
            self.reached(next);
        }
        LogPage::new(from, changesets, next, self.known())
    }

    /// This process has appended from here to there, under the lock. Nobody takes changesets away: a batch
    /// that begins before the end of the last one was stored in an older state of the log.
    pub(super) fn wrote(&self, first: Checkpoint, next: Checkpoint) {
        let mut went_back = false;
        self.written.send_if_modified(|written| {
            went_back = first < *written;
            std::mem::replace(written, next) != next
        });
        if went_back {
            self.known.send_modify(|known| {
                known.checkpoint = next;
                known.incarnation = Uuid::new_v4();
            });
        } else {
            self.reached(next);
        }
    }

    fn reached(&self, next: Checkpoint) {
        self.known.send_if_modified(|known| {
            let news = next > known.checkpoint;
            known.checkpoint = known.checkpoint.max(next);
            news
        });
    }

    /// What a look found that began when `before` was known. A server that was started anew, or an end that
    /// lies before what was known, may be an older state of the log.
    fn found(&self, before: Checkpoint, found: &Look) {
        self.known.send_if_modified(|known| {
            let other = found.server_started != known.server_started
                || found.log_id != known.log_id
                || found.checkpoint < before;
            if other {
                let Look { checkpoint, log_id, server_started } = *found;
                *known = Known { checkpoint, log_id, server_started, incarnation: Uuid::new_v4() };
                return true;
            }
            let news = found.checkpoint > known.checkpoint;
            known.checkpoint = known.checkpoint.max(found.checkpoint);
            news
        });
    }

    /// Looks the log's end up.
    pub(super) async fn look(&self, connection: &mut PgConnection) -> sqlx::Result<LogHead> {
        let Known { checkpoint: before, log_id, .. } = *self.known.borrow();
        let found = look(connection, log_id).await?;
        self.found(before, &found);
        Ok(self.known())
    }

    /// How far this process has written, for those who tell others.
    pub(super) fn written(&self) -> watch::Receiver<Checkpoint> {
        self.written.subscribe()
    }

    /// Whether the log is known to end before this.
    pub(super) fn ends_before(&self, checkpoint: Checkpoint) -> bool {
        self.known.borrow().checkpoint < checkpoint
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

async fn look(connection: &mut PgConnection, known: LogId) -> sqlx::Result<Look> {
    let row = sqlx::query(
        "SELECT next_checkpoint, log_id, (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint
         FROM ees_store.log",
    )
    .fetch_one(connection)
    .await?;
    let log_id: String = row.try_get(1)?;
    Ok(Look {
        checkpoint: checkpoint(row.try_get(0)?),
        log_id: Uuid::parse_str(&log_id).map_or(known, LogId),
        server_started: row.try_get(2)?,
    })
}

fn checkpoint(number: i64) -> Checkpoint {
    Checkpoint::new(u64::try_from(number).unwrap_or(0))
}
