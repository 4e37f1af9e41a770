//! A program that tells what a new version of a projection changes, before it is deployed.
//!
//! `cargo run -p ees-examples --example preview -- --log http://localhost:2113 --database balances.db`
//!
//! The deployed version of `Balances` forgot the fees. Version 2 counts them. The preview runs it on the log into a
//! place of its own, and says which rows of the live read model it would change. Its exit code is 9 then, and 0 once
//! version 2 is live: so a pipeline can ask somebody before it deploys.
//!
//! `... --example preview -- live LOG DATABASE` is the deployed program, and `... -- live LOG DATABASE old` was that
//! before.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use ees_projector::preview::{self, Given};
use ees_projector::{BoxError, Fold, Order, Projector, Recorded, Settings, postgres, sqlite};
use ees_store::client::Client;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AccountEvent {
    Opened { owner: String },
    Deposited { cents: i64 },
    Withdrawn { cents: i64, fee: i64 },
}
use AccountEvent::{Deposited, Opened, Withdrawn};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Balance {
    owner: String,
    cents: i64,
}

struct Balances {
    version: u32,
}

impl Fold for Balances {
    type Event = AccountEvent;
    type Key = String;
    type State = Balance;

    fn name(&self) -> &str {
        "balances"
    }
    fn version(&self) -> u32 {
        self.version
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, AccountEvent>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<Balance>, event: Recorded<'_, AccountEvent>) -> Option<Balance> {
        let changed = |by: i64| row.map(|row| Balance { cents: row.cents + by, ..row });
        match event.event {
            Opened { owner } => Some(Balance { owner: owner.clone(), cents: 0 }),
            Deposited { cents } => changed(*cents),
            Withdrawn { cents, .. } if self.version == 1 => changed(-cents),
            Withdrawn { cents, fee } => changed(-cents - fee),
        }
    }
}

/// What the deployed program runs, and what is previewed.
async fn assemble(log: &str, database: &str, version: u32) -> Result<Projector, BoxError> {
    let mut projector = Projector::new(Arc::new(Client::new(log)?));
    let balances = Balances { version };
    if database.starts_with("postgres") {
        projector.fold(balances, postgres::Database::connect(database).await?, Settings::default())?;
    } else {
        projector.fold(balances, sqlite::Database::open(database)?, Settings::default())?;
    }
    Ok(projector)
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments.as_slice() {
        ["live", log, database] => live(log, database, 2),
        ["live", log, database, "old"] => live(log, database, 1),
        _ => return preview::main(async |given: Given| assemble(&given.log, &given.database, 2).await),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn live(log: &str, database: &str, version: u32) -> Result<(), Box<dyn Error>> {
    let running = assemble(log, database, version).await.map_err(|error| error.to_string())?.start();
    tokio::signal::ctrl_c().await?;
    running.shut_down().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ees_projector::testkit::given;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn version_2_counts_fees() {
        let history = given([
            ("account/1", json!({"type": "opened", "owner": "ada"})),
            ("account/1", json!({"type": "deposited", "cents": 500})),
            ("account/1", json!({"type": "withdrawn", "cents": 100, "fee": 5})),
        ]);
        let ada = |cents| [("account/1", Balance { owner: "ada".to_owned(), cents })];
        history.fold(Balances { version: 1 }).await.expect(ada(400));
        history.fold(Balances { version: 2 }).await.expect(ada(395));
    }
}
