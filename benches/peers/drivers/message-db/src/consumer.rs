//! A consumer of the category of all accounts.

use std::time::{Duration, Instant};

use peers_workload::account::UPSERT;
use peers_workload::{Payload, Task};
use tokio_postgres::{Client, Statement};

use crate::session;

const MESSAGES_A_BATCH: i64 = 1_000;
/// As Eventide's consumers have it.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const MESSAGES_A_POSITION: usize = 100;

pub(crate) struct Message {
    position: i64,
    moved: Payload,
}

/// Reads the category batch by batch.
pub(crate) struct Category {
    client: Client,
    get: Statement,
    position: i64,
}

impl Category {
    pub(crate) async fn new(task: &Task) -> Self {
        let client = session(task).await;
        let get =
            "SELECT global_position, data FROM get_category_messages('account', $1::bigint, $2::bigint)";
        let get = client.prepare(get).await.unwrap();
        Self { client, get, position: 0 }
    }

    pub(crate) async fn next(&mut self) -> Vec<Message> {
        let rows = self.client.query(&self.get, &[&(self.position + 1), &MESSAGES_A_BATCH]).await.unwrap();
        let message = |row: &tokio_postgres::Row| Message {
            position: row.get(0),
            moved: serde_json::from_str(row.get(1)).unwrap(),
        };
        let batch: Vec<Message> = rows.iter().map(message).collect();
        self.position = batch.last().map_or(self.position, |message| message.position);
        batch
    }
}

pub(crate) struct Consumer {
    category: Category,
    client: Client,
    upsert: Statement,
    advance: Statement,
    per_message: bool,
    handled: usize,
}

impl Consumer {
    pub(crate) async fn new(task: &Task) -> Self {
        let per_message = match task.usage.as_str() {
            "per-message" => true,
            "per-batch" => false,
            other => panic!("{other} is no usage of Message DB"),
        };
        let client = session(task).await;
        let position =
            "CREATE TABLE public.position (position bigint NOT NULL); INSERT INTO public.position VALUES (0)";
        client.batch_execute(position).await.unwrap();
        let upsert = client.prepare(UPSERT).await.unwrap();
        let advance = client.prepare("UPDATE public.position SET position = $1").await.unwrap();
        Self { category: Category::new(task).await, client, upsert, advance, per_message, handled: 0 }
    }

    pub(crate) async fn to_the_end(&mut self, deadline: Instant) {
        while Instant::now() < deadline {
            let batch = self.category.next().await;
            if batch.is_empty() {
                return;
            }
            self.handle(&batch, Some(deadline)).await;
        }
    }

    pub(crate) async fn follow(&mut self) {
        loop {
            let batch = self.category.next().await;
            if batch.is_empty() {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            self.handle(&batch, None).await;
        }
    }

    async fn handle(&mut self, batch: &[Message], deadline: Option<Instant>) {
        if self.per_message { self.one_by_one(batch, deadline).await } else { self.together(batch).await }
    }

    async fn one_by_one(&mut self, batch: &[Message], deadline: Option<Instant>) {
        for Message { position, moved } in batch {
            self.client.execute(&self.upsert, &[&moved.account_id, &moved.amount, position]).await.unwrap();
            self.handled += 1;
            if self.handled % MESSAGES_A_POSITION == 0 {
                self.client.execute(&self.advance, &[position]).await.unwrap();
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                return;
            }
        }
    }

    async fn together(&mut self, batch: &[Message]) {
        let Some(last) = batch.last() else { return };
        let transaction = self.client.transaction().await.unwrap();
        for Message { position, moved } in batch {
            transaction.execute(&self.upsert, &[&moved.account_id, &moved.amount, position]).await.unwrap();
        }
        transaction.execute(&self.advance, &[&last.position]).await.unwrap();
        transaction.commit().await.unwrap();
    }
}
