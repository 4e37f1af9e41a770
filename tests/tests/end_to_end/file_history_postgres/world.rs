//! The processes and their addresses.

use std::process::Command;

use ees_test_postgres::TestDatabase;
use ees_tests::{Ran, Server, run};
use tempfile::TempDir;

use crate::under_fire::{Worker, fire};

/// Two servers and three workers on one database.
pub struct World {
    pub servers: Vec<Server>,
    pub workers: Vec<Worker>,
    pub database: TestDatabase,
    _folder: TempDir,
}

/// Starts a worker that reads the log from PostgreSQL or from a server.
pub fn worker(log: &str, read_models: &str, version: u32) -> Worker {
    let (log, read_models, version) = (log.to_owned(), read_models.to_owned(), version.to_string());
    Worker::start(move || {
        let mut worker = Command::new(env!("CARGO_BIN_EXE_file_history_worker"));
        worker.args(["--log", &log, "--read-models", &read_models, "--version", &version]);
        worker
    })
}

impl fire::World for World {
    fn servers(&mut self) -> &mut Vec<Server> {
        &mut self.servers
    }
    fn workers(&mut self) -> &mut Vec<Worker> {
        &mut self.workers
    }
    fn cut_a_connection(&self) -> u64 {
        self.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1",
        );
        1
    }
}

impl World {
    pub fn new() -> Self {
        let database = TestDatabase::new_blocking();
        let folder = tempfile::tempdir().unwrap();
        let serve = |name| Server::start_with(folder.path().join(name), &["--store", database.url()]);
        let servers = vec![serve("one"), serve("other")];
        let logs = [database.url().to_owned(), servers[0].url(), servers[1].url()];
        let workers = logs.iter().map(|log| worker(log, database.url(), 1)).collect();
        Self { servers, workers, database, _folder: folder }
    }

    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }

    /// Runs the `ees` command against a server.
    pub fn ees(&self, server: usize, arguments: &[&str]) -> Ran {
        run(&mut self.servers[server].ees(arguments))
    }

    /// Runs a statement that returns one value.
    pub fn query(&self, sql: &str) -> String {
        let output = self.database.psql(&format!("COPY ({sql}) TO STDOUT"));
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}
