//! A server that a test may stop and kill.

use std::fs;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::{Cluster, PATIENCE};
use crate::unblocked;

/// A private server for one test, which may stop, restart and kill it. It ends when this is dropped or when
/// the process dies.
///
/// It takes a second or two to start, so a test that does none of this should use a [`TestDatabase`].
///
/// [`TestDatabase`]: crate::TestDatabase
pub struct Server {
    cluster: Arc<Cluster>,
    keeper: Child,
}

impl Server {
    /// Starts a server, and waits until it answers.
    ///
    /// # Panics
    /// When no PostgreSQL can be found or installed. The message says what was tried.
    pub async fn start() -> Self {
        unblocked(|| {
            let cluster = Arc::new(Cluster::reserve());
            let keeper = cluster.start(None, Stdio::piped());
            let server = Self { cluster, keeper };
            server.cluster.wait_until_ready();
            server
        })
        .await
    }

    /// The URL of a database of this server. The database `postgres` exists from the beginning. The URL stays
    /// the same over restarts.
    pub fn url(&self, database: &str) -> String {
        self.cluster.url(database)
    }

    /// The server's log since its first start.
    pub fn log(&self) -> String {
        self.cluster.log()
    }

    /// Stops the server as an administrator would (`pg_ctl -m fast stop`), which disconnects clients.
    ///
    /// # Panics
    /// When it does not stop, or does not run.
    pub async fn stop(&self) {
        self.control(&["-m", "fast", "stop"]).await;
    }

    /// Stops the server and starts it again.
    ///
    /// # Panics
    /// When it does not stop or start.
    pub async fn restart(&self) {
        self.control(&["-m", "fast", "restart"]).await;
    }

    /// Kills the server: SIGKILL of its first process, which the other processes notice and end.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self) {
        let file =
            fs::read_to_string(self.cluster.0.folder.join("data/postmaster.pid")).expect("the server runs");
        let pid = file.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("it begins with the process id"), Signal::KILL).expect("the server runs");
    }

    /// Starts the server after [`stop`](Self::stop) or [`kill`](Self::kill), and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&self) {
        let cluster = self.cluster.clone();
        let start = move || {
            let deadline = Instant::now() + PATIENCE;
            // The remains of a killed server may need a moment to end.
            while !cluster.control(&["start"]) {
                assert!(Instant::now() < deadline, "the server does not start: {}", cluster.log());
                sleep(Duration::from_millis(100));
            }
        };
        unblocked(start).await;
    }

    async fn control(&self, arguments: &'static [&'static str]) {
        let cluster = self.cluster.clone();
        unblocked(move || assert!(cluster.control(arguments), "pg_ctl {arguments:?}: {}", cluster.log()))
            .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Closes the keeper's standard input first, so that it cleans up.
        let _ = self.keeper.wait();
    }
}
