//! A bank: accounts with balances, in a database of the test's own.

use std::sync::Arc;
use std::time::Duration;

use ees_projector::postgres::Database;
use ees_projector::{Fold, Order, Projector, Recorded, Retry, Running, Settings, Status};
use ees_store::{ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, memory};
use ees_test_postgres::TestDatabase;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection};

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AccountEvent {
    Deposited { amount: i64 },
    Closed,
}

#[derive(Default, Serialize, Deserialize)]
pub struct Balance {
    amount: i64,
    deposits: u64,
}

/// `bonus` is what a version gets wrong, or does otherwise.
#[derive(Clone, Copy, Default)]
pub struct Balances {
    pub version: u32,
    pub bonus: i64,
    /// How long each event takes, inside of the transaction.
    pub takes: Duration,
}

impl Fold for Balances {
    type Event = AccountEvent;
    type Key = String;
    type State = Balance;

    fn name(&self) -> &str {
        "balances"
    }
    fn version(&self) -> u32 {
        self.version.max(1)
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, AccountEvent>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<Balance>, event: Recorded<'_, AccountEvent>) -> Option<Balance> {
        let row = row.unwrap_or_default();
        if !self.takes.is_zero() {
            std::thread::sleep(self.takes);
        }
        match event.event {
            AccountEvent::Deposited { amount } => {
                Some(Balance { amount: row.amount + amount + self.bonus, deposits: row.deposits + 1 })
            }
            AccountEvent::Closed => None,
        }
    }
}

/// Far longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(30);

pub struct Bank {
    pub log: Arc<memory::Store>,
    own: TestDatabase,
}

impl Bank {
    pub async fn new() -> Self {
        Self { log: Arc::new(memory::Store::new()), own: TestDatabase::new().await }
    }

    /// A bank with five deposits, and a worker whose balances are caught up.
    pub async fn with_balances() -> (Self, Running) {
        let bank = Self::new().await;
        bank.deposit_to_many(5).await;
        let running = bank.start(Balances::default(), Settings::default()).await;
        bank.caught_up(&running).await;
        (bank, running)
    }

    pub fn url(&self) -> &str {
        self.own.url()
    }

    /// As a process of its own would connect.
    pub async fn connect(&self) -> Database {
        Database::connect(self.url()).await.unwrap()
    }

    /// A worker of its own.
    pub async fn start(&self, balances: Balances, settings: Settings) -> Running {
        let mut projector = Projector::new(self.log.clone());
        projector.fold(balances, self.connect().await, settings).unwrap();
        projector.start()
    }

    pub async fn deposit(&self, account: &str, amount: i64) -> Checkpoint {
        append(&self.log, account, &format!(r#"{{"type":"deposited","amount":{amount}}}"#)).await
    }

    /// One deposit of 1 to each of this many accounts.
    pub async fn deposit_to_many(&self, accounts: usize) {
        for number in 0..accounts {
            self.deposit(&format!("account-{number}"), 1).await;
        }
    }

    pub async fn caught_up(&self, running: &Running) {
        let head = self.log.head().await.unwrap().checkpoint;
        running.handle().when_reached("balances", head, LONG).await.unwrap();
    }

    /// The status once it is as wanted.
    pub async fn status_when(&self, running: &Running, wanted: impl Fn(&Status) -> bool) -> Status {
        status_of(running, "balances", wanted).await
    }

    /// What a query of one number gives, asked by a connection of its own.
    pub async fn number(&self, sql: &str) -> i64 {
        let mut connection = sqlx::PgConnection::connect(self.url()).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap()
    }

    /// Runs statements as an administrator.
    pub async fn run(&self, sql: &str) {
        let mut connection = sqlx::PgConnection::connect(self.url()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }

    /// The schemas of read models, sorted.
    pub async fn schemas(&self) -> Vec<String> {
        let mut connection = sqlx::PgConnection::connect(self.url()).await.unwrap();
        let sql = "SELECT nspname::text FROM pg_namespace
            WHERE nspname NOT IN ('ees', 'public', 'information_schema') AND nspname NOT LIKE 'pg\\_%' ORDER BY 1";
        sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
    }

    /// The sum of all balances, as a reader asks for it.
    pub async fn total(&self, database: &Database) -> i64 {
        sqlx::query_scalar(
            "SELECT coalesce(sum((state->>'amount')::bigint), 0)::bigint FROM balances.balances",
        )
        .fetch_one(database.pool())
        .await
        .unwrap()
    }
}

/// The status of a projection once it is as wanted.
pub async fn status_of(running: &Running, name: &str, wanted: impl Fn(&Status) -> bool) -> Status {
    let mut last = None;
    let found = tokio::time::timeout(LONG, async {
        loop {
            let status = running.handle().status(name).await.unwrap();
            if wanted(&status) {
                return status;
            }
            last = Some(status);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    match found.await {
        Ok(status) => status,
        Err(_) => panic!("the status never came to what was wanted; it is {last:#?}"),
    }
}

/// Asks again and again until the answer is yes.
pub async fn until<F: Future<Output = bool>>(what: &str, within: Duration, ask: impl Fn() -> F) {
    let asking = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(within, asking).await.is_ok(), "not within {within:?}: {what}");
}

/// Tries a failing changeset again at once, and not often.
pub fn hasty() -> Settings {
    let retry = Retry { times: 1, delay_min: Duration::from_millis(1), delay_max: Duration::from_millis(50) };
    Settings { retry, ..Settings::default() }
}

pub async fn append(store: &memory::Store, stream: &str, event: &str) -> Checkpoint {
    loop {
        let id: ees_store::StreamId = stream.parse().unwrap();
        let page = store.read_stream(ees_store::StreamQuery::all(id.clone())).await;
        let last = page.map_or(0, |page| page.changesets.len());
        let events = Events::parse(&format!("[{event}]")).unwrap();
        let commit = Commit::new(id, Expectation::LastChangeset((last as u64).into()), events);
        if let Ok(committed) = store.commit(commit).await {
            return committed.checkpoint.unwrap();
        }
    }
}
