//! Reads the whole log, and builds read models from it.

use std::sync::Arc;

use ees_projector::sqlite::{Database, Tx, rusqlite::params};
use ees_projector::{BoxError, Projection, Projector, Recorded, Settings};
use ees_store::sqlite;

use crate::limits::Limits;
use crate::shared::append::fill;
use crate::shared::read::{Account, Balances, Enumerated, catch_up, enumerate};
use crate::shared::report::Report;
use crate::shared::workload::Workload;

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
    fill(&*store, workload).await;

    let Enumerated { events, end, took } = enumerate(&*store, 1_000).await;
    assert_eq!(events, workload.events());
    report.rate("enumerate, in process", events, took, Some(limits.scan), Some(2_000_000.0));

    let model = |name: &str| Database::open(folder.path().join(name)).unwrap();
    for (columns, file, what) in
        [(false, "fold.db", "catch up, fold"), (true, "columns.db", "catch up, fold onto columns")]
    {
        let mut fold = Projector::new(store.clone());
        fold.fold(Balances { columns }, model(file), Settings::default()).unwrap();
        let took = catch_up(fold, "balances", end).await;
        report.rate(what, events, took, Some(limits.fold), Some(500_000.0));
    }

    let mut own_sql = Projector::new(store.clone());
    own_sql.projection(OwnSql, model("own.db"), Settings::default()).unwrap();
    let took = catch_up(own_sql, "own_sql", end).await;
    report.rate("catch up, own SQL for each event", events, took, Some(limits.fold), Some(300_000.0));
}
