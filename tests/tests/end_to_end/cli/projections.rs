use std::io::Read as _;
use std::process::Stdio;

use ees_tests::{Killed, Server};
use serde_json::{Value, json};

use super::World;

fn of(world: &World, name: &str) -> Value {
    world.run(&["projections", "status", name, "--json"]).json().remove(0)
}

#[test]
fn the_list_tells_where_each_one_is() {
    let world = World::new();
    world.run(&["commit", "a", "--event", "1", "--wait-for", "stream_catalogue"]).ok();
    world.run(&["projections", "status", "statistics", "--stream", "a", "--changeset", "1"]).ok();
    let list = world.run(&["projections", "list", "--json"]).json().remove(0);
    let all: Vec<_> = list["projections"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(all, [&json!("statistics"), &json!("stream_catalogue")]);
    assert_eq!(of(&world, "statistics")["checkpoint"], 1);
    let table = world.run(&["projections", "list"]).ok();
    assert!(table.starts_with("NAME") && table.contains("LAG") && table.lines().count() == 3, "{table}");
}

#[test]
fn a_commit_waits_in_one_call_until_it_is_visible() {
    let world = World::new();
    for n in 1..=5 {
        world.run(&["commit", &format!("s{n}"), "--event", "1", "--visible-in", "statistics"]).ok();
        assert_eq!(world.get_json("/streams")["total_changesets"], n);
    }
    let unknown = world.run(&["commit", "a", "--event", "1", "--visible-in", "statistic"]).failed(5);
    assert!(unknown.contains("nothing was committed") && unknown.contains("statistics"), "{unknown}");
    world.run(&["projections", "pause", "statistics", "--reason", "lunch"]).ok();
    let visible_in = ["commit", "a", "--event", "1", "--visible-in", "statistics", "--timeout", "0.1"];
    let late = world.run(&visible_in);
    assert_eq!((late.code, late.out.as_str()), (Some(10), "a: changeset 1, checkpoint 5\n"));
    assert!(late.err.contains("committed as changeset 1 of \"a\", but"), "{late:?}");
    world.run(&visible_in).failed(4);
}

#[test]
fn a_paused_projection_stands_still_over_restarts_until_it_is_resumed() {
    let mut world = World::new();
    world.run(&["projections", "pause", "statistics", "--reason", "lunch"]).ok();
    world.run(&["commit", "a", "--event", "1", "--wait-for", "stream_catalogue"]).ok();
    world.server.kill_and_restart();
    let status = world.run(&["projections", "status", "statistics"]).ok();
    assert!(
        status.contains("paused") && status.contains("lunch") && status.contains("1 changeset,"),
        "{status}"
    );
    let waiting = ["projections", "status", "statistics", "--stream", "a", "--changeset", "1"];
    let late = world.run(&[&waiting[..], &["--timeout", "0.2"]].concat()).failed(8);
    assert!(late.contains("did not reach"), "{late}");

    world.run(&["projections", "resume", "statistics"]).ok();
    world.run(&waiting).ok();
    assert_eq!(world.get_json("/streams")["total_changesets"], 1);
}

#[test]
fn a_rebuild_ends_where_it_began() {
    let world = World::new();
    for n in 1..=5 {
        world.run(&["commit", &format!("s{n}"), "--event", "1", "--wait-for", "statistics"]).ok();
    }
    let before = world.get_json("/streams");
    let done = world.run(&["projections", "rebuild", "statistics", "--reason", "to see it", "--json"]);
    assert_eq!(done.json()[0]["checkpoint"], 5);
    assert_eq!(world.get_json("/streams"), before);
    let audit = world.run(&["projections", "audit", "statistics", "--json"]).json().remove(0);
    assert_eq!(
        (&audit["audit"][0]["action"], &audit["audit"][0]["reason"]),
        (&json!("rebuild"), &json!("to see it"))
    );
}

#[test]
fn the_embedded_read_models_are_verified_and_rebuilt_side_by_side() {
    let world = World::new();
    for n in 1..=5 {
        world.run(&["commit", &format!("s{n}"), "--event", "1", "--wait-for", "statistics"]).ok();
    }
    let before = world.get_json("/streams");
    let folder = world.data().join("read-models");
    let files =
        || std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect::<Vec<_>>();
    let is_of_slot = |file: &std::ffi::OsString| file.to_str().unwrap().contains("__");
    let reader = rusqlite::Connection::open(folder.join("statistics.db")).unwrap();
    let rows = "SELECT count(*) FROM statistics";
    let mut counted = reader.prepare(rows).unwrap();
    let mut count = || counted.query_row([], |row| row.get::<_, i64>(0)).unwrap();
    let known = count();
    assert!(known > 0);

    let estimate = world.run(&["projections", "rebuild", "statistics", "--side-by-side", "--dry-run"]).ok();
    assert!(estimate.contains("5 changesets") && estimate.contains("standby needs"), "{estimate}");
    let equal = world.run(&["projections", "verify", "statistics", "--json"]).json().remove(0);
    assert_eq!((&equal["checkpoint"], &equal["rows"]), (&json!(5), &json!(known)));
    assert!(!files().iter().any(is_of_slot), "{:?}", files());

    world
        .run(&["projections", "rebuild", "statistics", "--side-by-side", "--verify", "--reason", "to see"])
        .ok();
    assert_eq!(of(&world, "statistics")["standby"]["plan"]["role"], "following");
    assert_eq!((world.get_json("/streams"), count()), (before, known), "who has the file open");
    world.run(&["commit", "s6", "--event", "1", "--wait-for", "statistics"]).ok();
    world.run(&["projections", "rollback", "statistics", "--reason", "back"]).ok();
    assert_eq!(world.get_json("/streams")["total_changesets"], 6, "it has followed");
    reader.execute("DELETE FROM statistics", []).unwrap();
    let differ = world.run(&["projections", "verify", "statistics"]);
    assert_eq!(differ.code, Some(9), "{differ:?}");
    assert!(differ.out.contains("missing row") || differ.err.contains("missing row"), "{differ:?}");
    world.run(&["projections", "discard", "statistics"]).ok();
    assert!(!files().iter().any(is_of_slot), "{:?}", files());
}

#[test]
fn an_interrupted_command_says_what_goes_on_in_the_server_and_how_to_see_it() {
    let world = World::new();
    world.run(&["commit", "a", "--event", "1", "--wait-for", "statistics"]).ok();
    // What the server does now waits for this transaction.
    let busy = rusqlite::Connection::open(world.data().join("read-models/statistics.db")).unwrap();
    busy.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut command = world.ees(&["projections", "verify", "statistics", "--json"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut verify = Killed(command.spawn().unwrap());
    let of = "/projections/statistics/verification";
    while world.get_json(of)["state"] != "building" {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    verify.interrupt();
    assert_eq!(verify.0.wait().unwrap().code(), Some(130));
    let mut told = String::new();
    verify.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["error"], "INTERRUPTED", "{told}");
    assert!(told["message"].as_str().unwrap().contains("statistics goes on in the server"), "{told}");
    assert!(told["hint"].as_str().unwrap().contains("the same command"), "{told}");
    busy.execute_batch("ROLLBACK").unwrap();
    world.run(&["projections", "verify", "statistics"]).ok();
}

#[test]
fn what_is_not_parked_can_not_be_tried_again() {
    let world = World::new();
    assert_eq!(world.run(&["projections", "parked", "stream_catalogue"]).ok(), "no stream is parked\n");
    world.run(&["projections", "parked", "stream_catalogue", "--retry"]).failed(4);
    world.run(&["projections", "skip", "stream_catalogue", "0"]).failed(2);
}

#[test]
fn the_audit_lists_what_was_done_and_why() {
    let world = World::new();
    assert_eq!(world.run(&["projections", "audit", "statistics"]).ok(), "no operator has changed anything\n");
    world.run(&["projections", "pause", "statistics", "--reason", "lunch \u{1b}[2J"]).ok();
    world.run(&["projections", "resume", "statistics", "--reason", "done"]).ok();
    let text = world.run(&["projections", "audit", "statistics"]).ok();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("TIME") && lines.len() == 3, "{text}");
    assert!(lines[1].contains("resume") && lines[1].ends_with("done"), "{text}");
    assert!(lines[2].contains("pause") && lines[2].ends_with("lunch \\u001b[2J"), "{text}");
    let newest = world.run(&["projections", "audit", "statistics", "--limit", "1", "--json"]).json();
    assert_eq!(newest[0]["audit"].as_array().unwrap().len(), 1);
    assert_eq!(newest[0]["audit"][0]["action"], "resume");
}

#[test]
fn a_status_says_which_checkpoint_is_next_and_which_is_the_last() {
    let world = World::new();
    let status = || world.run(&["projections", "status", "statistics"]).ok();
    assert!(status().contains("0 is next; the log is empty"), "{}", status());
    world.run(&["commit", "a", "--event", "1", "--wait-for", "statistics"]).ok();
    assert!(status().contains("1 is next; the log ends at 0"), "{}", status());
}

#[test]
fn an_update_keeps_earlier_skips_if_the_server_is_told_to() {
    for keeps in [true, false] {
        let mut world = World::new();
        world.run(&["commit", "a", "--event", "1", "--wait-for", "statistics"]).ok();
        assert!(world.server.stop().success());
        let file = world.data().join("read-models/statistics.db");
        let read_model = rusqlite::Connection::open(file).unwrap();
        let older = r#"UPDATE ees_projections SET version = 0,
            skips = '[{"checkpoint":0,"timestamp":"2026-01-01T00:00:00Z"}]'"#;
        assert_eq!(read_model.execute(older, []).unwrap(), 1);
        drop(read_model);

        let flags: &[&str] = if keeps { &["--keep-skips"] } else { &[] };
        world.server = Server::start_with(world.data(), flags);
        world.run(&["projections", "status", "statistics", "--min-checkpoint", "0"]).ok();
        let (skipped, told) =
            if keeps { (json!([0]), "leaves out again") } else { (json!([]), "tries again") };
        assert_eq!(of(&world, "statistics")["skipped"], skipped);
        let audit = world.run(&["projections", "audit", "statistics"]).ok();
        assert!(audit.contains("new_version") && audit.contains(told), "{audit}");
    }
}

#[test]
fn a_row_is_explained_from_the_command_line() {
    let world = World::new();
    world.run(&["commit", "a/b", "--event", "1", "--stream-type", "account"]).ok();
    world.run(&["commit", "a/b", "--event", "2", "--event", "3", "--expected-last-changeset", "1"]).ok();
    world.run(&["commit", "c", "--event", "4", "--wait-for", "statistics"]).ok();
    let [totals] = &world.run(&["projections", "explain", "statistics", "all", "--json"]).json()[..] else {
        panic!()
    };
    assert_eq!((&totals["is_stored"], &totals["steps_total"]), (&json!(true), &json!(3)), "{totals}");
    assert_eq!(totals["row"]["total_events"], 4);
    assert_eq!(totals["written_by"]["max_stream_length"]["checkpoint"], 1);
    world.run(&["projections", "status", "stream_catalogue", "--min-checkpoint", "3"]).ok();
    let text = world.run(&["projections", "explain", "stream_catalogue", "a/b"]).ok();
    for told in [
        "#2 ",
        "a/b changeset 2",
        "stream_type was written by a/b changeset 1",
        "2 changesets replayed of stream a/b",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let none = world.run(&["projections", "explain", "stream_catalogue", "nothing"]).ok();
    assert!(
        none.contains("stream_catalogue nothing at checkpoint 3: no row\nno event up to there"),
        "{none}"
    );
    for (line, code, told) in [
        (&["projections", "explain", "statistic", "all"][..], 5, "did you mean"),
        (&["projections", "explain", "statistics", "all", "--table", "x"], 4, "there are: statistics"),
        (&["projections", "explain", "statistics", "all", "--steps", "0"], 2, "--steps"),
    ] {
        let said = world.run(line).failed(code);
        assert!(said.contains(told), "{line:?}: {said}");
    }
}

#[test]
fn the_rows_of_streams_are_rebuilt_from_the_command_line() {
    let world = World::new();
    for stream in ["a", "b/c", "d"] {
        world.run(&["commit", stream, "--event", "1", "--wait-for", "stream_catalogue"]).ok();
    }
    let file = world.data().join("read-models/stream_catalogue.db");
    let read_model = rusqlite::Connection::open(file).unwrap();
    let forge =
        "UPDATE stream_catalogue SET events = 99; DELETE FROM stream_catalogue WHERE stream_id = 'b/c'";
    read_model.execute_batch(forge).unwrap();
    let events = |stream: &str| {
        let mut select =
            read_model.prepare("SELECT events FROM stream_catalogue WHERE stream_id = ?1").unwrap();
        select.query_map([stream], |row| row.get::<_, i64>(0)).unwrap().next().map(Result::unwrap)
    };
    let rebuild = |more: &[&str]| {
        world.run(&[&["projections", "rebuild", "stream_catalogue", "--reason", "forged"], more].concat())
    };
    let told = rebuild(&["--stream", "a", "--stream", "b/c", "--dry-run"]);
    assert_eq!(told.code, Some(9), "{told:?}");
    for line in
        ["stream_catalogue a of stream a (events)", "before no row", "1 row added, 0 removed, 1 changed"]
    {
        assert!(told.out.contains(line), "{line}: {told:?}");
    }
    assert_eq!([events("a"), events("b/c")], [Some(99), None], "a dry run changes nothing");

    let streams = world.file("streams.txt", "a\n\n  b/c\n");
    let [rebuilt] = &rebuild(&["--streams-from", streams.to_str().unwrap(), "--json"]).json()[..] else {
        panic!()
    };
    assert_eq!((&rebuilt["added"], &rebuilt["changed"]), (&json!(1), &json!(1)), "{rebuilt}");
    assert_eq!(["a", "b/c", "d"].map(events), [Some(1), Some(1), Some(99)], "another stream stays as it is");
    let right = rebuild(&["--stream", "a", "--dry-run"]).ok();
    assert!(right.contains("0 rows added, 0 removed, 0 changed, 1 right"), "{right}");
    let audit = world.run(&["projections", "audit", "stream_catalogue", "--json"]).json().remove(0);
    assert_eq!(audit["audit"].as_array().unwrap().len(), 1, "{audit}");
    assert_eq!(
        (&audit["audit"][0]["action"], &audit["audit"][0]["reason"]),
        (&json!("rebuild_streams"), &json!("forged"))
    );

    let wrong = world.file("wrong.txt", "a\n \u{1}\n");
    for (line, code, said) in [
        (&["rebuild", "statistics", "--stream", "a"][..], 11, "needs the global order (Order::Log)"),
        (&["rebuild", "stream_catalogue", "--stream", "typo"], 4, "there is no stream \"typo\""),
        (&["rebuild", "stream_catalogue", "--stream", "a", "--side-by-side"], 2, "--side-by-side"),
        (&["rebuild", "stream_catalogue", "--streams-from", "nowhere.txt"], 5, "nowhere.txt"),
        (&["rebuild", "stream_catalogue", "--streams-from", wrong.to_str().unwrap()], 3, "line 2"),
    ] {
        let failed = world.run(&[&["projections"], line].concat()).failed(code);
        assert!(failed.contains(said), "{line:?}: {failed}");
    }
}

#[test]
fn a_read_model_is_verified_quickly_by_its_fingerprint() {
    let mut world = World::new();
    let quick = |world: &World, more: &[&str]| {
        world.run(&[&["projections", "verify", "stream_catalogue", "--quick"], more].concat())
    };
    let said = quick(&world, &[]).failed(11);
    assert!(said.contains("keeps no fingerprint"), "{said}");
    world.server = Server::start_with(world.folder.path().join("fingerprints"), &["--fingerprints"]);
    for stream in ["a", "b", "c"] {
        world.run(&["commit", stream, "--event", "1", "--wait-for", "stream_catalogue"]).ok();
    }
    let status = of(&world, "stream_catalogue");
    let kept = status["fingerprint"].as_str().unwrap().to_owned();
    let check = quick(&world, &["--json"]).json().remove(0);
    assert_eq!(check, json!({"checkpoint": 3, "rows": 3, "kept": kept, "found": kept}));
    assert!(world.run(&["projections", "status", "stream_catalogue"]).ok().contains(&format!("3:{kept}")));

    quick(&world, &["--against", &format!("3:{kept}")]).ok();
    let other = "0".repeat(32);
    for (against, code, told) in [
        (format!("3:{other}"), 9, "different rows at checkpoint 3"),
        (format!("2:{kept}"), 1, "at the same checkpoint only"),
        ("3".to_owned(), 2, "a colon in between"),
        ("3:x".to_owned(), 2, "32 digits"),
    ] {
        let ran = quick(&world, &["--against", &against]);
        assert!(ran.code == Some(code) && ran.err.contains(told), "{against}: {ran:?}");
    }

    let file = world.server.data().join("read-models/stream_catalogue.db");
    let rows = ees_projector::sqlite::rusqlite::Connection::open(file).unwrap();
    rows.execute_batch("DELETE FROM stream_catalogue").unwrap();
    let changed = quick(&world, &[]);
    assert!(changed.out.contains(&format!("keeps {kept}")), "{changed:?}");
    let told = "are not those that the projection has written";
    assert!(changed.code == Some(9) && changed.err.contains(told), "{changed:?}");
    world.run(&["projections", "rebuild", "stream_catalogue", "--reason", "it was changed"]).ok();
    quick(&world, &["--against", &format!("3:{kept}")]).ok();
}

#[test]
fn what_each_projection_did_with_a_changeset_is_told() {
    let world = World::new();
    world.run(&["commit", "a", "--event", "1", "--wait-for", "statistics"]).ok();
    world.run(&["projections", "status", "stream_catalogue", "--min-checkpoint", "1"]).ok();
    world.run(&["projections", "pause", "stream_catalogue"]).ok();
    for stream in ["b", "c"] {
        world.run(&["commit", stream, "--event", "1", "--wait-for", "statistics"]).ok();
    }
    let of = |stream: &str| {
        let told = world.run(&["projections", "passed", stream, "1", "--json"]).json().remove(0);
        let by_statistics = &told["projections"][0];
        assert_eq!(
            (&by_statistics["name"], &by_statistics["kind"]),
            (&json!("statistics"), &json!("projection"))
        );
        assert_eq!(by_statistics["verdict"], "passed");
        let time =
            |name: &str| by_statistics[name].as_str().unwrap().parse::<ees_store::Timestamp>().unwrap();
        assert!(time("after") <= time("before") && time("before") <= ees_store::Timestamp::now(), "{told}");
        told["projections"][1].clone()
    };
    assert_eq!(of("a")["verdict"], "passed");
    let paused = of("b");
    assert_eq!(paused["verdict"], "paused_before");
    // When it was paused, it was past the first one.
    let audit = world.run(&["projections", "audit", "stream_catalogue", "--json"]).json().remove(0);
    assert_eq!(of("a")["before"], audit["audit"][0]["at"]);
    let later = of("c");
    assert_eq!((&later["verdict"], &later["changesets_before"]), (&json!("not_yet"), &json!(1)), "{later}");
    world.run(&["projections", "skip", "stream_catalogue", "1", "--reason", "broken"]).ok();
    let skipped = of("b");
    let audit = world.run(&["projections", "audit", "stream_catalogue", "--json"]).json().remove(0);
    assert_eq!(
        (&skipped["verdict"], &skipped["at"]),
        (&json!("skipped"), &audit["audit"][0]["at"]),
        "{skipped}"
    );
    let text = world.run(&["projections", "passed", "b", "1"]).ok();
    assert!(text.contains("stream_catalogue") && text.contains("an operator left it out"), "{text}");
    for (stream, changeset, why) in
        [("a", "2", "stream \"a\" has no changeset 2"), ("nothing", "1", "there is no stream \"nothing\"")]
    {
        let said = world.run(&["projections", "passed", stream, changeset]).failed(5);
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_read_model_is_built_as_it_was_from_the_command_line() {
    let world = World::new();
    for stream in ["a", "b", "c"] {
        world.run(&["commit", stream, "--event", "1", "--wait-for", "statistics"]).ok();
    }
    let log = world.run(&["tail", "--since-start", "--no-follow", "--json"]).json();
    let time = log[2]["timestamp"].as_str().unwrap();
    let at =
        |more: &[&str]| world.run(&[&["projections", "at", "statistics", "--into", "then"], more].concat());
    assert_eq!(at(&["--time", time]).ok(), "then is statistics as of checkpoint 2\n");
    let copy =
        ees_projector::sqlite::rusqlite::Connection::open(world.server.data().join("read-models/then.db"))
            .unwrap();
    let totals: String = copy.query_row("SELECT state FROM statistics", [], |row| row.get(0)).unwrap();
    assert!(totals.contains(r#""total_streams":2"#), "{totals}");
    drop(copy);
    for (more, code, told) in [
        (&["--checkpoint", "4"][..], 4, "the log ends before checkpoint 3"),
        (&["--checkpoint", "1"], 4, "has statistics at checkpoint 2"),
        (&["--time", "2999-01-01T00:00:00Z"], 3, "in the future"),
        (&[], 2, "--checkpoint"),
    ] {
        let said = at(more).failed(code);
        assert!(said.contains(told), "{more:?}: {said}");
    }
    assert_eq!(at(&["--drop"]).ok(), "then is dropped\n");
    assert!(!world.server.data().join("read-models/then.db").exists());
    let said = at(&["--drop"]).failed(4);
    assert!(said.contains("there is no file"), "{said}");
}
