//! A PostgreSQL server for this run, with a database for each measurement.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ees_store::postgres::Store;
use ees_test_postgres::Server;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

pub(crate) struct Databases {
    server: Server,
    made: AtomicUsize,
}

impl Databases {
    /// Keeps PostgreSQL's default settings for durability, and sets memory as an operator would.
    pub(crate) async fn start(short: bool) -> Self {
        let server = Server::start().await;
        let databases = Self { server, made: AtomicUsize::new(0) };
        if !short {
            let mut connection = databases.connect("postgres").await;
            for setting in ["shared_buffers = '1GB'", "max_wal_size = '4GB'"] {
                let set = AssertSqlSafe(format!("ALTER SYSTEM SET {setting}"));
                sqlx::raw_sql(set).execute(&mut connection).await.unwrap();
            }
            connection.close().await.unwrap();
            databases.server.restart().await;
        }
        let mut connection = databases.connect("postgres").await;
        for setting in [
            "server_version",
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "shared_buffers",
            "max_wal_size",
        ] {
            let show = AssertSqlSafe(format!("SHOW {setting}"));
            let value: String = sqlx::query_scalar(show).fetch_one(&mut connection).await.unwrap();
            print!("{setting} {value}  ");
        }
        println!();
        databases
    }

    /// The URL of a fresh database.
    pub(crate) async fn fresh(&self) -> String {
        let name = format!("bench_{}", self.made.fetch_add(1, Relaxed));
        let mut connection = self.connect("postgres").await;
        let create = AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"));
        sqlx::raw_sql(create).execute(&mut connection).await.unwrap();
        // Writes what earlier measurements left, so that it does not slow down this one.
        sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        self.server.url(&name)
    }

    async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.server.url(database)).await.unwrap()
    }
}

/// A database with a store's tables: its URL, and a connection.
pub(crate) async fn with_tables(databases: &Databases) -> (String, PgConnection) {
    let url = databases.fresh().await;
    drop(Store::connect(&url).await.unwrap());
    let connection = PgConnection::connect(&url).await.unwrap();
    (url, connection)
}

/// Does what autovacuum would do in the minutes after a load.
pub(crate) async fn settle(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut connection).await.unwrap();
    sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
