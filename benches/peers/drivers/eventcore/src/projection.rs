//! The read model.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use eventcore_postgres::projections::{
    DeliveryPosition, DeliverySourceId, EventTypeName, NoopAfterCommit, Postgres, PostgresProjectionConfig,
    PostgresProjectionSource, PostgresProjectionStore, PostgresProjector, ProjectionSelection,
    ProjectionSelectionId, ProjectionStreamFilter, ProjectorName, Transaction, run_transactional_projection,
};
use peers_workload::Task;
use peers_workload::account::UPSERT;
use sqlx::PgPool;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{Moved, pool};

struct Accounts(ProjectorName);

impl PostgresProjector for Accounts {
    type Event = Moved;
    type Error = sqlx::Error;
    type AfterCommit = NoopAfterCommit;

    fn name(&self) -> &ProjectorName {
        &self.0
    }

    async fn apply<'a, 'c>(
        &'a mut self,
        event: &'a Moved,
        position: DeliveryPosition,
        transaction: &'a mut Transaction<'c, Postgres>,
    ) -> Result<NoopAfterCommit, sqlx::Error>
    where
        'c: 'a,
    {
        let account: &str = event.account_id.as_ref();
        let upsert = sqlx::query(UPSERT).bind(account).bind(event.amount).bind(position.get() as i64);
        upsert.execute(&mut **transaction).await?;
        Ok(NoopAfterCommit)
    }
}

pub(crate) async fn source(pool: PgPool) -> PostgresProjectionSource {
    let source = PostgresProjectionSource::from_pool(pool, DeliverySourceId::try_new("peers").unwrap());
    source.migrate().await.unwrap();
    source
}

/// A projection in a thread of its own: its future can't be sent to another one.
pub(crate) struct Runner {
    thread: JoinHandle<()>,
    stop: CancellationToken,
}

impl Runner {
    /// Runs to the end of the log, or for ever with this pause between two looks. It is connected by then.
    pub(crate) async fn start(task: &Task, interval: Option<Duration>) -> Self {
        let (task, stop) = (task.clone(), CancellationToken::new());
        let (stopped, (ready, prepared)) = (stop.clone(), oneshot::channel());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(stopped.run_until_cancelled(project(&task, interval, ready)));
        });
        prepared.await.expect("the projection can be prepared");
        Self { thread, stop }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::task::spawn_blocking(|| self.thread.join().expect("the projection has failed")).await.unwrap();
    }
}

async fn project(task: &Task, interval: Option<Duration>, ready: oneshot::Sender<()>) {
    let events = vec![EventTypeName::try_new("moved").unwrap()];
    let selection = ProjectionSelectionId::try_new("moved-v1").unwrap();
    let selection = ProjectionSelection::try_new(selection, ProjectionStreamFilter::All, events).unwrap();
    let mut config = PostgresProjectionConfig::new(selection);
    if let Some(interval) = interval {
        config = config.continuous(CancellationToken::new()).with_continuous_poll_interval(interval).unwrap();
    }
    let pool = pool(task, 4).await;
    let source = source(pool.clone()).await;
    let store = PostgresProjectionStore::from_pool(pool);
    store.migrate().await.unwrap();
    let accounts = Accounts(ProjectorName::try_new("accounts").unwrap());
    ready.send(()).expect("it is waited for");
    run_transactional_projection(accounts, &source, &store, config).await.unwrap();
}
