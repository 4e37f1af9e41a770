//! A file that is synced after each append.

use std::fs::File;
use std::io::Write;

use peers_workload::append::{Append, append};
use peers_workload::{Payload, Report, Task};

pub(crate) async fn measure(task: &Task) -> Report {
    let path = task.folder.join("appended");
    let report = append(task, vec![Synced(File::create(&path).unwrap())]).await;
    let stored = std::fs::read_to_string(path).unwrap().lines().count();
    report.stored(stored)
}

struct Synced(File);

impl Append for Synced {
    async fn append(&mut self, _stream: usize, _version: usize, payloads: Vec<Payload>) {
        let lines: String =
            payloads.iter().map(|payload| serde_json::to_string(payload).unwrap() + "\n").collect();
        self.0.write_all(lines.as_bytes()).unwrap();
        self.0.sync_data().unwrap();
    }
}
