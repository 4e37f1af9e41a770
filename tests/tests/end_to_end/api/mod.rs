//! The HTTP API as other programs see it: its description, clients that are generated from it, and requests
//! made up from it.

mod clients;
mod conformance;
mod description;

use std::path::PathBuf;
use std::process::{Command, Output};

use ees_tests::Server;
use tempfile::TempDir;

const KEY: &str = "8Cq2o5nYyP";

/// A server, and a folder with its description.
struct World {
    server: Server,
    folder: TempDir,
}

impl World {
    /// Everybody may call the server.
    fn open(arguments: &[&str]) -> Self {
        Self::of(arguments, &[])
    }

    /// The server wants the key.
    fn with_key(arguments: &[&str]) -> Self {
        Self::of(arguments, &[("EES_API_KEYS", KEY)])
    }

    fn of(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start_in(folder.path().join("data"), arguments, environment);
        std::fs::write(folder.path().join("openapi.json"), server.get_text("/openapi.json")).unwrap();
        Self { server, folder }
    }

    /// A file or folder of this test.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command in the folder. It must succeed.
    fn run(&self, command: &mut Command) {
        let Output { status, stdout, stderr } = command.current_dir(self.folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        assert!(status.success(), "{command:?}: {text}");
    }
}

/// The file or folder of this name beside this one.
fn beside(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/end_to_end/api")).join(name)
}
