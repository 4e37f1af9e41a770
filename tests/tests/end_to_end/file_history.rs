//! The history of a real repository through the whole system: imported over HTTP while a projector follows, with the
//! server and the projector killed at random moments, and rebuilt from zero. Every time the same files and the same
//! totals, to the byte.
//!
//! `EES_KILL_MINUTES` and `EES_KILLS` make the killing last longer: the history is imported again and again into new
//! stores.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use ees_tests::history::{HISTORY, expected_totals, expected_tree};
use ees_tests::kills::{Tally, rounds_under_fire};
use ees_tests::{Killed, Server, binary, example};
use serde_json::{Value, json};

/// A server with its own data folder, and the worker that keeps the files.
struct World {
    server: Server,
    read_model: PathBuf,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path().join("data"));
        Self { server, read_model: folder.path().join("file-tree.db"), folder }
    }

    fn worker(&self, command: &str) -> Command {
        let mut worker = Command::new(example("file_history"));
        worker.args(["--url", &self.server.url(), "--read-model"]).arg(&self.read_model).arg(command);
        worker
    }

    fn import(&self) -> Command {
        let mut import = Command::new(binary("ees"));
        import.args(["import", HISTORY, "--url", &self.server.url()]);
        import
    }

    fn ees(&self, arguments: &[&str]) -> Output {
        let output =
            Command::new(binary("ees")).args(arguments).args(["--url", &self.server.url()]).output().unwrap();
        assert!(output.status.success(), "ees {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Waits until the log grows, however busy the machine is, or the import has ended. Not for long: a new import first
    /// finds the lines that are stored.
    fn wait_for_commits(&self, import: &mut Child) {
        let head = || self.server.get_json("/changesets?limit=1&include=position")["head"].clone();
        let (before, deadline) = (head(), Instant::now() + Duration::from_secs(10));
        while head() == before && finished(import).is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn check(&self, when: &str) {
        for name in ["statistics", "stream_catalogue"] {
            self.ees(&["projections", "status", name, "--min-checkpoint", "8299", "--timeout", "60"]);
        }
        let output = self.worker("tree").output().unwrap();
        assert!(output.status.success(), "{when}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(
            String::from_utf8(output.stdout).unwrap() == expected_tree(),
            "{when}: the files are other files"
        );
        assert_eq!(self.server.get_json("/streams"), expected_totals(), "{when}");
    }

    /// Rebuilds every read model.
    fn rebuild(&self) {
        for name in ["statistics", "stream_catalogue"] {
            self.ees(&["projections", "rebuild", name, "--reason", "the test wants to see it"]);
        }
        assert!(self.worker("rebuild").status().unwrap().success());
    }
}

#[test]
fn imported_while_a_projector_follows() {
    let world = World::new();
    let _follower = Killed(world.worker("follow").spawn().unwrap());
    let output = world.import().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    drop(_follower);
    world.check("after the import");
    // A second import adds nothing.
    assert!(world.import().status().unwrap().success());
    world.check("after importing again");
    world.rebuild();
    world.check("after the rebuild");
}

#[test]
fn imported_while_everything_is_killed_again_and_again() {
    rounds_under_fire("SQLite", |seed| import_under_fire(&mut fastrand::Rng::with_seed(seed)));
}

/// Imports while processes are killed.
fn import_under_fire(chance: &mut fastrand::Rng) -> Tally {
    let mut world = World::new();
    let mut follower = Killed(world.worker("follow").spawn().unwrap());
    let mut importer = Killed(world.import().spawn().unwrap());
    let mut tally = Tally::default();
    loop {
        // Leaves time for work between two kills. Which work is hit is random: that of a start, too.
        if chance.u8(0..4) > 0 {
            world.wait_for_commits(&mut importer.0);
        }
        std::thread::sleep(Duration::from_millis(chance.u64(20..400)));
        match finished(&mut importer.0) {
            Some(0) => break,
            // The import gave up waiting for the server. A new one continues where it was.
            Some(6) => importer = Killed(world.import().spawn().unwrap()),
            Some(other) => panic!("the import ended with {other}"),
            None => {}
        }
        match chance.u8(0..60) {
            0..=9 => {
                tally.workers += 1;
                follower = Killed(world.worker("follow").spawn().unwrap());
            }
            // Seldom: a new one begins at the first line again, and needs the time to come to the last.
            10 => {
                tally.clients += 1;
                importer = Killed(world.import().spawn().unwrap());
            }
            _ => {
                tally.servers += 1;
                world.server.kill_and_restart();
            }
        }
        assert!(tally.kills() < 10_000, "the import never gets through");
    }
    assert!(tally.kills() > 0, "nothing was killed: the import was too fast to prove anything");
    drop(follower);
    world.check("after the import under fire");
    world.rebuild();
    world.check("after the rebuild");
    assert!(Path::new(&world.read_model).starts_with(world.folder.path()));
    // Each line has a key, and each is answered by it.
    let again: Value =
        serde_json::from_slice(&world.import().arg("--json").output().unwrap().stdout).unwrap();
    assert_eq!((&again["imported"], &again["already_there"]), (&json!(0), &json!(8_299)));
    Tally { changesets: 8_299, answered_by_key: 8_299, ..tally }
}

/// The exit code of a process, if it has ended.
fn finished(child: &mut Child) -> Option<i32> {
    child.try_wait().unwrap().map(|status| status.code().unwrap())
}
