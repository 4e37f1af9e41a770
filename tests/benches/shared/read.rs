//! Reads the whole log, and has the read models that are built from it.

use std::time::{Duration, Instant};

use ees_projector::{Fold, Order, Projector, ReadModel, Recorded, Table};
use ees_store::{ChangesetLog, Checkpoint, LogQuery};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(tag = "type", rename = "deposited")]
struct Deposited {
    amount: i64,
}

/// The amount that the events of an append deposit.
pub(crate) fn amounts(events: &str) -> Vec<i64> {
    let events: Vec<Deposited> = serde_json::from_str(events).unwrap();
    events.iter().map(|event| event.amount).collect()
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Account {
    Deposited { amount: i64 },
}

#[derive(Default, Serialize, Deserialize, ReadModel)]
#[read_model(key = "account_id")]
pub(crate) struct Balance {
    amount: i64,
}

pub(crate) struct Balances {
    /// Columns, or a JSON document for each row.
    pub(crate) columns: bool,
}

impl Fold for Balances {
    type Event = Account;
    type Key = String;
    type State = Balance;
    fn name(&self) -> &str {
        "balances"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn table(&self) -> Table {
        if self.columns { Balance::table() } else { Table::document("balances") }
    }
    fn key(&self, event: Recorded<'_, Account>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<Balance>, event: Recorded<'_, Account>) -> Option<Balance> {
        let Account::Deposited { amount } = event.event;
        Some(Balance { amount: row.unwrap_or_default().amount + amount })
    }
}

/// Reads the whole log, page by page.
pub(crate) struct Enumerated {
    pub(crate) events: u64,
    pub(crate) end: Checkpoint,
    pub(crate) took: Duration,
}

pub(crate) async fn enumerate(log: &dyn ChangesetLog, changesets_a_page: usize) -> Enumerated {
    let begun = Instant::now();
    let mut end = Checkpoint::START;
    let mut events = 0;
    loop {
        let page = log.read(LogQuery::from(end, changesets_a_page)).await.unwrap();
        if page.next == end {
            return Enumerated { events, end, took: begun.elapsed() };
        }
        events += page.changesets.iter().map(|changeset| changeset.events.count()).sum::<u64>();
        end = page.next;
    }
}

/// The time until a projection has caught up.
pub(crate) async fn catch_up(projector: Projector, name: &str, head: Checkpoint) -> Duration {
    let begun = Instant::now();
    let running = projector.start();
    running.handle().when_reached(name, head, Duration::from_secs(600)).await.unwrap();
    let took = begun.elapsed();
    running.shut_down().await;
    took
}
