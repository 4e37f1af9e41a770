//! A private PostgreSQL server: its folder, its port, and the keeper that removes it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ees_test_shared::server::{self, Place, free_port};
use ees_test_shared::target;

use crate::account::Account;
use crate::programs;

/// Long enough on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server, known by its address.
pub(crate) struct Cluster(pub(crate) Place);

impl Cluster {
    /// Reserves a new folder and a free port. Nothing runs yet.
    pub(crate) fn reserve() -> Self {
        // First, while there is nothing to clean up: it fails where PostgreSQL is missing.
        programs::folder();
        Self(Place { folder: new_folder(Account::find()), port: free_port() })
    }

    /// Starts the server and the keeper, which removes both when the users are gone: the processes that have
    /// locked the file, or else the holder of the other end of `input`.
    pub(crate) fn start(&self, users: Option<&Path>, input: Stdio) -> Child {
        let Place { folder, port } = &self.0;
        let mut keeper = server::keeper(include_str!("keeper.sh"));
        keeper.arg(folder).arg(port.to_string());
        keeper.arg(programs::folder()).arg(users.unwrap_or(Path::new(""))).args(Account::find().prefix());
        keeper.stdin(input).spawn().expect("sh runs")
    }

    /// Waits until the server answers.
    pub(crate) fn wait_until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.0.folder.join("ready").exists() {
            let failed = self.0.folder.join("failed").exists() || Instant::now() > deadline;
            assert!(!failed, "PostgreSQL does not start: {}", self.log());
            sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.0.port)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.0.folder.join("log")).unwrap_or_else(|error| error.to_string())
    }

    /// Runs `pg_ctl` and waits until it is done. Returns whether it succeeded.
    pub(crate) fn control(&self, arguments: &[&str]) -> bool {
        let mut control = Account::find().command(&programs::folder().join("pg_ctl"));
        control.current_dir(&self.0.folder).args(["-D", "data", "-l", "log", "-w"]).args(arguments);
        control.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        control.status().expect("pg_ctl runs").success()
    }
}

/// A new folder that the server may write to.
pub(crate) fn new_folder(account: Account) -> PathBuf {
    let parent = target().join("postgres");
    fs::create_dir_all(&parent).expect("target can be created");
    let parent = account.reachable(parent);
    let folder = server::new_folder(&parent, "ees-postgres");
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("it is our folder");
    account.own(&folder);
    folder
}
