//! The PostgreSQL server of a run, and the databases of its measurements.

use std::time::Duration;

use ees_test_postgres::Server;
use tokio_postgres::{Client, NoTls};

use crate::Result;

/// What an operator would set. Durability is PostgreSQL's default.
const SET: [&str; 2] = ["shared_buffers = '1GB'", "max_wal_size = '4GB'"];
const SHOWN: [&str; 6] =
    ["server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size"];

/// Sessions of a driver that has ended are gone by then.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) struct Databases {
    server: Server,
}

impl Databases {
    pub(crate) async fn start() -> Result<Self> {
        let databases = Self { server: Server::start().await };
        for setting in SET {
            databases.execute("postgres", &format!("ALTER SYSTEM SET {setting}")).await?;
        }
        databases.server.restart().await;
        Ok(databases)
    }

    pub(crate) fn url(&self, name: &str) -> String {
        self.server.url(name)
    }

    /// Makes the database anew: empty, or with what another one holds.
    pub(crate) async fn renew(&self, name: &str, from: Option<&str>) -> Result<()> {
        self.remove(name).await?;
        let template = from.unwrap_or("template0");
        let create = format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy");
        let mut tries = 1;
        while let Err(error) = self.execute("postgres", &create).await {
            if tries == TRIES {
                return Err(error);
            }
            tries += 1;
            tokio::time::sleep(PAUSE).await;
        }
        // Writes what earlier measurements left, so that it does not slow down this one.
        self.execute("postgres", "CHECKPOINT").await
    }

    pub(crate) async fn remove(&self, name: &str) -> Result<()> {
        self.execute("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
    }

    /// Does what autovacuum would do in the minutes after a load.
    pub(crate) async fn settle(&self, name: &str) -> Result<()> {
        self.execute(name, "VACUUM (FREEZE, ANALYZE)").await
    }

    /// The version of the server, such as 150004.
    pub(crate) async fn version(&self) -> Result<u32> {
        self.show("server_version_num").await?.parse().map_err(|error| format!("server_version_num: {error}"))
    }

    pub(crate) async fn settings(&self) -> Result<String> {
        let mut settings = Vec::new();
        for name in SHOWN {
            settings.push(format!("{name} {}", self.show(name).await?));
        }
        Ok(settings.join(", "))
    }

    async fn show(&self, name: &str) -> Result<String> {
        let client = self.connect("postgres").await?;
        let row = client.query_one(&format!("SHOW {name}"), &[]).await.map_err(|error| error.to_string())?;
        Ok(row.get(0))
    }

    async fn execute(&self, database: &str, statement: &str) -> Result<()> {
        let client = self.connect(database).await?;
        client.batch_execute(statement).await.map_err(|error| format!("{statement}: {error:?}"))
    }

    async fn connect(&self, database: &str) -> Result<Client> {
        let connected = tokio_postgres::connect(&self.url(database), NoTls).await;
        let (client, connection) = connected.map_err(|error| format!("PostgreSQL: {error}"))?;
        // It ends with its client.
        tokio::spawn(connection);
        Ok(client)
    }
}
