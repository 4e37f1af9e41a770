//! The store in PostgreSQL keeps the laws, also with several stores on one log, and through pgbouncer.

use std::sync::Arc;

use ees_store::laws::{Capabilities, Subject};
use ees_store::postgres::Store;
use ees_store::{ChangesetId, ChangesetLog, EventStore, StreamId};
use ees_test_postgres::{Bouncer, TestDatabase};
use sqlx::{Connection, PgConnection};

/// A store that connects directly, or through a proxy that pools transactions.
struct Postgres<const POOLED: bool> {
    database: Arc<TestDatabase>,
    bouncer: Option<Arc<Bouncer>>,
    /// The name of the database by now.
    name: String,
    store: Arc<Store>,
}

impl<const POOLED: bool> Postgres<POOLED> {
    async fn open(database: Arc<TestDatabase>, bouncer: Option<Arc<Bouncer>>, name: String) -> Self {
        let url = match &bouncer {
            Some(bouncer) => format!("{}?statement-cache-capacity=0", bouncer.url()),
            None => database.url().to_owned(),
        };
        let store = Arc::new(Store::connect(&url.replace(database.name(), &name)).await.unwrap());
        Self { database, bouncer, name, store }
    }
}

impl<const POOLED: bool> Subject for Postgres<POOLED> {
    const CAPABILITIES: Capabilities =
        Capabilities { keeps_checksums: true, shares_log: true, ..Capabilities::ALL };

    async fn new() -> Self {
        let database = TestDatabase::new().await;
        // Where there is no pgbouncer, it says so, and the laws are tested once more without.
        let bouncer = if POOLED { Bouncer::start(database.url()).await.map(Arc::new) } else { None };
        let name = database.name().to_owned();
        Self::open(Arc::new(database), bouncer, name).await
    }

    fn store(&self) -> Arc<dyn EventStore> {
        self.store.clone()
    }

    fn log(&self) -> Arc<dyn ChangesetLog> {
        self.store.clone()
    }

    async fn reopen(self) -> Self {
        let Self { database, bouncer, name, store } = self;
        drop(store);
        Self::open(database, bouncer, name).await
    }

    /// The old store finds its connections gone, and under its database's name none to connect to.
    async fn crash(self) -> Self {
        let Self { database, bouncer, name: old, store: _old } = self;
        let server = TestDatabase::new().await;
        let mut connection = PgConnection::connect(server.url()).await.unwrap();
        let new = format!("{old}_killed");
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        loop {
            sqlx::query(end).bind(&old).execute(&mut connection).await.unwrap();
            let rename = sqlx::AssertSqlSafe(format!("ALTER DATABASE {old} RENAME TO {new}"));
            if sqlx::raw_sql(rename).execute(&mut connection).await.is_ok() {
                break;
            }
        }
        Self::open(database, bouncer, new).await
    }

    async fn beside(&self) -> Option<Self> {
        Some(Self::open(self.database.clone(), self.bouncer.clone(), self.name.clone()).await)
    }

    async fn replace_events(&self, stream_id: &StreamId, changeset_id: ChangesetId, events: &str) -> bool {
        let url = self.database.url().replace(self.database.name(), &self.name);
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let replace =
            "UPDATE ees_store.changesets SET events = $1 WHERE stream_id = $2 AND changeset_id = $3";
        let id = i64::try_from(changeset_id.get()).unwrap();
        let replace = sqlx::query(replace).bind(events).bind(stream_id.as_str()).bind(id);
        assert_eq!(replace.execute(&mut connection).await.unwrap().rows_affected(), 1);
        true
    }
}

ees_store::store_laws!(Postgres<false>);

mod through_pgbouncer {
    use super::Postgres;

    ees_store::store_laws!(Postgres<true>);
}
