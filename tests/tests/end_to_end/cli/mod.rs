//! The `ees` command from outside: what scripts and people rely on.

mod backup;
mod checking;
mod config;
mod importing;
mod listing;
mod monitoring;
mod moving;
mod poison;
mod postgres;
mod projections;
mod saying;
mod serving;
mod streams;
mod timers;

use std::ops::Deref;
use std::path::PathBuf;

use ees_tests::{Ran, Server, run};
use tempfile::TempDir;

/// A server, and a folder for the files of a test.
struct World {
    server: Server,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { server: Server::start(folder.path().join("data")), folder }
    }

    /// Runs a sub-command against the server.
    fn run(&self, arguments: &[&str]) -> Ran {
        run(self.server.ees(arguments).current_dir(self.folder.path()))
    }

    /// Writes a new file.
    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Deref for World {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.server
    }
}
