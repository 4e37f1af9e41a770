//! UmaDB, as a server process of its own, through its Rust client (gRPC).
//!
//! An append has a `DcbAppendCondition`: no event with the account's tag after the last position that the
//! writer knows. The projection subscribes to the log and applies what comes to PostgreSQL. UmaDB's
//! documentation leaves the position to the view, so the driver commits it in the transaction of the upserts:
//! `per-event`, or one for each batch that the subscription hands out (`per-batch`). Up to 8 connections; the
//! client sends the calls of several writers over one.

mod projection;
mod server;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use peers_workload::append::{Append, append};
use peers_workload::live::{PostgresTable, live};
use peers_workload::read::{Read, read};
use peers_workload::{Part, Payload, Report, Task, account, account_id};
use umadb_client::AsyncUmaDbClient;
use umadb_dcb::{DcbAppendCondition, DcbEvent, DcbEventStoreAsync, DcbQuery, DcbQueryItem};

use projection::Projection;
use server::Server;

const CONNECTIONS_MAX: usize = 8;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, file, address] = &arguments[..]
        && command == server::COMMAND
    {
        return server::run(file, address).await;
    }
    let task = Task::given();
    let server = Server::start(&task).await;
    measure(&task, &server).await.print();
}

async fn measure(task: &Task, server: &Server) -> Report {
    match task.part {
        Part::Append => {
            let clients = connect(server, task.clients).await;
            let writer =
                |n: usize| Writer { client: clients[n % clients.len()].clone(), last: HashMap::new() };
            let report = append(task, (0..task.clients).map(writer).collect()).await;
            report.stored(count(&clients[0]).await)
        }
        Part::CatchUp => {
            let mut projection = Projection::new(task, server.connect().await).await;
            let begun = Instant::now();
            projection.run(task.workload.events, begun + task.time).await;
            account::caught_up(task, begun.elapsed()).await
        }
        Part::Live => {
            let mut projection = Projection::new(task, server.connect().await).await;
            let running = tokio::spawn(async move {
                projection.run(usize::MAX, Instant::now() + 10 * server::PATIENCE).await
            });
            let writer = Writer { client: Arc::new(server.connect().await), last: HashMap::new() };
            let report = live(task, writer, PostgresTable::account(task).await).await;
            running.abort();
            report.view(account::view(task).await)
        }
        Part::Read => {
            let clients = connect(server, task.clients).await;
            read(task, clients.into_iter().map(Reader).collect()).await
        }
        Part::Enumerate => {
            let client = server.connect().await;
            let begun = Instant::now();
            Report::new(count(&client).await, begun.elapsed())
        }
    }
}

async fn connect(server: &Server, clients: usize) -> Vec<Arc<AsyncUmaDbClient>> {
    let mut connected = Vec::new();
    for _ in 0..clients.min(CONNECTIONS_MAX) {
        connected.push(Arc::new(server.connect().await));
    }
    connected
}

fn of_account(stream: usize) -> DcbQuery {
    DcbQuery::new().item(DcbQueryItem::new().tags([account_id(stream)]))
}

fn parse(event: &DcbEvent) -> Payload {
    serde_json::from_slice(&event.data).unwrap()
}

struct Writer {
    client: Arc<AsyncUmaDbClient>,
    /// The last position of each stream, as a decision would have read it.
    last: HashMap<usize, u64>,
}

impl Append for Writer {
    async fn append(&mut self, stream: usize, version: usize, payloads: Vec<Payload>) {
        let events = payloads.iter().map(|payload| {
            let event = DcbEvent::new().event_type("Moved").tags([payload.account_id.clone()]);
            event.data(serde_json::to_vec(payload).unwrap()).uuid(uuid::Uuid::new_v4())
        });
        let after = self.last.get(&stream).copied();
        assert_eq!(version == 0, after.is_none());
        let condition = DcbAppendCondition::new(of_account(stream)).after(after);
        let position = self.client.append(events.collect(), Some(condition), None).await.unwrap();
        self.last.insert(stream, position);
    }
}

struct Reader(Arc<AsyncUmaDbClient>);

impl Read for Reader {
    async fn read(&mut self, stream: usize) -> usize {
        let (events, _) = self.0.read_with_head(Some(of_account(stream)), None, false, None).await.unwrap();
        events.iter().map(|recorded| parse(&recorded.event)).count()
    }
}

/// Reads the whole log and all of its events.
async fn count(client: &AsyncUmaDbClient) -> usize {
    let (mut log, mut events) = (client.read(None, None, false, None).await.unwrap(), 0);
    while let Some(recorded) = log.next().await {
        parse(&recorded.unwrap().event);
        events += 1;
    }
    events
}
