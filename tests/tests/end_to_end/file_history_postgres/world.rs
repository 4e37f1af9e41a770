//! The processes and their addresses.

use std::process::Command;

use ees_test_postgres::TestDatabase;
use ees_tests::{Killed, Ran, Server, run};
use tempfile::TempDir;

/// Two servers and three workers on one database.
pub struct World {
    pub servers: Vec<Server>,
    pub workers: Vec<Worker>,
    pub database: TestDatabase,
    _folder: TempDir,
}

/// A process that runs the read models.
pub struct Worker {
    pub process: Killed,
    log: String,
    read_models: String,
    version: u32,
}

impl Worker {
    /// Starts a worker that reads the log from PostgreSQL or from a server.
    pub fn start(log: &str, read_models: &str, version: u32) -> Self {
        let process = spawn(log, read_models, version);
        Self { process, log: log.to_owned(), read_models: read_models.to_owned(), version }
    }

    /// Replaces the process by a new one.
    pub fn kill_and_restart(&mut self) {
        self.process = spawn(&self.log, &self.read_models, self.version);
    }

    /// Restarts a worker that has ended because it could not connect at its start, as a supervisor would.
    pub fn restart_if_ended(&mut self) {
        if self.process.0.try_wait().unwrap().is_some() {
            self.kill_and_restart();
        }
    }
}

fn spawn(log: &str, read_models: &str, version: u32) -> Killed {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_file_history_worker"));
    worker.args(["--log", log, "--read-models", read_models, "--version", &version.to_string()]);
    Killed(worker.spawn().unwrap())
}

impl World {
    pub fn new() -> Self {
        let database = TestDatabase::new_blocking();
        let folder = tempfile::tempdir().unwrap();
        let serve = |name| Server::start_with(folder.path().join(name), &["--store", database.url()]);
        let servers = vec![serve("one"), serve("other")];
        let logs = [database.url().to_owned(), servers[0].url(), servers[1].url()];
        let workers = logs.iter().map(|log| Worker::start(log, database.url(), 1)).collect();
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
