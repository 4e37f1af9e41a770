//! Reads of the log, and of streams.

use peers_workload::postgres::connect;
use peers_workload::read::{Read, read};
use peers_workload::{Payload, Report, Task, account_id};
use tokio_postgres::{Client, Statement};

use crate::fold::Moved;

const EVENTS_A_PAGE: i64 = 5_000;

/// Reads the log page by page.
pub(crate) struct Pages {
    client: Client,
    statement: Statement,
    position: i64,
}

impl Pages {
    pub(crate) async fn new(task: &Task) -> Self {
        let client = connect(&task.database).await;
        let page = "SELECT position, data FROM log WHERE position > $1 ORDER BY position LIMIT $2";
        let statement = client.prepare(page).await.unwrap();
        Self { client, statement, position: 0 }
    }

    /// The next events; none at the end.
    pub(crate) async fn next(&mut self) -> Vec<Moved> {
        let rows = self.client.query(&self.statement, &[&self.position, &EVENTS_A_PAGE]).await.unwrap();
        let page: Vec<Moved> = rows.iter().map(|row| Moved::new(row.get(0), row.get(1))).collect();
        self.position = page.last().map_or(self.position, |event| event.position);
        page
    }
}

pub(crate) async fn log(task: &Task) -> usize {
    let (mut pages, mut events) = (Pages::new(task).await, 0);
    loop {
        let page = pages.next().await;
        if page.is_empty() {
            return events;
        }
        events += page.len();
    }
}

pub(crate) async fn streams(task: &Task) -> Report {
    let mut readers = Vec::new();
    for _ in 0..task.clients {
        let client = connect(&task.database).await;
        let statement =
            client.prepare("SELECT data FROM log WHERE stream = $1 ORDER BY version").await.unwrap();
        readers.push(Stream { client, statement });
    }
    read(task, readers).await
}

struct Stream {
    client: Client,
    statement: Statement,
}

impl Read for Stream {
    async fn read(&mut self, stream: usize) -> usize {
        let rows = self.client.query(&self.statement, &[&account_id(stream)]).await.unwrap();
        rows.iter().map(|row| serde_json::from_str::<Payload>(row.get(0)).unwrap()).count()
    }
}
