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
