//! Attack 8: a disk without room, below the log and the read models.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use ees_tests::{Server, run};
use serde_json::json;
use tempfile::TempDir;

use super::wire::{Answer, ask, get, until};

/// A file system of 8 MB. Only an administrator can make one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(folder.path()).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes until nothing fits any more.
    fn fill(&self) {
        let mut hog = fs::File::options().append(true).create(true).open(self.path().join("hog")).unwrap();
        for size in [4_096, 1] {
            while hog.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.path().join("hog")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

#[test]
fn on_a_full_disk_commits_wait_for_room_reads_go_on_and_nothing_acknowledged_is_lost() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: only an administrator can make a small disk");
        return;
    };
    let mut server = Server::start(disk.path().join("data"));
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let mut number = 0;
        // Large ones until none fits, then small ones until none of them does.
        for bytes in [100_000, 2_000] {
            if bytes == 2_000 {
                disk.fill();
            }
            loop {
                let stream = format!("s-{round}-{bytes}-{number}");
                number += 1;
                let answer = commit(&server, &stream, bytes);
                if answer.status == 200 {
                    acknowledged.push(stream);
                    if bytes == 100_000 && number < 10 {
                        continue;
                    }
                    if bytes == 100_000 {
                        break;
                    }
                } else {
                    assert!(answer.status == 503 && answer.body.contains("UNAVAILABLE"), "{answer:?}");
                    break;
                }
            }
        }
        let ready = get(&server, "/health/ready");
        assert_eq!(ready.status, 503, "{ready:?}");
        assert_eq!(get(&server, "/health/live").status, 200);
        assert_eq!(get(&server, "/changesets?limit=1").status, 200, "reads go on");
        if round == 1 {
            disk.make_room();
            server.kill_and_restart();
        } else {
            disk.make_room();
        }
        until("it is ready again", || get(&server, "/health/ready").status == 200);
        let all = acknowledged.len().to_string();
        let reached = ["projections", "status", "statistics", "--min-checkpoint", &all, "--timeout", "60"];
        run(&mut server.ees(&reached)).ok();
        let totals = server.get_json("/streams");
        assert_eq!(totals["total_changesets"], json!(acknowledged.len()), "{totals}");
        for stream in &acknowledged {
            assert_eq!(
                get(&server, &format!("/streams/{stream}/changesets")).status,
                200,
                "{stream} is lost"
            );
        }
    }
}

fn commit(server: &Server, stream: &str, bytes: usize) -> Answer {
    let body = format!("{{\"events\":[\"{}\"]}}", "x".repeat(bytes));
    ask(server, "POST", &format!("/streams/{stream}"), &[("Idempotency-Key", stream)], &body)
}
