//! Message DB: its functions in PostgreSQL (`write_message`, `get_category_messages`, `get_stream_messages`),
//! which are its interface. Its SQL comes from the npm package, in the order of its `install.sh`;
//! PEERS_MESSAGE_DB says where that is.
//!
//! An append calls `write_message` twice in one transaction, each time with the expected version. There is no
//! consumer in the project, so this one does what its documentation and Eventide's consumers do: it polls a
//! category, every 100 ms at the end, handles one message at a time, and writes its position after each 100
//! messages: at least once (`per-message`). `per-batch` is one that keeps its position in the transaction of
//! the upserts, once for up to 1,000 messages.

mod consumer;
mod install;

use std::time::Instant;

use peers_workload::append::{Append, append};
use peers_workload::live::{PostgresTable, live};
use peers_workload::postgres::{connect, number};
use peers_workload::read::{Read, read};
use peers_workload::{Part, Payload, Report, Task, account, account_id};
use tokio_postgres::{Client, Statement};

use consumer::Consumer;

#[tokio::main]
async fn main() {
    let task = Task::given();
    measure(&task).await.print();
}

async fn measure(task: &Task) -> Report {
    match task.part {
        Part::Append => {
            install::install(task).await;
            let mut writers = Vec::new();
            for _ in 0..task.clients {
                writers.push(Writer::new(task).await);
            }
            let report = append(task, writers).await;
            report
                .stored(number(&task.database, "SELECT count(*) FROM message_store.messages").await as usize)
        }
        Part::CatchUp => {
            account::create(task).await;
            let mut consumer = Consumer::new(task).await;
            let begun = Instant::now();
            consumer.to_the_end(begun + task.time).await;
            account::caught_up(task, begun.elapsed()).await
        }
        Part::Live => {
            install::install(task).await;
            account::create(task).await;
            let mut consumer = Consumer::new(task).await;
            let consuming = tokio::spawn(async move { consumer.follow().await });
            let report = live(task, Writer::new(task).await, PostgresTable::account(task).await).await;
            consuming.abort();
            report.view(account::view(task).await)
        }
        Part::Read => {
            let mut readers = Vec::new();
            for _ in 0..task.clients {
                readers.push(Reader::new(task).await);
            }
            read(task, readers).await
        }
        Part::Enumerate => {
            let begun = Instant::now();
            let mut category = consumer::Category::new(task).await;
            let mut events = 0;
            loop {
                let batch = category.next().await;
                if batch.is_empty() {
                    return Report::new(events, begun.elapsed());
                }
                events += batch.len();
            }
        }
    }
}

/// A connection that finds its functions.
async fn session(task: &Task) -> Client {
    let client = connect(&task.database).await;
    client.batch_execute("SET search_path TO message_store, public").await.unwrap();
    client
}

struct Writer {
    client: Client,
    write: Statement,
}

impl Writer {
    async fn new(task: &Task) -> Self {
        let client = session(task).await;
        let write = "SELECT write_message($1::text, $2::text, $3::text, $4::jsonb, NULL::jsonb, $5::bigint)";
        let write = client.prepare(write).await.unwrap();
        Self { client, write }
    }
}

impl Append for Writer {
    async fn append(&mut self, stream: usize, version: usize, payloads: Vec<Payload>) {
        let stream = account_id(stream);
        let transaction = self.client.transaction().await.unwrap();
        // The version is the place of the last message: -1 in a stream without any.
        for (expected, payload) in (version as i64 - 1..).zip(&payloads) {
            let (id, data) = (uuid::Uuid::new_v4().to_string(), serde_json::to_value(payload).unwrap());
            transaction.execute(&self.write, &[&id, &stream, &"Moved", &data, &expected]).await.unwrap();
        }
        transaction.commit().await.unwrap();
    }
}

struct Reader {
    client: Client,
    get: Statement,
}

impl Reader {
    async fn new(task: &Task) -> Self {
        let client = session(task).await;
        let get = client.prepare("SELECT data FROM get_stream_messages($1::text, 0, 1000)").await.unwrap();
        Self { client, get }
    }
}

impl Read for Reader {
    async fn read(&mut self, stream: usize) -> usize {
        let rows = self.client.query(&self.get, &[&account_id(stream)]).await.unwrap();
        rows.iter().map(|row| serde_json::from_str::<Payload>(row.get(0)).unwrap()).count()
    }
}
