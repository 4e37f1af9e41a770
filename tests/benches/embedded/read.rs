//! Reading everything, and building read models from it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projector::sqlite::{Database, Tx, rusqlite::params};
use ees_projector::{BoxError, Fold, Projection, Projector, ReadModel, Recorded, Settings, Table};
use ees_store::{ChangesetLog, Checkpoint, LogQuery, sqlite};
use serde::{Deserialize, Serialize};

use crate::append::append;
use crate::limits::Limits;
use crate::report::Report;
use crate::workload::Workload;

#[derive(Deserialize)]
#[serde(tag = "type", rename = "deposited")]
pub(crate) struct Deposited {
    pub(crate) amount: i64,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Account {
    Deposited { amount: i64 },
}

#[derive(Default, Serialize, Deserialize, ReadModel)]
#[read_model(key = "account_id")]
struct Balance {
    amount: i64,
}

struct Balances {
    columns: bool,
}

impl Fold for Balances {
    type Event = Account;
    type Key = String;
    type State = Balance;
    fn name(&self) -> &str {
        "balances"
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

struct OwnSql;

impl Projection<Tx> for OwnSql {
    type Event = Account;
    fn name(&self) -> &str {
        "own_sql"
    }
    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        let sql =
            "CREATE TABLE accounts (id TEXT PRIMARY KEY, amount INTEGER NOT NULL) STRICT, WITHOUT ROWID";
        Ok(tx.connection().execute_batch(sql)?)
    }
    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        Ok(tx.connection().execute_batch("DROP TABLE IF EXISTS accounts")?)
    }
    async fn apply(&self, event: Recorded<'_, Account>, tx: &mut Tx) -> Result<(), BoxError> {
        let Account::Deposited { amount } = event.event;
        tx.connection()
            .prepare_cached(
                "INSERT INTO accounts (id, amount) VALUES (?1, ?2)
                 ON CONFLICT (id) DO UPDATE SET amount = amount + excluded.amount",
            )?
            .execute(params![event.stream_id().as_str(), amount])?;
        Ok(())
    }
}

pub(crate) async fn measure(workload: &Workload, limits: &Limits, report: &mut Report) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
    append(&store, workload, workload.appends, 64).await;

    let begun = Instant::now();
    let mut from = Checkpoint::START;
    let mut events = 0;
    loop {
        let page = store.read(LogQuery::from(from, 1_000)).await.unwrap();
        if page.next == from {
            break;
        }
        events += page.changesets.iter().map(|changeset| changeset.events.count()).sum::<u64>();
        from = page.next;
    }
    assert_eq!(events, workload.events());
    report.rate("enumerate, in process", events, begun.elapsed(), Some(limits.scan), Some(2_000_000.0));

    let model = |name: &str| Database::open(folder.path().join(name)).unwrap();
    for (columns, file, what) in
        [(false, "fold.db", "catch up, fold"), (true, "columns.db", "catch up, fold onto columns")]
    {
        let mut fold = Projector::new(store.clone());
        fold.fold(Balances { columns }, model(file), Settings::default()).unwrap();
        let took = catch_up(fold, "balances", from).await;
        report.rate(what, events, took, Some(limits.fold), Some(500_000.0));
    }

    let mut own_sql = Projector::new(store.clone());
    own_sql.projection(OwnSql, model("own.db"), Settings::default()).unwrap();
    let took = catch_up(own_sql, "own_sql", from).await;
    report.rate("catch up, own SQL for each event", events, took, Some(limits.fold), Some(300_000.0));
}

async fn catch_up(projector: Projector, name: &str, head: Checkpoint) -> Duration {
    let begun = Instant::now();
    let running = projector.start();
    running.handle().when_reached(name, head, Duration::from_secs(600)).await.unwrap();
    let took = begun.elapsed();
    running.shut_down().await;
    took
}
