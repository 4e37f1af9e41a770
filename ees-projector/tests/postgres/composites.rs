//! The tables of a composite, and the foreign keys between them.

use std::time::Duration;

use ees_projector::read_model::{Column, ColumnType};
use ees_projector::{
    Composite, Fold, Projector, Recorded, Running, Settings, SideBySide, StandbyRole, Table,
};

use crate::support::{AccountEvent, Bank, LONG, status_of};

/// The accounts, and what refers to them.
struct Accounts {
    refers: bool,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Account {
    account: String,
}

impl Fold for Accounts {
    type Event = AccountEvent;
    type Key = String;
    type State = Account;

    fn name(&self) -> &str {
        if self.refers { "cards" } else { "accounts" }
    }
    fn table(&self) -> Table {
        let table = Table::new(self.name().to_owned(), Column::new("id", ColumnType::Text))
            .with_column(Column::new("account", ColumnType::Text));
        if self.refers { table.with_reference("account", "accounts") } else { table }
    }
    fn key(&self, event: Recorded<'_, AccountEvent>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, _: Option<Account>, event: Recorded<'_, AccountEvent>) -> Option<Account> {
        Some(Account { account: event.stream_id().to_string() })
    }
}

async fn start(bank: &Bank) -> Running {
    let bank_of = Composite::new("bank").stage(Accounts { refers: false }).stage(Accounts { refers: true });
    let mut projector = Projector::new(bank.log.clone());
    projector.fold(bank_of, bank.connect().await, Settings::default()).unwrap();
    projector.start()
}

/// The schemas of the foreign keys and of what they refer to.
const KEYS: &str = "FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_class r ON r.oid = k.confrelid
    WHERE k.contype = 'f' AND t.relnamespace = 'bank'::regnamespace AND r.relnamespace = 'bank'::regnamespace";

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_key_is_there_once_after_a_rebuild_and_after_a_swap() {
    let bank = Bank::new().await;
    bank.deposit_to_many(3).await;
    let running = start(&bank).await;
    let reached = async |checkpoint: u64| {
        running.handle().when_reached("bank", checkpoint.into(), LONG).await.unwrap();
    };
    reached(3).await;
    let keys = format!("SELECT count(*) {KEYS}");
    assert_eq!(bank.number(&keys).await, 1);
    running.handle().rebuild("bank", "to see it").await.unwrap();
    reached(3).await;
    assert_eq!(bank.number(&keys).await, 1);
    running.handle().rebuild_side_by_side("bank", SideBySide::default(), "to see it").await.unwrap();
    let is_swapped = |role| role == Some(StandbyRole::Following);
    status_of(&running, "bank", |status| is_swapped(status.standby.as_ref().map(|it| it.plan.role))).await;
    assert_eq!(bank.number(&keys).await, 1);
    bank.deposit("account-9", 1).await;
    reached(4).await;
    assert_eq!(
        bank.number("SELECT count(*) FROM bank.cards JOIN bank.accounts a ON a.id = cards.account").await,
        4
    );
    tokio::time::timeout(Duration::from_secs(30), running.shut_down()).await.unwrap();
}
