//! Where the log ends, as far as this process knows, and how it hears of what others index.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::counter;
use super::table::Table;
use crate::{Checkpoint, Error, LogHead, LogId, Result};

/// The pause between two reads of the counter while somebody waits for news that another process may bring: at
/// first, and at most.
const POLL_PAUSE: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];
/// In between, the pause is this part of the time without news.
const POLL_PART: u32 = 10;

/// What is known of the log's end. Shared by all who index and read.
pub(super) struct Head {
    known: watch::Sender<Known>,
    /// News is on its way.
    stirred: Notify,
    log_id: LogId,
    incarnation: Uuid,
}

#[derive(Clone, Copy)]
struct Known {
    checkpoint: Checkpoint,
    /// When the counter was last read.
    at: Instant,
    /// When the log last grew, or was about to.
    news_at: Instant,
}

impl Head {
    pub(super) fn new(log_id: LogId, checkpoint: Checkpoint) -> Self {
        let now = Instant::now();
        let known = watch::Sender::new(Known { checkpoint, at: now, news_at: now });
        Self { known, stirred: Notify::new(), log_id, incarnation: Uuid::new_v4() }
    }

    /// Reads the counter.
    pub(super) async fn look(&self, table: &Table) -> Result<LogHead> {
        let at = Instant::now();
        let found = counter::look(table).await?.next();
        self.known.send_if_modified(|known| {
            known.at = known.at.max(at);
            known.reach(found)
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
        self.known.send_if_modified(|known| known.reach(checkpoint));
    }

    /// This process has committed: the changeset gets its place in a moment, perhaps from another process.
    pub(super) fn stir(&self) {
        self.known.send_if_modified(|known| {
            known.news_at = Instant::now();
            false
        });
        self.stirred.notify_one();
    }

    /// The log's end for somebody who waits anyway: as of the last poll, while the polls go on.
    pub(super) async fn polled(&self, table: &Table) -> Result<LogHead> {
        self.within(2 * self.pause(), table).await
    }

    /// How long nothing has happened.
    pub(super) fn quiet(&self) -> Duration {
        self.known.borrow().news_at.elapsed()
    }

    fn pause(&self) -> Duration {
        let [shortest, longest] = POLL_PAUSE;
        (self.quiet() / POLL_PART).clamp(shortest, longest)
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

impl Known {
    /// Whether the log goes further than was known.
    fn reach(&mut self, checkpoint: Checkpoint) -> bool {
        let is_news = checkpoint > self.checkpoint;
        if is_news {
            (self.checkpoint, self.news_at) = (checkpoint, Instant::now());
        }
        is_news
    }
}

/// Reads the counter for all who wait, as long as anybody does: the less often, the longer nothing has happened.
pub(super) async fn poll(head: Arc<Head>, table: Table) {
    loop {
        let polled_at = tokio::time::Instant::now();
        // A commit cuts a long pause short.
        while tokio::time::timeout_at(polled_at + head.pause(), head.stirred.notified()).await.is_ok() {}
        if head.known.receiver_count() > 0
            && let Err(error) = head.look(&table).await
        {
            tracing::warn!(%error, "failed to read the head of the log; will retry");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_nothing_happens_the_less_often_the_counter_is_read() {
        let head = Head::new(LogId(Uuid::nil()), Checkpoint::START);
        let quiet_for = |seconds: u64| {
            head.known.send_modify(|known| {
                known.news_at =
                    Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap_or(known.news_at);
            });
            head.pause().as_secs_f64()
        };
        assert!((0.2..0.21).contains(&quiet_for(0)));
        assert!((1.0..1.1).contains(&quiet_for(10)));
        assert!((2.0..2.1).contains(&quiet_for(600)));
        head.reached(Checkpoint::START);
        assert!(head.pause().as_secs_f64() > 1.9, "no news");
        head.reached(Checkpoint::new(1));
        assert!(head.pause().as_secs_f64() < 0.3);
        quiet_for(600);
        head.stir();
        assert!(head.pause().as_secs_f64() < 0.3);
    }
}
