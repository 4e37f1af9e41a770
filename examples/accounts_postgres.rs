//! A table with columns in PostgreSQL: kept up to date, queried with SQL, and rebuilt while it is read.
//!
//! `cargo run -p ees-examples --example accounts_postgres`
//!
//! Set `DATABASE_URL=postgres://user@host/database` to use your own database. Without it, the example starts
//! a PostgreSQL for this run and removes it afterwards. In your own database the rows stay, and `psql` shows
//! them:
//!
//! ```text
//! bank=> SELECT * FROM accounts.accounts;
//!  account_id | owner | balance_cents |       opened_at        | status
//! ------------+-------+---------------+------------------------+--------
//!  account/0  | ada   |          4200 | 2026-11-21 09:30:00+00 | open
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projector::postgres::{self, sqlx};
use ees_projector::{Fold, Handle, Order, Projector, ReadModel, Recorded, Running, Settings};
use ees_projector::{SideBySide, StandbyRole, Table};
use ees_store::postgres::Store;
use ees_store::{
    ChangesetLog, Checkpoint, Commit, Committed, EventStore, Events, Expectation, StreamId, Timestamp,
};
use ees_test_postgres::TestDatabase;
use serde::{Deserialize, Serialize};

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AccountEvent {
    Opened { owner: String, at: Timestamp },
    Deposited { cents: i64 },
    Withdrawn { cents: i64 },
    Closed,
}

/// A row. Each field is a column of the table `accounts` in the schema `accounts`.
#[derive(Debug, PartialEq, Serialize, Deserialize, ReadModel)]
#[read_model(table = "accounts", key = "account_id", index(owner, status))]
struct Account {
    owner: String,
    balance_cents: i64,
    opened_at: Timestamp,
    status: Status,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Open,
    Closed,
}

struct Accounts;

impl Accounts {
    const NAME: &str = "accounts";
}

impl Fold for Accounts {
    type Event = AccountEvent;
    type Key = StreamId;
    type State = Account;

    fn name(&self) -> &str {
        Self::NAME
    }

    fn table(&self) -> Table {
        Account::table()
    }

    fn order(&self) -> Order {
        Order::Stream
    }

    fn key(&self, event: Recorded<'_, AccountEvent>) -> Option<StreamId> {
        Some(event.stream_id().clone())
    }

    fn fold(&self, account: Option<Account>, event: Recorded<'_, AccountEvent>) -> Option<Account> {
        use AccountEvent::{Closed, Deposited, Opened, Withdrawn};
        let account = match (account, event.event) {
            (_, Opened { owner, at }) => {
                Account { owner: owner.clone(), balance_cents: 0, opened_at: *at, status: Status::Open }
            }
            (Some(it), Deposited { cents }) => Account { balance_cents: it.balance_cents + cents, ..it },
            (Some(it), Withdrawn { cents }) => Account { balance_cents: it.balance_cents - cents, ..it },
            (Some(it), Closed) => Account { status: Status::Closed, ..it },
            (None, _) => return None,
        };
        Some(account)
    }
}

/// The log and the read model in one database, and a worker that keeps the read model up to date.
struct Bank {
    store: Arc<Store>,
    read_models: postgres::Database,
    worker: Running,
}

async fn app(url: &str) -> Result<Bank, Failure> {
    let store = Arc::new(Store::connect(url).await?);
    let read_models = postgres::Database::connect(url).await?;
    let mut projector = Projector::new(store.clone());
    projector.fold(Accounts, read_models.clone(), Settings::default())?;
    Ok(Bank { store, read_models, worker: projector.start() })
}

impl Bank {
    /// Opens an account with a first deposit. Both events are one changeset: either both are committed, or
    /// none.
    async fn open(&self, account: StreamId, owner: &str, cents: i64) -> Result<Committed, Failure> {
        let opened = AccountEvent::Opened { owner: owner.to_owned(), at: Timestamp::now() };
        let events = Events::of(&[opened, AccountEvent::Deposited { cents }])?;
        Ok(self.store.commit(Commit::new(account, Expectation::NewStream, events)).await?)
    }

    /// The open accounts of an owner, with their balances.
    async fn accounts_of(&self, owner: &str) -> Result<Vec<(String, i64)>, Failure> {
        let query = "SELECT account_id, balance_cents FROM accounts.accounts
                     WHERE owner = $1 AND status = 'open' ORDER BY account_id";
        Ok(sqlx::query_as(query).bind(owner).fetch_all(self.read_models.pool()).await?)
    }

    async fn total_cents(&self) -> Result<i64, Failure> {
        let query = "SELECT coalesce(sum(balance_cents), 0)::bigint FROM accounts.accounts";
        Ok(sqlx::query_scalar(query).fetch_one(self.read_models.pool()).await?)
    }

    /// Waits until the read model has applied a commit, so that callers read their own writes.
    async fn when_applied(&self, committed: Option<Checkpoint>) -> Result<(), Failure> {
        if let Some(checkpoint) = committed {
            self.worker.handle().when_reached(Accounts::NAME, checkpoint, Duration::from_secs(30)).await?;
        }
        Ok(())
    }

    /// Rebuilds the table side by side: builds a new one, compares it with the live one, and swaps. Returns
    /// how often the table was read in the meantime.
    async fn rebuild_while_it_is_read(&self) -> Result<usize, Failure> {
        let before = self.total_cents().await?;
        let handle = self.worker.handle();
        let wanted = SideBySide { verify: true, ..SideBySide::default() };
        handle.rebuild_side_by_side(Accounts::NAME, wanted, "to show that readers don't notice").await?;
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut reads = 0;
        while !has_swapped(handle).await? {
            if self.total_cents().await? != before || Instant::now() > deadline {
                return Err(
                    "a reader saw another total during the rebuild, or the rebuild took too long".into()
                );
            }
            reads += 1;
        }
        Ok(reads)
    }
}

/// Whether the new read model is live, and the old one follows as the standby, for a rollback.
async fn has_swapped(handle: &Handle) -> Result<bool, Failure> {
    let Some(standby) = handle.status(Accounts::NAME).await?.standby else { return Ok(false) };
    match standby.plan.note {
        Some(why_not) => Err(why_not.into()),
        None => Ok(standby.plan.role == StandbyRole::Following),
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (url, _own) = match std::env::var("DATABASE_URL") {
        Ok(url) => (url, None),
        Err(_) => {
            let own = TestDatabase::new().await;
            (own.url().to_owned(), Some(own))
        }
    };
    let bank = app(&url).await?;
    // Account numbers that no earlier run has used.
    let first = bank.store.head().await?.checkpoint.get();
    let account = |number: u64| format!("account/{}", first + number).parse::<StreamId>();

    let opened = bank.open(account(0)?, "ada", 4_200).await?;
    bank.when_applied(opened.checkpoint).await?;
    for (account, cents) in bank.accounts_of("ada").await? {
        println!("{account} of ada has {cents} cents");
    }

    let mut last = None;
    for number in 1..=500 {
        last = bank.open(account(number)?, "bob", 100).await?.checkpoint;
    }
    bank.when_applied(last).await?;
    println!("all accounts have {} cents", bank.total_cents().await?);
    let reads = bank.rebuild_while_it_is_read().await?;
    println!(
        "rebuilt side by side, compared and swapped; read {reads} times in the meantime, always complete"
    );

    bank.worker.handle().rollback(Accounts::NAME, false, "to show a rollback").await?;
    println!("rolled back: all accounts have {} cents", bank.total_cents().await?);
    bank.worker.shut_down().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ees_projector::testkit::given;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn an_account_has_what_came_in_less_what_went_out_until_it_is_closed() {
        let at = "2026-11-21T09:30:00.000000Z";
        let history = given([
            ("account/1", json!({"type": "opened", "owner": "ada", "at": at})),
            ("account/2", json!({"type": "opened", "owner": "bob", "at": at})),
            ("account/1", json!({"type": "deposited", "cents": 5_000})),
            ("account/1", json!({"type": "withdrawn", "cents": 800})),
            ("account/2", json!({"type": "closed"})),
        ]);
        let account = |owner: &str, balance_cents, status| Account {
            owner: owner.to_owned(),
            balance_cents,
            opened_at: at.parse().unwrap(),
            status,
        };
        history.fold(Accounts).await.expect([
            ("account/1", account("ada", 4_200, Status::Open)),
            ("account/2", account("bob", 0, Status::Closed)),
        ]);
        // The same rows after random batches, repeated deliveries, and crashes before and after commits.
        history.check_fold(|| Accounts).await;
    }
}
