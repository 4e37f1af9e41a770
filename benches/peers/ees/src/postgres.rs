//! Read models in PostgreSQL: in the same server as the log, on connections of their own.

use ees_projector::postgres::{self, Tx, sqlx};
use ees_projector::{BoxError, Projection, Projector, Recorded, Settings};
use peers_workload::live::{Look, PostgresTable};
use peers_workload::{Task, View, account};

use crate::ReadModels;
use crate::account::{AccountEvent, Accounts, NAME};

#[derive(Clone, Copy)]
pub(crate) enum Form {
    Fold,
    /// A statement for each event, in the order of the log; many are sent together.
    Queued,
    /// A statement for each event, which waits for the one before.
    OneByOne,
}

const UPSERT: &str = "INSERT INTO account AS a (account_id, balance, event_count, last_event_id) VALUES ($1, $2, 1, $3)
    ON CONFLICT (account_id) DO UPDATE SET balance = a.balance + excluded.balance, event_count = a.event_count + 1,
    last_event_id = excluded.last_event_id";

pub(crate) struct Database {
    database: postgres::Database,
    form: Form,
    task: Task,
}

impl Database {
    pub(crate) async fn connect(task: &Task, form: Form) -> Self {
        let database = postgres::Database::connect(&task.database).await.unwrap();
        Self { database, form, task: task.clone() }
    }
}

impl ReadModels for Database {
    fn register(&self, projector: &mut Projector) {
        let (database, settings) = (self.database.clone(), Settings::default());
        match self.form {
            Form::Fold => projector.fold(Accounts, database, settings).map(drop).unwrap(),
            Form::Queued => {
                projector.projection(OwnSql { queued: true }, database, settings).map(drop).unwrap()
            }
            Form::OneByOne => {
                projector.projection(OwnSql { queued: false }, database, settings).map(drop).unwrap()
            }
        }
    }

    async fn view(&self) -> View {
        account::view_of(&self.task, "accounts.account").await
    }

    async fn look(&self) -> impl Look {
        // The worker makes the table when it starts.
        while sqlx::query("SELECT FROM accounts.account").execute(self.database.pool()).await.is_err() {
            tokio::task::yield_now().await;
        }
        let query =
            "SELECT account_id FROM accounts.account WHERE account_id = ANY($1) AND event_count >= $2";
        PostgresTable::new(&self.task, query).await
    }
}

/// With the same columns as the fold.
struct OwnSql {
    queued: bool,
}

impl Projection<Tx> for OwnSql {
    type Event = AccountEvent;

    fn name(&self) -> &str {
        NAME
    }

    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        let create = "CREATE TABLE account (account_id text PRIMARY KEY, balance bigint NOT NULL, event_count bigint NOT NULL,
            last_event_id bigint NOT NULL)";
        sqlx::raw_sql(create).execute(tx.connection()).await?;
        Ok(())
    }

    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        sqlx::raw_sql("DROP TABLE IF EXISTS account").execute(tx.connection()).await?;
        Ok(())
    }

    async fn apply(&self, event: Recorded<'_, AccountEvent>, tx: &mut Tx) -> Result<(), BoxError> {
        let AccountEvent::Moved(moved) = event.event;
        let (account, event_id) = (event.stream_id().as_str(), event.event_id.get() as i64);
        if self.queued {
            return tx.queue(UPSERT, [account.into(), moved.amount.into(), event_id.into()]).await;
        }
        sqlx::query(UPSERT).bind(account).bind(moved.amount).bind(event_id).execute(tx.connection()).await?;
        Ok(())
    }
}
