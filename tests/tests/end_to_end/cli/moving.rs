use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ees_tests::{Killed, Ran, Server, ees, run};
use serde_json::{Value, json};

use super::World;

const HISTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/axum-history.changesets.jsonl.gz");

const TRACE: &str =
    r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","tracestate":"a=1,b=2""#;

/// Exports a log that has every kind of changeset.
fn exported(world: &World) -> Vec<String> {
    world.run(&["import", HISTORY]).ok();
    world
        .run(&["commit", "typed", "--event", r#"{"n":1.0,"n":1e400}"#, "--event", "2", "--stream-type", "t"])
        .ok();
    let traced = format!(r#"{{"stream_id":"typed","expected_last_changeset":1,"events":[3],{TRACE}}}"#);
    world.file("traced.jsonl", &traced);
    world.run(&["import", "traced.jsonl"]).ok();
    world.run(&["export", "log.jsonl.gz"]).ok();
    world.run(&["export", "-"]).ok().lines().map(ToOwned::to_owned).collect()
}

fn keep_order(file: &Path, data: &Path) -> Ran {
    run(ees(&["import", "--keep-order", "--json", "--data"]).arg(data).arg(file))
}

fn counts(ran: Ran) -> (u64, u64) {
    let summary = ran.json().remove(0);
    (summary["imported"].as_u64().unwrap(), summary["already_there"].as_u64().unwrap())
}

#[test]
fn a_whole_log_moves_with_its_order_times_and_types() {
    let world = World::new();
    let lines = exported(&world);
    assert_eq!(lines.len(), 8_301);
    assert!(lines[8_300].contains(TRACE), "{}", lines[8_300]);
    let data = world.folder.path().join("moved");
    let file = world.folder.path().join("log.jsonl.gz");
    assert_eq!(counts(keep_order(&file, &data)), (8_301, 0));
    assert_eq!(counts(keep_order(&file, &data)), (0, 8_301));
    let moved = Server::start(&data);
    let again: Vec<_> = run(&mut moved.ees(&["export", "-"])).ok().lines().map(ToOwned::to_owned).collect();
    assert!(again == lines, "the moved log is another one");

    let lost = world.folder.path().join("lost");
    std::fs::create_dir_all(lost.join("read-models")).unwrap();
    std::fs::write(lost.join("read-models/statistics.db"), "rows of another log").unwrap();
    let refused = keep_order(&file, &lost).failed(1);
    assert!(refused.contains("LOG_MISSING") && !lost.join("log.db").exists(), "{refused}");

    let refused = keep_order(&file, &data).failed(1);
    assert!(refused.contains("already open"), "while a server has it: {refused}");
    let refused = world.run(&["export", "log.jsonl.gz"]).failed(3);
    assert!(refused.contains("already exists"), "{refused}");
}

#[test]
fn a_move_that_broke_off_goes_on_and_another_log_is_refused() {
    let world = World::new();
    let lines = exported(&world);
    let data = world.folder.path().join("moved");
    let half = world.file("half.jsonl", &lines[..4_500].join("\n"));
    let whole = world.file("whole.jsonl", &lines.join("\n"));
    assert_eq!(counts(keep_order(&half, &data)), (4_500, 0));
    assert_eq!(counts(keep_order(&whole, &data)), (3_801, 4_500));

    let mut other = lines[..3].to_vec();
    other[1] = other[1].replace("file_added", "file_moved");
    let other = world.file("other.jsonl", &other.join("\n"));
    let refused = keep_order(&other, &data).failed(4);
    assert!(refused.contains("other.jsonl:2: ") && refused.contains("ANOTHER_LOG"), "{refused}");
}

#[test]
fn lines_that_do_not_follow_each_other_are_refused_before_they_are_stored() {
    let world = World::new();
    for event in 1..=3 {
        let last = (event - 1).to_string();
        world.run(&["commit", "a", "--event", "7", "--expected-last-changeset", &last]).ok();
    }
    let lines: Vec<_> = world.run(&["export", "-"]).ok().lines().map(ToOwned::to_owned).collect();
    let earlier = lines[2].replacen("\"timestamp\":\"20", "\"timestamp\":\"19", 1);
    for (bad, number) in [
        ([&lines[0], &lines[2], &lines[1]], 2),
        ([&lines[1], &lines[0], &lines[2]], 1),
        ([&lines[0], &lines[1], &earlier], 3),
    ] {
        let text = bad.map(String::as_str).join("\n");
        let file = world.file("bad.jsonl", &text);
        let refused = keep_order(&file, &world.folder.path().join("moved")).failed(3);
        assert!(refused.contains(&format!("bad.jsonl:{number}: ")), "{refused}");
    }
}

/// Lines as an adopted table is exported.
fn adopted() -> Vec<Value> {
    let line = |checkpoint: u64, stream: &str, id: u64, first_event: u64, more: Value| {
        let mut line = json!({
            "checkpoint": checkpoint, "stream_id": stream, "changeset_id": id, "first_event_id": first_event,
            "timestamp": format!("2021-04-05T06:07:08.00000{id}Z"), "events": [], "metadata": {},
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let held = |events| json!({"reason": "not JSON", "events": events, "metadata": "{}"});
    vec![
        line(0, "a\nb", 1, 1, json!({"events": [1], "metadata": null})),
        line(1, "..", 1, 1, json!({})),
        line(3, &"long".repeat(300), 1, 1, json!({"events": {"a": 1, "b": 2}, "event_count": 2})),
        line(4, "a\nb", 2, 2, json!({"events": "text", "event_count": 4})),
        line(5, "q", 1, 1, json!({"event_count": 1, "quarantined": held("[NaN]")})),
        // Its checksum was another one.
        line(9, "q", 2, 2, json!({"event_count": 1, "quarantined": held("[1]")})),
        line(10, "q", 3, 3, json!({"events": [3]})),
    ]
}

#[test]
fn what_only_adoption_lets_in_moves_too() {
    let world = World::new();
    let mut lines = adopted();
    let text = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let file = world.file("adopted.jsonl", &text);
    let data = world.folder.path().join("moved");
    let refused = keep_order(&file, &data).failed(3);
    assert!(refused.contains("adopted.jsonl:3: ") && refused.contains("--renumber"), "{refused}");
    let renumbered =
        || run(ees(&["import", "--keep-order", "--renumber", "--json", "--data"]).arg(&data).arg(&file));
    // What stood before the line that was refused may be stored.
    let (imported, already_there) = counts(renumbered());
    assert_eq!(imported + already_there, 7);
    assert_eq!(counts(renumbered()), (0, 7));

    let moved = Server::start(&data);
    let exported = run(&mut moved.ees(&["export", "-"])).ok();
    let mut exported: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (place, line) in lines.iter_mut().enumerate() {
        line["checkpoint"] = place.into();
    }
    for line in lines.iter_mut().chain(&mut exported) {
        if let Some(held) = line.get_mut("quarantined") {
            assert!(held["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
            held["reason"] = Value::Null;
        }
    }
    assert_eq!(exported, lines);

    // A server takes none of it, and says how it can be done.
    let refused = run(moved.ees(&["import"]).arg(world.file("q.jsonl", &lines[4].to_string()))).failed(3);
    assert!(refused.contains("--keep-order"), "{refused}");
    let checked = run(&mut moved.ees(&["check"]));
    assert_eq!(checked.code, Some(9), "{checked:?}");
    assert!(
        checked.out.contains("checkpoint 4, changeset 1 of stream \"q\": ")
            && checked.err.contains("2 faults")
    );
}

#[test]
fn an_interrupted_move_says_how_much_is_stored_and_goes_on_there() {
    let world = World::new();
    // One more than is stored at once.
    let line = |n: usize| format!("{{\"stream_id\":\"s{n}\",\"events\":[{n}]}}\n");
    let file = world.file("lines.jsonl", &(0..1_001).map(line).collect::<String>());
    world.run(&["import", file.to_str().unwrap()]).ok();
    let lines = world.run(&["export", "-"]).ok();

    let data = world.folder.path().join("moved");
    let mut command = ees(&["import", "--keep-order", "--json", "-", "--data"]);
    command.arg(&data).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut import = Killed(command.spawn().unwrap());
    let mut input = import.0.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    let stored = || {
        let log = rusqlite::Connection::open(data.join("log.db")).ok()?;
        log.query_row("SELECT count(*) FROM changesets", [], |row| row.get::<_, u64>(0)).ok()
    };
    // It waits for more lines then.
    while !data.join("log.db").exists() || stored() != Some(1_000) {
        std::thread::sleep(Duration::from_millis(5));
    }
    import.interrupt();
    assert_eq!(import.0.wait().unwrap().code(), Some(130));
    let mut told = String::new();
    import.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains(r#""error":"INTERRUPTED""#) && told.contains(r#""stored":1000"#), "{told}");
    drop(input);
    assert_eq!(counts(keep_order(&world.file("again.jsonl", &lines), &data)), (1, 1_000));
}
