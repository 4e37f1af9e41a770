//! The read model.

use std::time::Duration;

use async_trait::async_trait;
use disintegrate::{EventListener, PersistedEvent, StreamQuery, query};
use disintegrate_postgres::{
    Error, PgEventId, PgEventListener, PgEventListenerConfig, PgEventListenerError, RetryAction,
};
use peers_workload::Task;
use sqlx::PgPool;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::account::DomainEvent;
use crate::{Store, pool};

const UPSERT: &str =
    "INSERT INTO account AS a (id, balance, event_count, last_event_id) VALUES ($1, $2, 1, $3)
    ON CONFLICT (id) DO UPDATE SET balance = a.balance + excluded.balance, event_count = a.event_count + 1,
    last_event_id = excluded.last_event_id WHERE a.last_event_id < excluded.last_event_id";
/// As its example has it.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

struct Accounts {
    query: StreamQuery<PgEventId, DomainEvent>,
    pool: PgPool,
}

#[async_trait]
impl EventListener<PgEventId, DomainEvent> for Accounts {
    type Error = sqlx::Error;

    fn id(&self) -> &'static str {
        "accounts"
    }

    fn query(&self) -> &StreamQuery<PgEventId, DomainEvent> {
        &self.query
    }

    async fn handle(&self, event: PersistedEvent<PgEventId, DomainEvent>) -> Result<(), sqlx::Error> {
        let event_id = event.id();
        let DomainEvent::Moved { account_id, amount, .. } = event.into_inner();
        sqlx::query(UPSERT).bind(account_id).bind(amount).bind(event_id).execute(&self.pool).await?;
        Ok(())
    }
}

/// Otherwise the listener would end without a word, as if the time was over.
fn failed(error: PgEventListenerError<sqlx::Error>, _attempts: usize) -> RetryAction {
    eprintln!("{error:?}");
    std::process::exit(1)
}

pub(crate) struct Listener {
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), Error>>,
}

impl Listener {
    pub(crate) async fn start(task: &Task, store: Store) -> Self {
        let (stop, stopped) = oneshot::channel();
        let accounts = Accounts { query: query!(DomainEvent), pool: pool(task).await };
        let config = PgEventListenerConfig::poller(POLL_INTERVAL).with_notifier().with_retry(failed);
        let listener = PgEventListener::builder(store).register_listener(accounts, config);
        let stopped = async move { stopped.await.unwrap_or_default() };
        Self { stop, running: tokio::spawn(listener.start_with_shutdown(stopped)) }
    }

    /// It ends after the event that it is at.
    pub(crate) async fn stop(self) {
        // It may have ended.
        let _ = self.stop.send(());
        self.running.await.unwrap().unwrap();
    }
}
