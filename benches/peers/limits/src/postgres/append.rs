//! Appends: the unique key checks the version.

use peers_workload::append::Append;
use peers_workload::postgres::connect;
use peers_workload::{Payload, Task, account_id};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Client, Statement};

const INSERT: &str =
    "INSERT INTO log (stream, version, data) SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])";
/// More appends than this are no faster.
const TOGETHER: usize = 500;

/// The columns of the rows of some appends.
#[derive(Default)]
struct Rows {
    streams: Vec<String>,
    versions: Vec<i64>,
    data: Vec<String>,
}

impl Rows {
    fn push(&mut self, stream: usize, version: usize, payloads: &[Payload]) {
        for (version, payload) in (version as i64..).zip(payloads) {
            self.streams.push(account_id(stream));
            self.versions.push(version);
            self.data.push(serde_json::to_string(payload).unwrap());
        }
    }

    fn extend(&mut self, other: Self) {
        self.streams.extend(other.streams);
        self.versions.extend(other.versions);
        self.data.extend(other.data);
    }
}

/// A connection that inserts.
pub(crate) struct Inserting {
    client: Client,
    statement: Statement,
}

impl Inserting {
    async fn new(task: &Task, statement: &str) -> Self {
        let client = connect(&task.database).await;
        let statement = client.prepare(statement).await.unwrap();
        Self { client, statement }
    }

    async fn insert(&self, Rows { streams, versions, data }: &Rows) {
        self.client.execute(&self.statement, &[streams, versions, data]).await.unwrap();
    }
}

/// A statement for each append.
pub(crate) async fn singly(task: &Task) -> Vec<Inserting> {
    let mut writers = Vec::new();
    for _ in 0..task.clients {
        writers.push(Inserting::new(task, INSERT).await);
    }
    writers
}

impl Append for Inserting {
    async fn append(&mut self, stream: usize, version: usize, payloads: Vec<Payload>) {
        let mut rows = Rows::default();
        rows.push(stream, version, &payloads);
        self.insert(&rows).await;
    }
}

/// The same, and it tells who listens.
pub(crate) struct Notifying(Inserting);

impl Notifying {
    pub(crate) async fn new(task: &Task) -> Self {
        let statement = format!("WITH inserted AS ({INSERT}) SELECT pg_notify('log', '')");
        Self(Inserting::new(task, &statement).await)
    }
}

impl Append for Notifying {
    async fn append(&mut self, stream: usize, version: usize, payloads: Vec<Payload>) {
        self.0.append(stream, version, payloads).await;
    }
}

/// Hands appends to one connection, which inserts all that wait by one statement.
#[derive(Clone)]
pub(crate) struct Grouped(mpsc::UnboundedSender<(Rows, oneshot::Sender<()>)>);

impl Grouped {
    pub(crate) async fn start(task: &Task) -> Self {
        let inserting = Inserting::new(task, INSERT).await;
        let (sender, mut waiting) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut group: Vec<(Rows, oneshot::Sender<()>)> = Vec::new();
            while waiting.recv_many(&mut group, TOGETHER).await > 0 {
                let mut rows = Rows::default();
                let mut answers = Vec::new();
                for (more, answer) in group.drain(..) {
                    rows.extend(more);
                    answers.push(answer);
                }
                inserting.insert(&rows).await;
                for answer in answers {
                    // Who does not wait any more does not need it.
                    let _ = answer.send(());
                }
            }
        });
        Self(sender)
    }
}

impl Append for Grouped {
    async fn append(&mut self, stream: usize, version: usize, payloads: Vec<Payload>) {
        let mut rows = Rows::default();
        rows.push(stream, version, &payloads);
        let (answer, answered) = oneshot::channel();
        assert!(self.0.send((rows, answer)).is_ok(), "the one that inserts has failed");
        answered.await.unwrap();
    }
}
