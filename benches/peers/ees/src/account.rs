//! The events, and the read model that is made of them.

use ees_projector::{Fold, ReadModel, Recorded, Table};
use peers_workload::Payload;
use serde::{Deserialize, Serialize};

/// Of the projection, and on PostgreSQL of its schema.
pub(crate) const NAME: &str = "accounts";

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum AccountEvent {
    Moved(Payload),
}

#[derive(Default, Serialize, Deserialize, ReadModel)]
#[read_model(key = "account_id")]
pub(crate) struct Account {
    balance: i64,
    event_count: i64,
    last_event_id: i64,
}

pub(crate) struct Accounts;

impl Fold for Accounts {
    type Event = AccountEvent;
    type Key = String;
    type State = Account;

    fn name(&self) -> &str {
        NAME
    }

    fn table(&self) -> Table {
        Account::table()
    }

    fn key(&self, event: Recorded<'_, AccountEvent>) -> Option<String> {
        Some(event.stream_id().to_string())
    }

    fn fold(&self, row: Option<Account>, event: Recorded<'_, AccountEvent>) -> Option<Account> {
        let AccountEvent::Moved(moved) = event.event;
        let row = row.unwrap_or_default();
        Some(Account {
            balance: row.balance + moved.amount,
            event_count: row.event_count + 1,
            last_event_id: event.event_id.get() as i64,
        })
    }
}
