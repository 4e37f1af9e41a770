use std::sync::atomic::{AtomicBool, Ordering};

use ees_tests::run;

use super::World;

const HISTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/axum-history.changesets.jsonl.gz");

#[test]
fn a_copy_made_during_commits_is_whole_and_can_be_restored() {
    let mut world = World::new();
    let data = world.data().to_owned();
    let copy = world.folder.path().join("copy.db");
    world.run(&["commit", "first", "--event", "1"]).ok();
    let imported = AtomicBool::new(false);
    let made = std::thread::scope(|scope| {
        scope.spawn(|| {
            world.run(&["import", HISTORY]).ok();
            imported.store(true, Ordering::Relaxed);
        });
        let backup = || {
            let _ = std::fs::remove_file(&copy);
            run(world.ees(&["backup", "--data"]).arg(&data).arg(&copy)).ok();
            changesets(&copy)
        };
        // Repeats until a backup was made during the import.
        std::iter::repeat_with(backup).find(|made| *made > 1 || imported.load(Ordering::Relaxed)).unwrap()
    });
    assert!((2..=8_300).contains(&made), "{made}");
    // One more commit, so that the copy is certainly older.
    world.run(&["commit", "last", "--event", "1", "--wait-for", "statistics"]).ok();
    world.run(&["projections", "status", "stream_catalogue", "--min-checkpoint", "8300"]).ok();

    assert!(world.server.stop().success());
    std::fs::copy(&copy, data.join("log.db")).unwrap();
    for left in ["log.db-wal", "log.db-shm"] {
        let _ = std::fs::remove_file(data.join(left));
    }
    world.server.start_again();
    for name in ["statistics", "stream_catalogue"] {
        let mut looks =
            (0..100).map(|_| world.run(&["projections", "status", name, "--json"]).json().remove(0));
        let stopped = looks.find(|status| status["state"] != "starting").unwrap();
        let told = stopped["stalled"].as_str().unwrap_or_default();
        assert!(stopped["state"] == "stopped" && told.contains("went back"), "{stopped}");
        let compared = ["projections", "rebuild", name, "--side-by-side", "--verify"];
        let failed = world.run(&compared).failed(1);
        assert!(failed.contains("has stopped") && failed.contains("discard"), "{failed}");
        world.run(&["projections", "discard", name]).ok();
        world.run(&["projections", "rebuild", name, "--reason", "restored"]).ok();
    }
    let statistics = world.get_json("/streams");
    assert_eq!(
        (&statistics["total_changesets"], &statistics["statistics_version"]),
        (&made.into(), &made.into())
    );
    assert_eq!(world.get_json("/health/ready")["status"], "ready");
    world.run(&["read", "last"]).failed(5);
    // The import continues.
    world.run(&["import", HISTORY]).ok();
    world.run(&["projections", "status", "statistics", "--min-checkpoint", "8299"]).ok();
    assert_eq!(world.get_json("/streams")["total_changesets"], 8_300);
}

fn changesets(log: &std::path::Path) -> u64 {
    let log = rusqlite::Connection::open(log).unwrap();
    log.query_row("SELECT count(*) FROM changesets", [], |row| row.get(0)).unwrap()
}
