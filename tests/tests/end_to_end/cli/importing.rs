use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, Stdio};

use ees_tests::{Killed, Ran, run};
use serde_json::{Value, json};

use super::World;

const HISTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/axum-history.changesets.jsonl.gz");

/// An import that reads from a pipe, and the other end of the pipe.
fn importing(world: &World) -> (Killed, ChildStdin) {
    let mut command = world.ees(&["import", "-", "--json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut import = Killed(command.spawn().unwrap());
    let lines = import.0.stdin.take().unwrap();
    (import, lines)
}

fn counts(ran: Ran) -> (u64, u64) {
    let summary = ran.json().remove(0);
    (summary["imported"].as_u64().unwrap(), summary["already_there"].as_u64().unwrap())
}

#[test]
fn a_second_run_of_the_same_file_adds_nothing() {
    let world = World::new();
    assert_eq!(counts(world.run(&["import", HISTORY, "--json"])), (8_299, 0));
    assert_eq!(counts(world.run(&["import", HISTORY, "--json"])), (0, 8_299));
    let said = world.run(&["import", HISTORY]).ok();
    assert!(said.starts_with("0 changesets imported, 8299 already in the store, "), "{said}");

    // The import's keys expire; stored changesets don't.
    let mut world = world;
    assert!(world.server.stop().success());
    let log = rusqlite::Connection::open(world.data().join("log.db")).unwrap();
    assert_eq!(log.execute("DELETE FROM idempotency_keys", []).unwrap(), 8_299);
    drop(log);
    world.server.start_again();
    assert_eq!(counts(world.run(&["import", HISTORY, "--json"])), (0, 8_299));
}

#[test]
fn plain_gzipped_and_from_standard_input_are_the_same() {
    let world = World::new();
    let mut plain = String::new();
    flate2::read::GzDecoder::new(File::open(HISTORY).unwrap()).read_to_string(&mut plain).unwrap();
    let some: String = plain.lines().take(500).map(|line| format!("{line}\n")).collect();
    let file = world.file("plain.jsonl", &some);
    assert_eq!(counts(world.run(&["import", file.to_str().unwrap(), "--json"])), (500, 0));
    let mut command = world.ees(&["import", "-", "--json"]);
    let mut import = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(some.as_bytes()).unwrap();
    let summary: Value = serde_json::from_slice(&import.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!((&summary["imported"], &summary["already_there"]), (&json!(0), &json!(500)));
    assert_eq!(counts(world.run(&["import", HISTORY, "--json"])), (7_799, 500));
}

#[test]
fn a_line_without_an_expectation_follows_the_one_before() {
    let world = World::new();
    let line = |stream: usize, n: usize| {
        json!({"stream_id": format!("s{stream}"), "events": [n], "stream_type": "t"}).to_string() + "\n"
    };
    let lines: String = (0..300).map(|n| line(n % 7, n)).collect();
    let file = world.file("lines.jsonl", &lines);
    assert_eq!(counts(world.run(&["import", file.to_str().unwrap(), "--json"])), (300, 0));
    for stream in 0..7 {
        let changesets = world.run(&["read", &format!("s{stream}"), "--json"]).json();
        let numbers: Vec<_> = changesets.iter().map(|it| it["events"][0].as_u64().unwrap()).collect();
        assert!(numbers.is_sorted() && numbers.len() >= 42, "{numbers:?}");
        assert_eq!(changesets[0]["stream_type"], "t");
    }
}

/// Lines behind a refused one expect what somebody else has appended by accident.
#[test]
fn a_stream_that_somebody_else_has_written_gets_nothing() {
    let world = World::new();
    for last in ["0", "1", "2"] {
        world.run(&["commit", "taken", "--expected-last-changeset", last, "--event", "\"theirs\""]).ok();
    }
    let line = |n: usize| {
        json!({"stream_id": if n.is_multiple_of(2) { "taken" } else { "own" }, "events": [n]}).to_string()
    };
    let file = world.file("lines.jsonl", &(0..400).map(|n| line(n) + "\n").collect::<String>());
    let said = world.run(&["import", file.to_str().unwrap()]).failed(4);
    assert!(said.contains("lines.jsonl:1") && said.contains("different content"), "{said}");
    assert_eq!(world.run(&["read", "taken", "--json"]).json().len(), 3);
}

#[test]
fn a_bad_line_stops_it_and_nothing_after_it_is_stored() {
    let world = World::new();
    for (bad, told) in
        [("{", "EOF"), (r#"{"stream_id":"a"}"#, "events"), (r#"{"stream_id":"a","events":7}"#, "array")]
    {
        let good = |n: usize| json!({"stream_id": format!("{told}-{n}"), "events": [n]}).to_string();
        let file = world.file("lines.jsonl", &[&good(1), &good(2), "", bad, &good(5)].join("\n"));
        let said = world.run(&["import", file.to_str().unwrap()]).failed(3);
        assert!(
            said.contains("lines.jsonl:4:") && said.contains(told) && said.contains("2 lines are stored"),
            "{said}"
        );
        assert!(
            said.contains("mend the line and run the import again") && !said.contains("line 1"),
            "{said}"
        );
        world.run(&["read", &format!("{told}-2")]).ok();
        world.run(&["read", &format!("{told}-5")]).failed(5);
    }
    world.run(&["import", "missing.jsonl"]).failed(5);
}

#[test]
fn a_refused_line_is_told_with_what_the_store_has() {
    let world = World::new();
    world.run(&["commit", "a", "--event", "\"theirs\""]).ok();
    let file = world.file(
        "lines.jsonl",
        "{\"stream_id\":\"b\",\"events\":[1]}\n{\"stream_id\":\"a\",\"events\":[\"ours\"]}\n",
    );
    let said = world.run(&["import", file.to_str().unwrap()]).failed(4);
    assert!(said.contains("lines.jsonl:2: ") && said.contains("theirs"), "{said}");
    let file = world.file("far.jsonl", "{\"stream_id\":\"a\",\"events\":[1],\"expected_last_changeset\":8}");
    let said = world.run(&["import", file.to_str().unwrap()]).failed(4);
    assert!(said.contains("far.jsonl:1: ") && said.contains("most recent changeset is 1"), "{said}");
}

#[test]
fn many_lines_of_one_stream_keep_their_order_beside_others() {
    let world = World::new();
    let of = |stream: &str, n: usize| json!({"stream_id": stream, "events": [n]}).to_string();
    let lines: Vec<_> =
        (0..400).map(|n| of("one", n)).chain((0..50).map(|n| of(&format!("s{n}"), n))).collect();
    let file = world.file("lines.jsonl", &lines.join("\n"));
    run(&mut world.ees(&["import", file.to_str().unwrap()])).ok();
    let one = world.run(&["read", "one", "--json"]).json();
    assert!(one.iter().enumerate().all(|(n, changeset)| changeset["events"] == json!([n])));
}

#[test]
fn an_interrupted_import_says_how_much_is_stored() {
    let world = World::new();
    let (mut import, mut lines) = importing(&world);
    for stream in ["a", "b"] {
        writeln!(lines, "{}", json!({"stream_id": stream, "events": [1]})).unwrap();
    }
    // Each line is committed as soon as it is read. The import waits for more of them.
    while world.get_json("/changesets")["next_checkpoint"] != 2 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    import.interrupt();
    assert_eq!(import.0.wait().unwrap().code(), Some(130));
    let told: Value = serde_json::from_reader(import.0.stderr.take().unwrap()).unwrap();
    assert_eq!((&told["error"], &told["stored"]), (&json!("INTERRUPTED"), &json!(2)), "{told}");
    drop(lines);
}

/// What writes to the pipe may say nothing for hours.
#[test]
fn a_refused_line_is_told_while_the_input_goes_on() {
    let world = World::new();
    world.run(&["commit", "b", "--event", "\"theirs\""]).ok();
    let (mut import, mut lines) = importing(&world);
    for stream in ["a", "b"] {
        writeln!(lines, "{}", json!({"stream_id": stream, "events": [1]})).unwrap();
    }
    assert_eq!(import.0.wait().unwrap().code(), Some(4));
    let told: Value = serde_json::from_reader(import.0.stderr.take().unwrap()).unwrap();
    assert_eq!(
        (&told["error"], &told["stored"]),
        (&json!("OPTIMISTIC_CONCURRENCY_EXCEPTION"), &json!(1)),
        "{told}"
    );
    world.run(&["read", "a"]).ok();
    drop(lines);
}

#[test]
fn interrupted_twice_an_import_does_not_wait_for_the_server() {
    let mut world = World::new();
    let (mut import, mut lines) = importing(&world);
    writeln!(lines, "{}", json!({"stream_id": "a", "events": [1]})).unwrap();
    while world.get_json("/changesets")["next_checkpoint"] != 1 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(world.server.stop().success());
    writeln!(lines, "{}", json!({"stream_id": "a", "events": [2]})).unwrap();
    let mut told = BufReader::new(import.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(told.any(|line| line.contains("waiting for the server")));
    // Two kinds, so that the system can't make one of them.
    import.interrupt();
    import.ask_to_end();
    assert_eq!(import.0.wait().unwrap().code(), Some(130));
    let told: Vec<_> = told.collect();
    assert!(told.iter().any(|line| line.contains("stopped immediately")), "{told:?}");
    assert!(
        !told.iter().any(|line| line.contains("INTERRUPTED")),
        "it did not wait for the commit: {told:?}"
    );
    drop(lines);
}

#[test]
fn a_byte_order_mark_at_the_start_is_skipped() {
    let world = World::new();
    let file = world.file("windows.jsonl", "\u{feff}{\"stream_id\":\"a\",\"events\":[1]}\r\n");
    let said = world.run(&["import", file.to_str().unwrap()]).ok();
    assert!(said.starts_with("1 changeset imported, "), "{said}");
}

#[test]
fn a_changed_export_is_refused_at_the_line_that_does_not_follow() {
    let line = |id: u64| json!({"stream_id": "a", "events": [id], "changeset_id": id}).to_string();
    for (ids, stored) in [(&[1, 2, 2, 3][..], 2), (&[1, 3], 1), (&[1, 3, 2], 1)] {
        let world = World::new();
        let lines: Vec<_> = ids.iter().map(|id| line(*id)).collect();
        let file = world.file("export.jsonl", &lines.join("\n"));
        let said = world.run(&["import", file.to_str().unwrap()]).failed(3);
        let at = format!("export.jsonl:{}: ", stored + 1);
        assert!(said.contains(&at) && said.contains("missing, doubled or out of order"), "{said}");
        assert_eq!(world.run(&["read", "a", "--json"]).json().len(), stored, "{ids:?}");
    }
}
