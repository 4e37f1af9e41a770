//! The read model in PostgreSQL, and the position beside it.

use std::time::Instant;

use peers_workload::Task;
use peers_workload::account::{self, UPSERT};
use peers_workload::postgres::connect;
use tokio_postgres::{Client, Statement};
use umadb_client::AsyncUmaDbClient;
use umadb_dcb::{DcbError, DcbSequencedEvent};

use crate::parse;

const POSITION: &str = "CREATE TABLE position (position bigint NOT NULL); INSERT INTO position VALUES (0)";

pub(crate) struct Projection {
    log: AsyncUmaDbClient,
    client: Client,
    upsert: Statement,
    advance: Statement,
    per_event: bool,
}

impl Projection {
    pub(crate) async fn new(task: &Task, log: AsyncUmaDbClient) -> Self {
        account::create(task).await;
        let client = connect(&task.database).await;
        client.batch_execute(POSITION).await.unwrap();
        let upsert = client.prepare(UPSERT).await.unwrap();
        let advance = client.prepare("UPDATE position SET position = $1").await.unwrap();
        let per_event = match task.usage.as_str() {
            "per-event" => true,
            "per-batch" => false,
            other => panic!("{other} is no usage of UmaDB"),
        };
        Self { log, client, upsert, advance, per_event }
    }

    /// Applies so many events, unless the time is over before.
    pub(crate) async fn run(&mut self, events: usize, deadline: Instant) {
        let mut subscription = self.log.subscribe(None, None).await.unwrap();
        let mut applied = 0;
        while applied < events {
            let left = deadline.saturating_duration_since(Instant::now());
            let batch = match subscription.next_batch_timeout(left).await {
                Ok(batch) => batch,
                Err(DcbError::Timeout()) => return,
                Err(error) => panic!("{error}"),
            };
            assert!(!batch.is_empty(), "the subscription has ended");
            for together in batch.chunks(if self.per_event { 1 } else { batch.len() }) {
                self.apply(together).await;
                applied += together.len();
                if Instant::now() > deadline {
                    return;
                }
            }
        }
    }

    async fn apply(&mut self, events: &[DcbSequencedEvent]) {
        let transaction = self.client.transaction().await.unwrap();
        let mut position = 0;
        for recorded in events {
            let moved = parse(&recorded.event);
            position = recorded.position as i64;
            transaction.execute(&self.upsert, &[&moved.account_id, &moved.amount, &position]).await.unwrap();
        }
        transaction.execute(&self.advance, &[&position]).await.unwrap();
        transaction.commit().await.unwrap();
    }
}
