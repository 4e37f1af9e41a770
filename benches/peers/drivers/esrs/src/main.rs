//! esrs: `AggregateManager` on a `PgStore`, which loads the aggregate, decides and persists. The unique key
//! (aggregate_id, sequence_number) checks the version. The ids of its aggregates are UUIDs.
//!
//! The read model is a `TransactionalEventHandler`: it changes in the transaction that stores the events.
//! `PgRebuilder` makes it again, with a transaction for each aggregate. There is no global order and no
//! checkpoint.
//!
//! - `no-handler`: events only.
//! - `transactional-handler`: with the read model.

mod account;

use std::sync::Arc;
use std::time::{Duration, Instant};

use esrs::AggregateState;
use esrs::manager::AggregateManager;
use esrs::rebuilder::{PgRebuilder, Rebuilder};
use esrs::store::EventStore;
use esrs::store::postgres::{PgStore, PgStoreBuilder};
use futures::StreamExt;
use peers_workload::append::{Append, append};
use peers_workload::live::{PostgresTable, live};
use peers_workload::postgres::number;
use peers_workload::read::{Read, read};
use peers_workload::{Part, Payload, Report, Task, account as read_model, account_id};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use account::{Account, AccountTable, Move};

const STORED: &str = "SELECT count(*) FROM account_events";

#[tokio::main]
async fn main() {
    let task = Task::given();
    let has_handler = match task.usage.as_str() {
        "no-handler" => false,
        "transactional-handler" => true,
        other => panic!("{other} is no usage of esrs"),
    };
    measure(&task, has_handler).await.print();
}

async fn measure(task: &Task, has_handler: bool) -> Report {
    let pool = pool(task).await;
    match task.part {
        Part::Append => {
            if has_handler {
                read_model::create(task).await;
            }
            let writer = Writer(Arc::new(AggregateManager::new(store(pool, has_handler).await)));
            let report = append(task, vec![writer; task.clients]).await;
            let report = report.stored(number(&task.database, STORED).await as usize);
            if has_handler { report.view(read_model::view(task).await) } else { report }
        }
        Part::CatchUp => {
            read_model::create(task).await;
            let begun = Instant::now();
            let rebuilder =
                PgRebuilder::<Account>::new().with_transactional_event_handlers(vec![Box::new(AccountTable)]);
            // When the time is over, the table says how far this has come.
            if let Ok(rebuilt) = tokio::time::timeout(task.time, rebuilder.by_aggregate_id(pool)).await {
                rebuilt.unwrap();
            }
            read_model::caught_up(task, begun.elapsed()).await
        }
        Part::Live => {
            read_model::create(task).await;
            let writer = Writer(Arc::new(AggregateManager::new(store(pool, has_handler).await)));
            let report = live(task, writer, PostgresTable::account(task).await).await;
            report.view(read_model::view(task).await)
        }
        Part::Read => {
            let store = store(pool, false).await;
            read(task, (0..task.clients).map(|_| Reader(store.clone())).collect()).await
        }
        Part::Enumerate => {
            let store = store(pool.clone(), false).await;
            let begun = Instant::now();
            let (mut log, mut events) = (store.stream_events(&pool), 0);
            while let Some(event) = log.next().await {
                event.unwrap();
                events += 1;
            }
            Report::new(events, begun.elapsed())
        }
    }
}

/// Two connections at least: the rebuilder needs them. All are opened before the clock starts.
async fn pool(task: &Task) -> PgPool {
    let connections = (task.clients as u32).max(2);
    let options = PgPoolOptions::new().max_connections(connections).min_connections(connections);
    options.acquire_timeout(Duration::from_secs(120)).connect(&task.database).await.unwrap()
}

async fn store(pool: PgPool, has_handler: bool) -> PgStore<Account> {
    let builder = PgStoreBuilder::<Account>::new(pool);
    let builder = if has_handler { builder.add_transactional_event_handler(AccountTable) } else { builder };
    builder.try_build().await.unwrap()
}

fn id(stream: usize) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, account_id(stream).as_bytes())
}

#[derive(Clone)]
struct Writer(Arc<AggregateManager<PgStore<Account>>>);

impl Append for Writer {
    async fn append(&mut self, stream: usize, version: usize, payloads: Vec<Payload>) {
        let id = id(stream);
        let state = self.0.load(id).await.unwrap().unwrap_or_else(|| AggregateState::with_id(id));
        self.0.handle_command(state, Move { version, payloads }).await.unwrap().unwrap();
    }
}

struct Reader(PgStore<Account>);

impl Read for Reader {
    async fn read(&mut self, stream: usize) -> usize {
        self.0.by_aggregate_id(id(stream)).await.unwrap().len()
    }
}
