//! The store in PostgreSQL keeps the laws, also with several stores on one log.
#![cfg(feature = "postgres")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use ees_store::laws::{Capabilities, Subject};
use ees_store::postgres::Store;
use ees_store::{ChangesetLog, EventStore};
use ees_test_postgres::TestDatabase;
use sqlx::{Connection, PgConnection};

struct Postgres {
    database: Arc<TestDatabase>,
    url: String,
    store: Arc<Store>,
}

impl Postgres {
    async fn open(database: Arc<TestDatabase>, url: String) -> Self {
        let store = Arc::new(Store::connect(&url).await.unwrap());
        Self { database, url, store }
    }
}

impl Subject for Postgres {
    const CAPABILITIES: Capabilities = Capabilities { shares_log: true, ..Capabilities::ALL };

    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let url = database.url().to_owned();
        Self::open(Arc::new(database), url).await
    }

    fn store(&self) -> Arc<dyn EventStore> {
        self.store.clone()
    }

    fn log(&self) -> Arc<dyn ChangesetLog> {
        self.store.clone()
    }

    async fn reopen(self) -> Self {
        let Self { database, url, store } = self;
        drop(store);
        Self::open(database, url).await
    }

    /// The old store finds its connections gone, and under its database's name none to connect to.
    async fn crash(self) -> Self {
        let Self { database, url, store: _old } = self;
        let server = TestDatabase::new().await;
        let mut connection = PgConnection::connect(server.url()).await.unwrap();
        let old = url.rsplit('/').next().unwrap().to_owned();
        let new = format!("{old}_killed");
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        loop {
            sqlx::query(end).bind(&old).execute(&mut connection).await.unwrap();
            let rename = sqlx::AssertSqlSafe(format!("ALTER DATABASE {old} RENAME TO {new}"));
            if sqlx::raw_sql(rename).execute(&mut connection).await.is_ok() {
                break;
            }
        }
        Self::open(database, url.replace(&old, &new)).await
    }

    async fn beside(&self) -> Option<Self> {
        Some(Self::open(self.database.clone(), self.url.clone()).await)
    }
}

ees_store::store_laws!(Postgres);
