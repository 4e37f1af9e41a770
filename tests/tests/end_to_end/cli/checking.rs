use ees_tests::Server;
use serde_json::json;

use super::World;

#[test]
fn a_changeset_that_is_missing_is_found() {
    let mut world = World::new();
    for last in ["0", "1", "2"] {
        world.run(&["commit", "a", "--event", "1", "--expected-last-changeset", last]).ok();
    }
    assert_eq!(world.run(&["check"]).ok(), "3 changesets of 1 stream checked, 0 faults\n");

    assert!(world.server.stop().success());
    let log = rusqlite::Connection::open(world.data().join("log.db")).unwrap();
    assert_eq!(log.execute("DELETE FROM changesets WHERE changeset_id = 2", []).unwrap(), 1);
    drop(log);
    world.server.start_again();
    let checked = world.run(&["check"]);
    assert_eq!(checked.code, Some(9), "{checked:?}");
    for told in [
        "checkpoint 1: no changeset (--allow-gaps accepts this)\n",
        "checkpoint 2, changeset 3 of stream \"a\": changeset 2 of the stream should be here",
        "2 changesets of 1 stream checked, ",
    ] {
        assert!(checked.out.contains(told), "{told} is not in {checked:?}");
    }
    let allowed = world.run(&["check", "--allow-gaps", "--json"]);
    assert_eq!(allowed.code, Some(9), "a gap in a stream is one all the same: {allowed:?}");
    let found: Vec<serde_json::Value> =
        allowed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(found.iter().all(|line| line["fault"] != "no changeset"), "{found:?}");
    assert_eq!(found[0]["changeset_id"], json!(3), "{found:?}");
}

#[test]
fn idempotency_keys_are_proven_in_the_store_itself() {
    let mut world = World::new();
    for number in ["0", "1", "2"] {
        let stream = format!("s{number}");
        world.run(&["commit", &stream, "--event", "1", "--idempotency-key", number]).ok();
    }
    let data = world.data().to_str().unwrap().to_owned();
    let check = ["check", "--keys", "--data", &data];
    assert_eq!(world.run(&check).ok(), "3 idempotency keys checked, 0 of them expired, 0 faults\n");

    assert!(world.server.stop().success());
    let log = rusqlite::Connection::open(world.data().join("log.db")).unwrap();
    log.execute_batch(
        "DELETE FROM changesets WHERE checkpoint = 1;
         UPDATE idempotency_keys SET stored_at = stored_at - 691200000000 WHERE checkpoint = 0",
    )
    .unwrap();
    drop(log);
    let checked = world.run(&check);
    assert_eq!(checked.code, Some(9), "{checked:?}");
    for told in ["at checkpoint 1, where none is", "3 idempotency keys checked, 1 of them expired, 1 fault\n"]
    {
        assert!(checked.out.contains(told), "{told} is not in {checked:?}");
    }
    assert_eq!(world.run(&["check", "--keys", "--store", "memory:"]).code, Some(11));
}

#[test]
fn changesets_from_before_checksums_get_theirs() {
    let mut world = World::new();
    for number in 0..3 {
        world.run(&["commit", &format!("s{number}"), "--event", "1"]).ok();
    }
    let data = world.data().to_str().unwrap().to_owned();
    let add = ["check", "--add-checksums", "--data", &data];
    let refused = world.run(&add);
    assert!(refused.code != Some(0) && refused.err.contains("already open"), "{refused:?}");
    assert!(world.server.stop().success());
    let log = || rusqlite::Connection::open(world.data().join("log.db")).unwrap();
    let checksums = || -> Vec<Option<i64>> {
        let log = log();
        let mut all = log.prepare("SELECT checksum FROM changesets ORDER BY checkpoint").unwrap();
        all.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let before = checksums();
    log().execute_batch("UPDATE changesets SET checksum = NULL WHERE checkpoint < 2").unwrap();
    assert_eq!(world.run(&add).ok(), "2 checksums added\n");
    assert_eq!(checksums(), before);
    // What can't be read gets none.
    log()
        .execute_batch("UPDATE changesets SET checksum = NULL, events = '[NaN]' WHERE checkpoint = 1")
        .unwrap();
    assert_eq!(world.run(&add).ok(), "0 checksums added\n");
}

#[test]
fn numbers_that_json_does_not_have_are_given_as_texts_if_the_server_is_told_to() {
    let mut world = World::new();
    world.run(&["commit", "a", "--event", "1"]).ok();
    assert!(world.server.stop().success());
    let log = rusqlite::Connection::open(world.data().join("log.db")).unwrap();
    log.execute("UPDATE changesets SET events = '[NaN]', checksum = NULL", []).unwrap();
    drop(log);
    for (flags, events, is_quarantined) in
        [(&[][..], json!([]), true), (&["--lenient-numbers"][..], json!(["NaN"]), false)]
    {
        world.server = Server::start_with(world.data(), flags);
        for command in [&["read", "a", "--json"][..], &["tail", "--since-start", "--no-follow", "--json"][..]]
        {
            let read = world.run(command).json().remove(0);
            let is_right = read["events"] == events && read.get("quarantined").is_some() == is_quarantined;
            assert!(is_right, "{flags:?} {command:?}: {read}");
        }
        assert!(world.server.stop().success());
    }
}
