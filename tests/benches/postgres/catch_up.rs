//! Builds read models from the whole log, on the same server.

use std::sync::Arc;

use ees_projector::postgres::{Database, Tx};
use ees_projector::{BoxError, Order, Projection, Projector, Recorded, Settings};
use ees_store::postgres::Store;

use crate::limits::{self, Folds};
use crate::read::CHANGESETS_A_PAGE;
use crate::server::{Databases, settle};
use crate::shared::append::fill;
use crate::shared::read::{Account, Balances, Enumerated, catch_up, enumerate};
use crate::shared::report::Report;
use crate::shared::workload::Workload;

pub(crate) const DEPOSIT: &str = "INSERT INTO accounts AS a (id, amount) VALUES ($1, $2)
    ON CONFLICT (id) DO UPDATE SET amount = a.amount + excluded.amount";

pub(crate) struct OwnSql {
    pub(crate) queued: bool,
    pub(crate) statement: &'static str,
}

impl Projection<Tx> for OwnSql {
    type Event = Account;
    fn name(&self) -> &str {
        "own_sql"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        let create = "CREATE TABLE accounts (id text PRIMARY KEY, amount bigint NOT NULL)";
        sqlx::raw_sql(create).execute(tx.connection()).await?;
        Ok(())
    }
    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        sqlx::raw_sql("DROP TABLE IF EXISTS accounts").execute(tx.connection()).await?;
        Ok(())
    }
    async fn apply(&self, event: Recorded<'_, Account>, tx: &mut Tx) -> Result<(), BoxError> {
        let Account::Deposited { amount } = event.event;
        let account = event.stream_id().as_str();
        if self.queued {
            return tx.queue(self.statement, [account.into(), (*amount).into()]).await;
        }
        sqlx::query(self.statement).bind(account).bind(amount).execute(tx.connection()).await?;
        Ok(())
    }
}

pub(crate) async fn measure(workload: &Workload, databases: &Databases, report: &mut Report) {
    let url = databases.fresh().await;
    let store = Arc::new(Store::connect(&url).await.unwrap());
    fill(&*store, workload).await;
    settle(&url).await;

    let scan = limits::scan(workload, &url, report).await;
    let Enumerated { events, end, took } = enumerate(&*store, CHANGESETS_A_PAGE).await;
    assert_eq!(events, workload.events());
    report.rate("enumerate, in process", events, took, Some(scan), Some(1_000_000.0));

    let Folds { by_5_000, singly } = limits::folds(workload, &url, report).await;
    for (columns, what) in [(false, "catch up, fold"), (true, "catch up, fold onto columns")] {
        let mut fold = Projector::new(store.clone());
        let database = Database::connect(&databases.fresh().await).await.unwrap();
        fold.fold(Balances { columns }, database, Settings::default()).unwrap();
        let took = catch_up(fold, "balances", end).await;
        report.rate(what, events, took, Some(by_5_000), Some(400_000.0));
    }
    own_sql(workload, databases, singly, report).await;
}

/// Only a tenth of the log, because each event is a round trip.
async fn own_sql(workload: &Workload, databases: &Databases, limit: f64, report: &mut Report) {
    let workload = Workload { appends: workload.appends.min(10_000), ..*workload };
    for (queued, what, aim) in [
        (false, "catch up, own SQL, a statement an event", None),
        (true, "catch up, own SQL, statements queued", Some(50_000.0)),
    ] {
        let url = databases.fresh().await;
        let store = Arc::new(Store::connect(&url).await.unwrap());
        fill(&*store, &workload).await;
        let mut own_sql = Projector::new(store);
        let database = Database::connect(&url).await.unwrap();
        own_sql.projection(OwnSql { queued, statement: DEPOSIT }, database, Settings::default()).unwrap();
        let took = catch_up(own_sql, "own_sql", workload.appends.into()).await;
        report.rate(what, workload.events(), took, Some(limit), aim);
    }
}
