//! Attack 6: a start beside files of a log that is not there, or of another one.

use std::fs;
use std::path::Path;

use ees_tests::{Server, ees, run};

use super::wire::{get, post};

/// The files that a killed server leaves: its last commits are in `log.db-wal`.
fn killed(folder: &Path, commits: usize) {
    let data = folder.join("running");
    let server = Server::start(&data);
    for number in 0..commits {
        assert_eq!(post(&server, &format!("/streams/s{number}"), "{\"events\":[1]}").status, 200);
    }
    drop(server);
    for name in ["log.db", "log.db-wal", "log.db-shm"] {
        fs::copy(data.join(name), folder.join(name)).unwrap();
    }
}

fn starting_fails(data: &Path) -> String {
    run(ees(&["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).env("EES_LOG", "off")).failed(1)
}

#[test]
fn beside_an_orphaned_write_ahead_log_nothing_is_begun_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    killed(folder.path(), 20);
    for with_shared_memory in [true, false] {
        let data = tempfile::tempdir().unwrap();
        let wal = data.path().join("log.db-wal");
        fs::copy(folder.path().join("log.db-wal"), &wal).unwrap();
        if with_shared_memory {
            fs::copy(folder.path().join("log.db-shm"), data.path().join("log.db-shm")).unwrap();
        }
        let commits = fs::read(&wal).unwrap();
        for _ in 0..2 {
            let told = starting_fails(data.path());
            assert!(
                told.contains("log.db is missing") && told.contains("log.db-wal holds commits"),
                "{told}"
            );
        }
        assert!(fs::read(&wal).unwrap() == commits && !data.path().join("log.db").exists());
        // Put back, it has all that was acknowledged.
        fs::copy(folder.path().join("log.db"), data.path().join("log.db")).unwrap();
        let server = Server::start(data.path());
        let page = get(&server, "/changesets?limit=1000").json();
        assert_eq!(page["changesets"].as_array().unwrap().len(), 20);
    }
}

#[test]
fn shared_memory_alone_is_no_log_and_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    killed(folder.path(), 3);
    let data = tempfile::tempdir().unwrap();
    fs::copy(folder.path().join("log.db-shm"), data.path().join("log.db-shm")).unwrap();
    let server = Server::start(data.path());
    assert_eq!(post(&server, "/streams/a", "{\"events\":[1]}").status, 200);
    assert_eq!(get(&server, "/changesets").json()["changesets"].as_array().unwrap().len(), 1);
}

#[test]
fn a_backup_beside_the_write_ahead_log_from_before_is_not_mixed_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backup) = (folder.path().join("data"), folder.path().join("backup.db"));
    let mut server = Server::start(&data);
    assert_eq!(post(&server, "/streams/early", "{\"events\":[1]}").status, 200);
    run(server.ees(&["backup", "--data"]).arg(&data).arg(&backup)).ok();
    // So many that the write-ahead log is begun anew.
    let large = format!("{{\"events\":[\"{}\"]}}", "x".repeat(900_000));
    for number in 0..70 {
        assert_eq!(post(&server, &format!("/streams/late-{number}"), &large).status, 200);
    }
    server.kill();
    // The operator restores it and forgets the other files.
    fs::copy(&backup, data.join("log.db")).unwrap();
    let _ = fs::remove_dir_all(data.join("read-models"));
    let commits = fs::read(data.join("log.db-wal")).unwrap();
    for _ in 0..2 {
        let told = starting_fails(&data);
        assert!(told.contains("one of the two files was replaced"), "{told}");
        assert!(fs::read(data.join("log.db-wal")).unwrap() == commits, "nothing is touched");
    }
    fs::remove_file(data.join("log.db-wal")).unwrap();
    server.start_again();
    let page = get(&server, "/changesets").json();
    assert_eq!(page["changesets"].as_array().unwrap().len(), 1, "{page}");
}
