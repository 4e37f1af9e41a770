//! What the runner asks of a driver.

use std::path::PathBuf;
use std::time::Duration;

use crate::Workload;

/// One measurement. The runner gives each a database and a folder of its own.
#[derive(Clone, Debug)]
pub struct Task {
    pub part: Part,
    /// Which of the ways to use the peer, by the name that the runner has for it.
    pub usage: String,
    /// A database in PostgreSQL: empty, or a copy of the one that holds the whole workload.
    pub database: String,
    /// For a peer that keeps files: empty, or a copy of the folder that holds the whole workload.
    pub folder: PathBuf,
    /// How many append or read at once.
    pub clients: usize,
    /// When to stop, even if not all is done.
    pub time: Duration,
    pub workload: Workload,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Append to an empty store, each append with its expected version.
    Append,
    /// Make a read model of the whole log.
    CatchUp,
    /// Append now and then to an empty store, and see when the read model shows it.
    Live,
    /// Read streams.
    Read,
    /// Read the whole log.
    Enumerate,
}

impl Task {
    /// From the arguments and the environment of this program.
    ///
    /// # Panics
    /// When the runner has not set them.
    pub fn given() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let [_, part, usage] = &arguments[..] else { panic!("the runner says PART USAGE") };
        let part = match part.as_str() {
            "append" => Part::Append,
            "catch-up" => Part::CatchUp,
            "live" => Part::Live,
            "read" => Part::Read,
            "enumerate" => Part::Enumerate,
            other => panic!("{other} is no part"),
        };
        Self {
            part,
            usage: usage.clone(),
            database: variable("PEERS_DATABASE"),
            folder: variable("PEERS_FOLDER").into(),
            clients: number("PEERS_CLIENTS"),
            time: Duration::from_secs(number("PEERS_SECONDS") as u64),
            workload: Workload { events: number("PEERS_EVENTS"), streams: number("PEERS_STREAMS") },
        }
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("the runner sets {name}"))
}

fn number(name: &str) -> usize {
    variable(name).parse().unwrap_or_else(|_| panic!("{name} is a number"))
}
