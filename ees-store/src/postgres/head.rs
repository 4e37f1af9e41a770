//! Where the log ends, as far as this process knows, and how it hears of what others append.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool, Row};
use tokio::sync::watch;
use uuid::Uuid;

use super::readers::Readers;
use crate::{Checkpoint, Error, LogHead, LogId, Result};

/// The channel on which writers tell followers.
const CHANNEL: &str = "ees_store";
/// How often the end of the log is looked up besides: a notification may be lost, and does not pass a pooling proxy.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// Commits that follow one another within so long are told together: each notification costs the server as much as a
/// small commit.
const TELL_EVERY: Duration = Duration::from_millis(2);

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

    /// The log's end, at least this far.
    pub(super) fn at_least(&self, checkpoint: Checkpoint) -> LogHead {
        let known = *self.known.borrow();
        LogHead {
            checkpoint: known.checkpoint.max(checkpoint),
            log_id: known.log_id,
            incarnation: known.incarnation,
        }
    }

    /// This process has appended from here to there, under the lock. Nobody takes changesets away: a batch that begins
    /// before the end of the last one was stored in an older state of the log.
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

    /// What a look found that began when `before` was known. A server that was started anew, or an end that lies
    /// before what was known, may be an older state of the log.
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
        Ok(self.at_least(found.checkpoint))
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

/// Looks every now and then how far the log goes, until it is dropped.
pub(super) async fn poll(head: Arc<Head>, readers: Arc<Readers>) {
    loop {
        tokio::time::sleep(POLL_EVERY).await;
        if let Err(error) = readers.ask(&*head, |head, connection| Box::pin(head.look(connection))).await {
            tracing::debug!(%error, "the end of the log can't be looked up; will try again");
        }
    }
}

/// Hears what other processes append, until it is dropped.
pub(super) async fn listen(head: Arc<Head>, readers: Arc<Readers>, options: PgConnectOptions) {
    let own = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let own = own.connect_lazy_with(options);
    loop {
        if let Err(error) = hear(&head, &readers, &own).await {
            tracing::debug!(%error, "not listening; polling goes on");
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

async fn hear(
    head: &Head,
    readers: &Readers,
    pool: &PgPool,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        let told = listener.recv().await?;
        // A hint, and no more: anybody may notify, and a server that took over may lack what was told of.
        if told.payload().parse().is_ok_and(|next: Checkpoint| next > head.known.borrow().checkpoint) {
            readers.ask(head, |head, connection| Box::pin(head.look(connection))).await?;
        }
    }
}

/// Tells other processes how far this one has written, until it is dropped. On a connection of its own: commits do
/// not wait for it, and many of them are told at once.
pub(super) async fn tell(head: Arc<Head>, options: PgConnectOptions) {
    let options = options.options([("synchronous_commit", "off")]);
    let mut written = head.written.subscribe();
    let mut connection: Option<PgConnection> = None;
    while written.changed().await.is_ok() {
        let next = *written.borrow_and_update();
        let telling = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => options.connect().await?,
            };
            let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(next.to_string());
            notify.execute(&mut open).await?;
            Ok::<_, sqlx::Error>(open)
        };
        match telling.await {
            Ok(open) => {
                connection = Some(open);
                tokio::time::sleep(TELL_EVERY).await;
            }
            Err(error) => {
                tracing::debug!(%error, "followers could not be told; they poll");
                tokio::time::sleep(POLL_EVERY).await;
            }
        }
    }
}
