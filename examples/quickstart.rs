//! An embedded event store, your own read model, and a query.
//!
//! `cargo run -p ees-examples --example quickstart`

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ees_projector::sqlite::Database;
use ees_projector::{Fold, Projector, Recorded, Settings};
use ees_store::{Commit, EventStore, Events, Expectation, sqlite};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AccountEvent {
    Deposited { amount: i64 },
    Withdrawn { amount: i64 },
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Balance {
    amount: i64,
}

/// A read model with one row for each account. `key` names the row of an event, and `fold` makes the new row
/// from the old one.
struct Balances;

impl Fold for Balances {
    type Event = AccountEvent;
    type Key = String;
    type State = Balance;

    fn name(&self) -> &str {
        "balances"
    }
    fn key(&self, event: Recorded<'_, AccountEvent>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<Balance>, event: Recorded<'_, AccountEvent>) -> Option<Balance> {
        let before = row.unwrap_or_default().amount;
        Some(match event.event {
            AccountEvent::Deposited { amount } => Balance { amount: before + amount },
            AccountEvent::Withdrawn { amount } => Balance { amount: before - amount },
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let data = std::env::temp_dir().join(format!("ees-quickstart-{}", std::process::id()));
    std::fs::create_dir_all(&data)?;
    let store = Arc::new(sqlite::Store::open(data.join("log.db"))?);
    let balances = Database::open(data.join("balances.db"))?;
    let mut projector = Projector::new(store.clone());
    projector.fold(Balances, balances.clone(), Settings::default())?;
    let running = projector.start();

    let events = [AccountEvent::Deposited { amount: 50 }, AccountEvent::Withdrawn { amount: 8 }];
    let commit = Commit::new("account/ada".parse()?, Expectation::NewStream, Events::of(&events)?);
    let committed = store.commit(commit).await?;
    if let Some(checkpoint) = committed.checkpoint {
        running.handle().when_reached("balances", checkpoint, Duration::from_secs(5)).await?;
    }
    let query = "SELECT state ->> 'amount' FROM balances WHERE key = 'account/ada'";
    let amount: i64 = balances.read(|db| db.query_row(query, [], |row| row.get(0))).await?;
    println!("account/ada has {amount}");
    running.shut_down().await;
    Ok(std::fs::remove_dir_all(data)?)
}

#[tokio::test]
async fn a_balance_is_what_came_in_less_what_went_out() {
    let event = |event: AccountEvent| serde_json::json!(event);
    let history = [
        ("ada", event(AccountEvent::Deposited { amount: 5 })),
        ("ada", event(AccountEvent::Withdrawn { amount: 2 })),
    ];
    let history = ees_projector::testkit::given(history);
    history.fold(Balances).await.expect([("ada", Balance { amount: 3 })]);
    history.check_fold(|| Balances).await;
}
