//! eventcore with eventcore-postgres: `append_events` with the expected version of the stream, and
//! `run_transactional_projection`, which applies an event and moves the position in one transaction, exactly
//! once.
//!
//! For projections, each append also locks the row that gives out delivery positions. A runner at the end
//! looks again after a second by default (`poll-1-s`); `poll-20-ms` looks more often.

mod projection;

use std::sync::Arc;
use std::time::{Duration, Instant};

use eventcore_postgres::PostgresEventStore;
use eventcore_types::{
    BatchSize, Event, EventFilter, EventPage, EventReader, EventStore, StreamId, StreamVersion, StreamWrites,
    collect_events,
};
use peers_workload::append::{Append, append};
use peers_workload::live::{PostgresTable, live};
use peers_workload::postgres::number;
use peers_workload::read::{Read, read};
use peers_workload::{Part, Payload, Report, Task, account, account_id};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use projection::Runner;

const EVENTS_A_PAGE: usize = 1_000;
const STORED: &str = "SELECT count(*) FROM eventcore_events";

#[tokio::main]
async fn main() {
    let task = Task::given();
    measure(&task).await.print();
}

async fn measure(task: &Task) -> Report {
    let store = Arc::new(PostgresEventStore::from_pool(pool(task, task.clients as u32).await));
    match task.part {
        Part::Append => {
            migrate(task, &store).await;
            let report = append(task, vec![Writer(store); task.clients]).await;
            report.stored(number(&task.database, STORED).await as usize)
        }
        Part::CatchUp => {
            account::create(task).await;
            let runner = Runner::start(task, None).await;
            let begun = Instant::now();
            let took = account::until_caught_up(task, begun).await;
            runner.stop().await;
            account::caught_up(task, took).await
        }
        Part::Live => {
            migrate(task, &store).await;
            account::create(task).await;
            let interval = match task.usage.as_str() {
                "poll-1-s" => Duration::from_secs(1),
                "poll-20-ms" => Duration::from_millis(20),
                other => panic!("{other} is no usage of eventcore"),
            };
            let runner = Runner::start(task, Some(interval)).await;
            let report = live(task, Writer(store), PostgresTable::account(task).await).await;
            runner.stop().await;
            report.view(account::view(task).await)
        }
        Part::Read => read(task, vec![Reader(store); task.clients]).await,
        Part::Enumerate => {
            let begun = Instant::now();
            Report::new(count(&store).await, begun.elapsed())
        }
    }
}

async fn migrate(task: &Task, store: &PostgresEventStore) {
    store.migrate().await;
    // The trigger that gives out delivery positions.
    projection::source(pool(task, 1).await).await;
}

/// Its connections are opened before the clock starts.
async fn pool(task: &Task, connections: u32) -> PgPool {
    let options = PgPoolOptions::new().max_connections(connections).min_connections(connections);
    options.acquire_timeout(Duration::from_secs(120)).connect(&task.database).await.unwrap()
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Moved {
    account_id: StreamId,
    amount: i64,
    currency: String,
    seq: i64,
    memo: String,
}

impl Event for Moved {
    fn stream_id(&self) -> &StreamId {
        &self.account_id
    }

    fn event_type_name() -> &'static str {
        "moved"
    }
}

fn stream_id(stream: usize) -> StreamId {
    StreamId::try_new(account_id(stream)).unwrap()
}

#[derive(Clone)]
struct Writer(Arc<PostgresEventStore>);

impl Append for Writer {
    async fn append(&mut self, stream: usize, version: usize, payloads: Vec<Payload>) {
        let account_id = stream_id(stream);
        let mut writes =
            StreamWrites::new().register_stream(account_id.clone(), StreamVersion::new(version)).unwrap();
        for Payload { amount, currency, seq, memo, .. } in payloads {
            writes =
                writes.append(Moved { account_id: account_id.clone(), amount, currency, seq, memo }).unwrap();
        }
        self.0.append_events(writes).await.unwrap();
    }
}

#[derive(Clone)]
struct Reader(Arc<PostgresEventStore>);

impl Read for Reader {
    async fn read(&mut self, stream: usize) -> usize {
        let events = self.0.read_stream::<Moved>(stream_id(stream)).await.unwrap();
        collect_events(events).await.unwrap().len()
    }
}

/// Reads the whole log, in the order that its reader has.
async fn count(store: &PostgresEventStore) -> usize {
    let (mut page, mut events) = (EventPage::first(BatchSize::new(EVENTS_A_PAGE)), 0);
    loop {
        let read = store.read_events::<Moved>(EventFilter::all(), page).await.unwrap();
        let Some((_, position)) = read.last() else { return events };
        events += read.len();
        page = EventPage::after(*position, BatchSize::new(EVENTS_A_PAGE));
    }
}
