//! A program of the tests in a process of its own, which can be killed, frozen and stopped.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use ees_projector::Running;
use rustix::process::{Pid, Signal, kill_process};

/// A process that runs one ignored test. It is killed when it is dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts the test with these variables, and waits until it says that it has started.
    pub(crate) fn start(test: &str, variables: &[(&str, &str)]) -> Self {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
        program.envs(variables.iter().copied());
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = program.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line == "started")), "it does not start");
        Self(child)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Lets it end by itself.
    pub(crate) fn stop(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In the process: says that it has started, and works until its standard input is closed.
pub(crate) async fn work(running: Running) {
    println!("\nstarted");
    let closed = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    closed.await.unwrap().unwrap();
    running.shut_down().await;
}
