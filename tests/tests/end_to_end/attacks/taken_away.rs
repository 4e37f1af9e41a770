//! Attack 5: the files of the log are removed, replaced or cut off under a running server.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use ees_tests::Server;

use super::wire::{Answer, ask, get, until};

const WRITERS: usize = 4;

fn commit(server: &Server, stream: &str) -> Answer {
    ask(server, "POST", &format!("/streams/{stream}"), &[("Idempotency-Key", stream)], "{\"events\":[1]}")
}

/// What became of the commits of some writers.
struct Written {
    acknowledged: BTreeSet<String>,
    refused: Vec<String>,
}

/// Commits from several writers, and takes a file away while they do. Each writer goes on until it is refused.
fn while_writing(server: &Server, name: &str, take: impl FnOnce()) -> Written {
    let is_taken = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let is_taken = &is_taken;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    for number in 0.. {
                        let stream = format!("s-{writer}-{number}");
                        let was_taken = is_taken.load(SeqCst);
                        let answer = commit(server, &stream);
                        if answer.status != 200 {
                            assert!(
                                answer.status == 503 && answer.body.contains("UNAVAILABLE"),
                                "{answer:?}"
                            );
                            return (acknowledged, stream);
                        }
                        assert!(!was_taken, "{stream} was acknowledged after {name} was taken away");
                        acknowledged.push(stream);
                    }
                    unreachable!("it commits until it is refused")
                })
            })
            .collect();
        until("commits are under way", || get(server, "/changesets?checkpoint=40").body.contains("s-"));
        take();
        is_taken.store(true, SeqCst);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    let refused = written.iter().map(|(_, refused)| refused.clone()).collect();
    Written {
        acknowledged: written.into_iter().flat_map(|(acknowledged, _)| acknowledged).collect(),
        refused,
    }
}

/// The server says what is wrong, and goes on saying it.
fn is_told(server: &Server, name: &str) {
    for _ in 0..2 {
        let ready = get(server, "/health/ready");
        assert!(ready.status == 503 && ready.body.contains("unavailable"), "{name}: {ready:?}");
        assert_eq!(get(server, "/health/live").status, 200);
        assert_eq!(commit(server, "late").status, 503);
    }
}

/// All that was acknowledged is there, and what was refused can be committed once.
fn nothing_is_lost(server: &Server, written: &Written) {
    for stream in &written.acknowledged {
        assert_eq!(get(server, &format!("/streams/{stream}/changesets")).status, 200, "{stream} is lost");
    }
    for stream in written.refused.iter().map(String::as_str).chain(["late"]) {
        assert_eq!(commit(server, stream).status, 200);
        let there = get(server, &format!("/streams/{stream}/changesets")).json();
        assert_eq!(there["changesets"].as_array().unwrap().len(), 1, "{there}");
    }
    assert_eq!(get(server, "/health/ready").status, 200);
}

#[test]
fn once_a_file_is_removed_or_replaced_nothing_is_acknowledged_and_put_back_it_has_all_that_was() {
    for (name, is_replaced) in
        [("log.db", false), ("log.db", true), ("log.db-wal", false), ("log.db-wal", true)]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::start(folder.path());
        let (file, aside) = (folder.path().join(name), folder.path().join("aside"));
        let written = while_writing(&server, name, || {
            fs::rename(&file, &aside).unwrap();
            if is_replaced {
                fs::copy(&aside, &file).unwrap();
            }
        });
        is_told(&server, name);
        server.stop();
        fs::rename(&aside, &file).unwrap();
        server.start_again();
        nothing_is_lost(&server, &written);
    }
}

#[test]
fn once_a_file_is_cut_off_nothing_is_acknowledged_and_put_back_it_has_all_that_was() {
    // Each with how much of it stays, in hundredths.
    for (name, stays) in
        [("log.db", 0), ("log.db", 50), ("log.db-wal", 0), ("log.db-wal", 50), ("log.db-wal", 99)]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::start(folder.path());
        let file = folder.path().join(name);
        let acknowledged: BTreeSet<String> = (0..30).map(|number| format!("s-{number}")).collect();
        for stream in &acknowledged {
            assert_eq!(commit(&server, stream).status, 200);
        }
        let content = fs::read(&file).unwrap();
        cut_off(&file, content.len() as u64 * stays / 100);
        let refused = commit(&server, "refused");
        assert!(refused.status == 503 && refused.body.contains("UNAVAILABLE"), "{name}: {refused:?}");
        is_told(&server, name);
        server.stop();
        fs::write(&file, content).unwrap();
        server.start_again();
        nothing_is_lost(&server, &Written { acknowledged, refused: vec!["refused".to_owned()] });
    }
}

fn cut_off(file: &Path, bytes: u64) {
    fs::File::options().write(true).open(file).unwrap().set_len(bytes).unwrap();
}
