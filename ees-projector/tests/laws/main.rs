//! Every read-model database keeps the laws.
#![cfg(all(
    feature = "dynamodb",
    feature = "postgres",
    feature = "sqlite",
    feature = "testkit",
    feature = "derive"
))]
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod catching_up;
mod previewing;
mod reading;
mod watching;

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use ees_projector::laws::{Capabilities, Subject};

struct Memory(ees_projector::memory::Database);

impl Subject for Memory {
    type Database = ees_projector::memory::Database;
    const CAPABILITIES: Capabilities =
        Capabilities { reopens: false, columns: false, foreign_keys: false, ..Capabilities::ALL };

    async fn new() -> Self {
        Self(Self::Database::new())
    }
    fn database(&self) -> Self::Database {
        self.0.clone()
    }
    async fn table(&self, name: &str) -> BTreeMap<String, String> {
        self.0.rows(name).await
    }
    async fn reopen(self) -> Self {
        Self::new().await
    }
}

struct Sqlite {
    database: ees_projector::sqlite::Database,
    folder: tempfile::TempDir,
}

impl Sqlite {
    fn open(folder: tempfile::TempDir) -> Self {
        let database = ees_projector::sqlite::Database::open(folder.path().join("read-model.db")).unwrap();
        Self { database, folder }
    }
}

impl Subject for Sqlite {
    type Database = ees_projector::sqlite::Database;
    const CAPABILITIES: Capabilities = Capabilities { partitions: false, ..Capabilities::ALL };

    async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap())
    }
    fn database(&self) -> Self::Database {
        self.database.clone()
    }
    async fn table(&self, name: &str) -> BTreeMap<String, String> {
        let sql = format!("SELECT key, state FROM {name}");
        let read = self.database.read(move |connection| {
            connection.prepare(&sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        });
        read.await.unwrap()
    }
    async fn reopen(self) -> Self {
        let Self { database, folder } = self;
        drop(database);
        Self::open(folder)
    }
}

/// A database of the test's own, which goes with it.
struct Postgres {
    database: ees_projector::postgres::Database,
    own: ees_test_postgres::TestDatabase,
}

impl Postgres {
    async fn open(own: ees_test_postgres::TestDatabase) -> Self {
        Self { database: ees_projector::postgres::Database::connect(own.url()).await.unwrap(), own }
    }
}

impl Subject for Postgres {
    type Database = ees_projector::postgres::Database;
    const CAPABILITIES: Capabilities = Capabilities::ALL;

    async fn new() -> Self {
        Self::open(ees_test_postgres::TestDatabase::new().await).await
    }
    fn database(&self) -> Self::Database {
        self.database.clone()
    }
    async fn table(&self, name: &str) -> BTreeMap<String, String> {
        self.table_of(name, name).await
    }
    async fn table_of(&self, projection: &str, name: &str) -> BTreeMap<String, String> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT key, state::text FROM {projection}.{name}"));
        sqlx::query_as(sql).fetch_all(self.database.pool()).await.unwrap().into_iter().collect()
    }
    async fn reopen(self) -> Self {
        let Self { database, own } = self;
        database.pool().close().await;
        Self::open(own).await
    }
}

/// A table in an account of the test's own.
struct DynamoDb(ees_projector::dynamodb::Database);

impl DynamoDb {
    const TABLE: &str = "read-models";
}

impl Subject for DynamoDb {
    type Database = ees_projector::dynamodb::Database;
    const CAPABILITIES: Capabilities = Capabilities { side_by_side: true, ..Capabilities::ALONE };

    async fn new() -> Self {
        let account = ees_test_aws::LocalAws::account().await;
        let client = aws_sdk_dynamodb::Client::new(&account.sdk_config());
        ees_projector::dynamodb::create_table(&client, Self::TABLE).await.unwrap();
        Self(Self::Database::new(client, Self::TABLE))
    }
    fn database(&self) -> Self::Database {
        self.0.clone()
    }
    async fn table(&self, name: &str) -> BTreeMap<String, String> {
        let partition = AttributeValue::S(self.0.partition(name).await.unwrap());
        let query = self.0.client().query().table_name(Self::TABLE).consistent_read(true);
        let query = query.key_condition_expression("ees_partition = :p");
        let pages = query.expression_attribute_values(":p", partition).into_paginator().items().send();
        let rows = pages.try_collect().await.unwrap();
        let text = |value: &AttributeValue| value.as_s().unwrap().clone();
        rows.iter().map(|row| (text(&row["ees_key"]), text(&row["state"]))).collect()
    }
    async fn reopen(self) -> Self {
        Self(Self::Database::new(self.0.client().clone(), Self::TABLE))
    }
}

mod memory {
    ees_projector::database_laws!(crate::Memory);
}
mod sqlite {
    ees_projector::database_laws!(crate::Sqlite);
}
mod postgres {
    ees_projector::database_laws!(crate::Postgres);
}
mod dynamodb {
    ees_projector::database_laws!(crate::DynamoDb);
}
