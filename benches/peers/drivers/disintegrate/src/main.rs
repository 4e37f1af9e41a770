//! disintegrate with disintegrate-postgres, which needs PostgreSQL 16.
//!
//! - `decision-maker`: `PgDecisionMaker::make`, the recommended way: it loads the events of the account,
//!   decides and appends in a serializable transaction. A conflict that PostgreSQL reports is tried again.
//! - `event-store`: `PgEventStore::append`, where the writer remembers the last event of a stream.
//!
//! The read model is a `PgEventListener` with notifier, as in its documentation and its example "courses":
//! the position is kept in another transaction than the rows, so the handler leaves out events that it has
//! applied.

mod account;
mod listener;
mod writers;

use std::time::{Duration, Instant};

use disintegrate::serde::json::Json;
use disintegrate::{EventStore, StreamItem, StreamQuery, query};
use disintegrate_postgres::{PgEventId, PgEventStore};
use futures::StreamExt;
use peers_workload::append::{Append, append};
use peers_workload::live::{PostgresTable, live};
use peers_workload::postgres::number;
use peers_workload::read::{Read, read};
use peers_workload::{Part, Report, Task, account as read_model, account_id};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use account::DomainEvent;
use listener::Listener;
use writers::{Appending, Deciding};

type Store = PgEventStore<DomainEvent, Json<DomainEvent>>;

const STORED: &str = "SELECT count(*) FROM event";

#[tokio::main]
async fn main() {
    let task = Task::given();
    measure(&task).await.print();
}

async fn measure(task: &Task) -> Report {
    let store = Store::try_new(pool(task).await, Json::default()).await.unwrap();
    match task.part {
        Part::Append => {
            let report = match task.usage.as_str() {
                "decision-maker" => append_by(task, || Deciding::new(&store)).await,
                "event-store" => append_by(task, || Appending::new(&store)).await,
                other => panic!("{other} is no usage of disintegrate"),
            };
            report.stored(number(&task.database, STORED).await as usize)
        }
        Part::CatchUp => {
            read_model::create(task).await;
            let listener = Listener::start(task, store).await;
            let begun = Instant::now();
            let took = read_model::until_caught_up(task, begun).await;
            listener.stop().await;
            read_model::caught_up(task, took).await
        }
        Part::Live => {
            read_model::create(task).await;
            let listener = Listener::start(task, store.clone()).await;
            let report = live(task, Deciding::new(&store), PostgresTable::account(task).await).await;
            listener.stop().await;
            report.view(read_model::view(task).await)
        }
        Part::Read => read(task, (0..task.clients).map(|_| Reader(store.clone())).collect()).await,
        Part::Enumerate => {
            let begun = Instant::now();
            let events = count(&store, &query!(DomainEvent)).await;
            Report::new(events, begun.elapsed())
        }
    }
}

async fn append_by<A: Append>(task: &Task, writer: impl Fn() -> A) -> Report {
    append(task, (0..task.clients).map(|_| writer()).collect()).await
}

/// Its connections are opened before the clock starts.
async fn pool(task: &Task) -> PgPool {
    let connections = (task.clients as u32).max(4);
    let options = PgPoolOptions::new().max_connections(connections).min_connections(connections);
    options.acquire_timeout(Duration::from_secs(120)).connect(&task.database).await.unwrap()
}

struct Reader(Store);

impl Read for Reader {
    async fn read(&mut self, stream: usize) -> usize {
        count(&self.0, &query!(DomainEvent; account_id == account_id(stream))).await
    }
}

async fn count(store: &Store, wanted: &StreamQuery<PgEventId, DomainEvent>) -> usize {
    let (mut items, mut events) = (store.stream(wanted), 0);
    while let Some(item) = items.next().await {
        if let StreamItem::Event(_) = item.unwrap() {
            events += 1;
        }
    }
    events
}
