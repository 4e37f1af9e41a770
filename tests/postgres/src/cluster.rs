//! A PostgreSQL server of our own: its folder, its port, and the keeper that removes it.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::{programs, target};

/// Plenty, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where a server is.
pub(crate) struct Cluster {
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
}

impl Cluster {
    /// A new folder and a free port; nothing runs yet.
    pub(crate) fn reserve() -> Self {
        // Before there is anything to clean up: it fails where there is no PostgreSQL.
        programs::folder();
        Self { folder: new_folder(Account::find()), port: free_port() }
    }

    /// Starts the server, and the keeper which removes both when its users are gone: those that have locked the file,
    /// or else whoever has the other end of `input`.
    pub(crate) fn start(&self, users: Option<&Path>, input: Stdio) -> Child {
        let mut keeper = Command::new("sh");
        keeper.args(["-c", include_str!("keeper.sh"), "keeper"]).arg(&self.folder).arg(self.port.to_string());
        keeper.arg(programs::folder()).arg(users.unwrap_or(Path::new(""))).args(Account::find().prefix());
        // Signals to the tests (Ctrl-C) are not for the keeper.
        keeper.process_group(0).stdin(input).stdout(Stdio::null()).stderr(Stdio::null());
        keeper.spawn().expect("sh runs")
    }

    /// Waits until the server answers.
    pub(crate) fn wait_until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.folder.join("ready").exists() {
            let failed = self.folder.join("failed").exists() || Instant::now() > deadline;
            assert!(!failed, "PostgreSQL does not start: {}", self.log());
            sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_else(|error| error.to_string())
    }

    /// Runs `pg_ctl`, waiting for what it does; whether it did.
    pub(crate) fn control(&self, arguments: &[&str]) -> bool {
        let mut control = Account::find().command(&programs::folder().join("pg_ctl"));
        control.current_dir(&self.folder).args(["-D", "data", "-l", "log", "-w"]).args(arguments);
        control.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        control.status().expect("pg_ctl runs").success()
    }
}

/// A folder that nobody else has, not even one that was left by a killed process of the same id.
pub(crate) fn new_folder(account: Account) -> PathBuf {
    let parent = target().join("postgres");
    fs::create_dir_all(&parent).expect("target can be created");
    let parent = account.reachable(parent);
    let folder = loop {
        let folder = parent.join(format!("ees-postgres-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        match fs::create_dir(&folder) {
            Ok(()) => break folder,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => panic!("can't create {}: {error}", folder.display()),
        }
    };
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("it is our folder");
    account.own(&folder);
    folder
}

/// A port which is free, and remains so: from below the range which the system takes for outgoing connections.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(20_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
