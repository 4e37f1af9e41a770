//! A database for one test.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use url::Url;

use crate::{programs, shared, unblocked};

/// A fresh, empty database. It is dropped with this value, even if clients are still connected.
pub struct TestDatabase {
    psql: PathBuf,
    /// The server on which databases are created and dropped.
    server: String,
    name: String,
    url: String,
}

impl TestDatabase {
    /// Creates a database on the shared server. Starts the server if this is the first one.
    ///
    /// # Panics
    /// When no PostgreSQL can be found or installed. The message says what was tried.
    pub async fn new() -> Self {
        unblocked(Self::new_blocking).await
    }

    /// [`new`](Self::new) for tests without a runtime.
    ///
    /// # Panics
    /// As `new` does.
    pub fn new_blocking() -> Self {
        let (psql, server) = match std::env::var("EES_TEST_DATABASE_URL") {
            Ok(given) => (programs::psql(), given),
            Err(_) => (programs::folder().join("psql"), shared::cluster().url("postgres")),
        };
        let name = format!("ees_test_{}_{:016x}", std::process::id(), fastrand::u64(..));
        let mut url = Url::parse(&server).unwrap_or_else(|error| panic!("EES_TEST_DATABASE_URL: {error}"));
        url.set_path(&name);
        let database = Self { psql, server, name, url: url.into() };
        let mut create = database.run(&format!("CREATE DATABASE {} TEMPLATE template0", database.name));
        let output = create.output().unwrap_or_else(|error| panic!("can't run {create:?}: {error}"));
        assert!(output.status.success(), "no database: {}", String::from_utf8_lossy(&output.stderr));
        database
    }

    /// The URL: `postgres://user@host:port/name`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name, unique on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a statement in it, for tests without a driver.
    ///
    /// # Panics
    /// When psql can't be run.
    pub fn psql(&self, sql: &str) -> std::process::Output {
        let mut psql = Command::new(&self.psql);
        psql.args(["--no-psqlrc", "--no-password", "--set=ON_ERROR_STOP=1", "--command", sql, "--dbname"]);
        psql.arg(&self.url).stdin(Stdio::null());
        psql.output().unwrap_or_else(|error| panic!("can't run {psql:?}: {error}"))
    }

    fn run(&self, sql: &str) -> Command {
        let mut psql = Command::new(&self.psql);
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--no-password",
            "--set=ON_ERROR_STOP=1",
            "--command",
            sql,
            "--dbname",
        ]);
        psql.arg(&self.server).stdin(Stdio::null());
        psql
    }
}

impl Drop for TestDatabase {
    /// Does not wait, because dropping a database takes a checkpoint. The database is dropped even if this
    /// process ends before.
    fn drop(&mut self) {
        let mut drop = self.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        drop.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        if let Ok(mut dropping) = drop.spawn() {
            std::thread::spawn(move || dropping.wait());
        }
    }
}
