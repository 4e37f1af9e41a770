//! The read models.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cqrs_es::persist::GenericQuery;
use cqrs_es::{EventEnvelope, Query};
use peers_workload::account::{self, UPSERT};
use peers_workload::live::PostgresTable;
use peers_workload::postgres::connect;
use peers_workload::{Report, Task, View};
use postgres_es::PostgresViewRepository;
use sqlx::PgPool;

use crate::account::{Account, AccountEvent, AccountView};

const VIEWS: &str =
    "CREATE TABLE account_view (view_id text NOT NULL, version bigint CHECK (version >= 0) NOT NULL,
    payload json NOT NULL, PRIMARY KEY (view_id))";
const SUMMED: &str =
    "(SELECT (payload->>'balance')::bigint AS balance, (payload->>'event_count')::bigint AS event_count
    FROM account_view) AS views";
const LOOK: &str =
    "SELECT view_id FROM account_view WHERE view_id = ANY($1) AND (payload->>'event_count')::bigint >= $2";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Generic,
    Own,
}

pub(crate) struct ReadModel {
    kind: Kind,
    task: Task,
}

impl ReadModel {
    /// Creates its table.
    pub(crate) async fn create(task: &Task) -> Self {
        let kind = match task.usage.as_str() {
            "no-query" => Kind::None,
            "generic-query" => Kind::Generic,
            "own-query" => Kind::Own,
            other => panic!("{other} is no usage of cqrs-es"),
        };
        match kind {
            Kind::None => {}
            Kind::Generic => connect(&task.database).await.batch_execute(VIEWS).await.unwrap(),
            Kind::Own => account::create(task).await,
        }
        Self { kind, task: task.clone() }
    }

    pub(crate) fn query(&self, pool: &PgPool) -> Option<AnyQuery> {
        match self.kind {
            Kind::None => None,
            Kind::Generic => {
                let views = PostgresViewRepository::<AccountView, Account>::new("account_view", pool.clone());
                let mut query = GenericQuery::new(Arc::new(views));
                query.use_error_handler(Box::new(|error| panic!("{error}")));
                Some(AnyQuery(Box::new(query)))
            }
            Kind::Own => Some(AnyQuery(Box::new(OwnQuery(pool.clone())))),
        }
    }

    pub(crate) async fn look(&self) -> PostgresTable {
        match self.kind {
            Kind::Generic => PostgresTable::new(&self.task, LOOK).await,
            Kind::None | Kind::Own => PostgresTable::account(&self.task).await,
        }
    }

    async fn view(&self) -> View {
        account::view_of(&self.task, if self.kind == Kind::Generic { SUMMED } else { "account" }).await
    }

    pub(crate) async fn seen(&self, report: Report) -> Report {
        if self.kind == Kind::None { report } else { report.view(self.view().await) }
    }

    pub(crate) async fn caught_up(&self, took: Duration) -> Report {
        let view = self.view().await;
        Report::new(view.events as usize, took).view(view)
    }
}

/// A query of either kind, for a replay.
pub(crate) struct AnyQuery(pub(crate) Box<dyn Query<Account>>);

#[async_trait]
impl Query<Account> for AnyQuery {
    async fn dispatch(&self, id: &str, events: &[EventEnvelope<Account>]) {
        self.0.dispatch(id, events).await;
    }
}

struct OwnQuery(PgPool);

#[async_trait]
impl Query<Account> for OwnQuery {
    async fn dispatch(&self, id: &str, events: &[EventEnvelope<Account>]) {
        for event in events {
            let AccountEvent::Moved(moved) = &event.payload;
            let upsert = sqlx::query(UPSERT).bind(id).bind(moved.amount).bind(event.sequence as i64);
            upsert.execute(&self.0).await.unwrap();
        }
    }
}
