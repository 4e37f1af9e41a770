//! What tests need that commit the history while processes are killed.
#![allow(unreachable_pub, reason = "shared by tests")]

pub mod clients;
pub mod fire;

use std::process::Command;

use ees_tests::Killed;

/// A process that runs read models.
pub struct Worker {
    pub process: Killed,
    command: Box<dyn Fn() -> Command + Send>,
}

impl Worker {
    /// Starts it.
    pub fn start(command: impl Fn() -> Command + Send + 'static) -> Self {
        Self { process: Killed(command().spawn().unwrap()), command: Box::new(command) }
    }

    /// Replaces the process by a new one.
    pub fn kill_and_restart(&mut self) {
        self.process = Killed((self.command)().spawn().unwrap());
    }

    /// Restarts a worker that has ended because it could not connect at its start, as a supervisor would.
    pub fn restart_if_ended(&mut self) {
        if self.process.0.try_wait().unwrap().is_some() {
            self.kill_and_restart();
        }
    }
}
