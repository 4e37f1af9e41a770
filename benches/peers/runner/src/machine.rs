//! What the figures were measured on.

use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::databases::Databases;
use crate::sizes::Sizes;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) day: String,
    /// The commit of ees.
    pub(crate) commit: String,
    pub(crate) processors: usize,
    pub(crate) processor: String,
    pub(crate) memory_gb: u64,
    pub(crate) system: String,
    /// Settings of PostgreSQL.
    pub(crate) postgresql: String,
    pub(crate) events: usize,
    pub(crate) streams: usize,
    pub(crate) rounds: usize,
}

impl Machine {
    pub(crate) async fn look(sizes: Sizes, databases: &Databases) -> crate::Result<Self> {
        let line = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split(':').nth(1).unwrap_or_default().trim().to_owned()
        };
        let memory_kb = line("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        Ok(Self {
            day: output("date", &["-u", "+%F"]),
            commit: output("git", &["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "--short=8", "HEAD"]),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            processor: line("/proc/cpuinfo", "model name"),
            memory_gb: memory_kb.div_ceil(1024 * 1024),
            system: output("uname", &["-sr"]),
            postgresql: databases.settings().await?,
            events: sizes.events,
            streams: sizes.streams,
            rounds: sizes.rounds,
        })
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
