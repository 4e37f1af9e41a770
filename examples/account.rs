//! A bank account as an aggregate: its rules hold for any number of concurrent commands, and its history is
//! complete.
//!
//! `cargo run -p ees-examples --example account`

use std::error::Error;
use std::fmt;
use std::sync::{Arc, LazyLock};

use ees_aggregate::{Aggregate, Context, ExecuteError, Metadata, Repository, Snapshotted};
use ees_store::event::{Members, Reading, Upcasters};
use ees_store::{ChangesetId, StreamId, sqlite};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AccountEvent {
    Opened { owner: String },
    Deposited { cents: u64 },
    Withdrawn { cents: u64 },
}

enum AccountCommand {
    Open { owner: String },
    Deposit { cents: u64 },
    Withdraw { cents: u64 },
}

#[derive(Debug, PartialEq)]
enum Refusal {
    AlreadyOpen,
    NotOpen,
    Overdrawn { balance: u64 },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyOpen => f.write_str("the account is already open"),
            Self::NotOpen => f.write_str("there is no such account"),
            Self::Overdrawn { balance } => write!(f, "the balance is only {balance} cents"),
        }
    }
}

impl Error for Refusal {}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Account {
    owner: Option<String>,
    balance: u64,
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Event = AccountEvent;
    type Command = AccountCommand;
    type Error = Refusal;

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { owner } => self.owner = Some(owner.clone()),
            AccountEvent::Deposited { cents } => self.balance += cents,
            AccountEvent::Withdrawn { cents } => self.balance -= cents,
        }
    }

    fn decide(&self, command: &AccountCommand) -> Result<Vec<AccountEvent>, Refusal> {
        match (command, &self.owner) {
            (AccountCommand::Open { owner }, None) => Ok(vec![AccountEvent::Opened { owner: owner.clone() }]),
            (AccountCommand::Open { .. }, Some(_)) => Err(Refusal::AlreadyOpen),
            (_, None) => Err(Refusal::NotOpen),
            (&AccountCommand::Deposit { cents }, _) => Ok(vec![AccountEvent::Deposited { cents }]),
            (&AccountCommand::Withdraw { cents }, _) if cents > self.balance => {
                Err(Refusal::Overdrawn { balance: self.balance })
            }
            (&AccountCommand::Withdraw { cents }, _) => Ok(vec![AccountEvent::Withdrawn { cents }]),
        }
    }

    fn reading() -> Reading {
        Reading::refusing_unknown().with_upcasters(UPCASTERS.clone())
    }
}

/// In the first year, deposits were called `paid_in` and had whole euros.
#[expect(clippy::expect_used, reason = "the steps are constants")]
static UPCASTERS: LazyLock<Upcasters> = LazyLock::new(|| {
    let euros_to_cents = |event: &mut Members| {
        let euros: u64 = event.take("euros")?;
        Ok(event.set("cents", &(euros * 100))?)
    };
    Upcasters::new()
        .step(("paid_in", 1), ("deposited", 1), euros_to_cents)
        .expect("a single step can't contradict another")
});

impl Snapshotted for Account {
    const SCHEMA: &'static str = "1";
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let data = std::env::temp_dir().join(format!("ees-account-{}", std::process::id()));
    std::fs::create_dir_all(&data)?;
    let store = Arc::new(sqlite::Store::open(data.join("log.db"))?);
    let snapshots = ees_aggregate::snapshots::sqlite::Snapshots::open(data.join("snapshots.db"))?;
    let accounts = Repository::<Account>::new(store).with_snapshots(snapshots);

    let ada: StreamId = "account/ada".parse()?;
    let by_ada = Context::new().with_metadata(Metadata::new().user("ada").correlation_id("request-1"));
    accounts.execute_with(&ada, &AccountCommand::Open { owner: "Ada".to_owned() }, by_ada).await?;
    accounts.execute(&ada, &AccountCommand::Deposit { cents: 1_000 }).await?;

    // Ten clerks each withdraw 150 of the 1,000 cents at the same time. The rule holds: four are refused.
    let clerks = (0..10).map(|_| {
        let (accounts, ada) = (accounts.clone(), ada.clone());
        tokio::spawn(async move { accounts.execute(&ada, &AccountCommand::Withdraw { cents: 150 }).await })
    });
    let (mut paid, mut refused) = (0, 0);
    for clerk in clerks.collect::<Vec<_>>() {
        match clerk.await? {
            Ok(_) => paid += 1,
            Err(ExecuteError::Refused(Refusal::Overdrawn { .. })) => refused += 1,
            Err(other) => return Err(other.into()),
        }
    }
    println!("{paid} withdrawals were paid, {refused} were refused");

    let before = accounts.load_at(&ada, ChangesetId::new(2)).await?;
    if let Some(now) = accounts.load(&ada).await? {
        println!("{} had {} cents and now has {}", ada, before.balance, now.balance);
    }
    Ok(std::fs::remove_dir_all(data)?)
}

#[cfg(test)]
mod tests {
    use ees_aggregate::testkit::given;
    use serde_json::json;

    use super::*;

    fn opened() -> AccountEvent {
        AccountEvent::Opened { owner: "Ada".to_owned() }
    }

    #[test]
    fn what_is_there_can_be_withdrawn() {
        given::<Account>([opened(), AccountEvent::Deposited { cents: 500 }])
            .when(AccountCommand::Withdraw { cents: 500 })
            .then([AccountEvent::Withdrawn { cents: 500 }]);
    }

    #[test]
    fn an_account_is_not_overdrawn() {
        given::<Account>([opened(), AccountEvent::Deposited { cents: 500 }])
            .when(AccountCommand::Withdraw { cents: 501 })
            .then_refused(Refusal::Overdrawn { balance: 500 });
    }

    #[test]
    fn nothing_is_done_with_an_account_that_is_not_open() {
        given::<Account>([]).when(AccountCommand::Deposit { cents: 1 }).then_refused(Refusal::NotOpen);
        given::<Account>([opened()])
            .when(AccountCommand::Open { owner: "Bob".to_owned() })
            .then_refused(Refusal::AlreadyOpen);
    }

    #[test]
    fn deposits_of_the_first_year_count() {
        let history = given::<Account>([opened()]).and_stored(json!({"type": "paid_in", "euros": 7}));
        assert_eq!(history.state().balance, 700);
        history.check_snapshots();
    }
}
