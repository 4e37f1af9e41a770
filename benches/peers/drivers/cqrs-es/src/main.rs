//! cqrs-es with postgres-es: `PostgresCqrs::execute`, which loads the aggregate's events, decides, commits,
//! and then runs the queries in the caller. The unique key (type, id, sequence) checks the version.
//!
//! A query that keeps a view is its read model; `QueryReplay::replay_all` makes it again. There is no
//! checkpoint: what a crash between commit and query loses stays lost until a replay. The tables are those of
//! its `db/init.sql`.
//!
//! - `no-query`: events only.
//! - `generic-query`: `GenericQuery` with a `PostgresViewRepository`, as its book has it: a JSON document for
//!   each view.
//! - `own-query`: a `Query` of one's own that runs an upsert for each event.

mod account;
mod queries;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cqrs_es::persist::{PersistedEventRepository, QueryReplay};
use peers_workload::append::{Append, append};
use peers_workload::live::live;
use peers_workload::postgres::{connect, number};
use peers_workload::read::{Read, read};
use peers_workload::{Part, Payload, Report, Task, account_id};
use postgres_es::{PostgresCqrs, PostgresEventRepository, postgres_cqrs};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use account::{Account, AccountEvent, Move};
use queries::ReadModel;

const EVENTS: &str = "CREATE TABLE events (aggregate_type text NOT NULL, aggregate_id text NOT NULL,
    sequence bigint CHECK (sequence >= 0) NOT NULL, event_type text NOT NULL, event_version text NOT NULL,
    payload json NOT NULL, metadata json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence))";

#[tokio::main]
async fn main() {
    let task = Task::given();
    measure(&task).await.print();
}

async fn measure(task: &Task) -> Report {
    let pool = pool(task).await;
    match task.part {
        Part::Append => {
            let (writer, read_model) = fresh(task, pool).await;
            let report = append(task, vec![writer; task.clients]).await;
            let report = report.stored(number(&task.database, "SELECT count(*) FROM events").await as usize);
            read_model.seen(report).await
        }
        Part::CatchUp => catch_up(task, pool).await,
        Part::Live => {
            let (writer, read_model) = fresh(task, pool).await;
            let report = live(task, writer, read_model.look().await).await;
            read_model.seen(report).await
        }
        Part::Read => {
            let repository = Arc::new(PostgresEventRepository::new(pool));
            read(task, vec![Reader(repository); task.clients]).await
        }
        Part::Enumerate => {
            let begun = Instant::now();
            let mut log = PostgresEventRepository::new(pool).stream_all_events::<Account>().await.unwrap();
            let mut events = 0;
            while let Some(event) = log.next::<Account>(&[]).await {
                event.unwrap();
                events += 1;
            }
            Report::new(events, begun.elapsed())
        }
    }
}

async fn catch_up(task: &Task, pool: PgPool) -> Report {
    let read_model = ReadModel::create(task).await;
    let query = read_model.query(&pool).expect("only a query can catch up");
    let replay = QueryReplay::new(PostgresEventRepository::new(pool), query);
    let begun = Instant::now();
    // When the time is over, the view says how far this has come.
    if let Ok(replayed) = tokio::time::timeout(task.time, replay.replay_all()).await {
        replayed.unwrap();
    }
    let took = begun.elapsed();
    read_model.caught_up(took).await
}

async fn fresh(task: &Task, pool: PgPool) -> (Writer, ReadModel) {
    connect(&task.database).await.batch_execute(EVENTS).await.unwrap();
    let read_model = ReadModel::create(task).await;
    let queries = read_model.query(&pool).map(|query| query.0);
    let writer = Writer(Arc::new(postgres_cqrs(pool, queries.into_iter().collect(), ())));
    (writer, read_model)
}

/// Two connections at least: a replay reads by one and writes by another. All are opened before the clock starts.
async fn pool(task: &Task) -> PgPool {
    let connections = (task.clients as u32).max(2);
    let options = PgPoolOptions::new().max_connections(connections).min_connections(connections);
    options.acquire_timeout(Duration::from_secs(120)).connect(&task.database).await.unwrap()
}

#[derive(Clone)]
struct Writer(Arc<PostgresCqrs<Account>>);

impl Append for Writer {
    async fn append(&mut self, stream: usize, version: usize, payloads: Vec<Payload>) {
        self.0.execute(&account_id(stream), Move { version, payloads }).await.unwrap();
    }
}

#[derive(Clone)]
struct Reader(Arc<PostgresEventRepository>);

impl Read for Reader {
    async fn read(&mut self, stream: usize) -> usize {
        let events = self.0.get_events::<Account>(&account_id(stream)).await.unwrap();
        events.into_iter().map(|event| serde_json::from_value::<AccountEvent>(event.payload).unwrap()).count()
    }
}
