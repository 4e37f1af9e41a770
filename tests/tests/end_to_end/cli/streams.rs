use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use ees_tests::{Killed, ees, run};
use serde_json::json;

use super::World;

#[test]
fn what_was_committed_reads_back() {
    let world = World::new();
    let first = world.run(&["commit", "a/b", "--event", r#"{"type": "x", "n": 1.0}"#, "--event", "-7"]);
    assert_eq!(first.ok(), "a/b: changeset 1, checkpoint 0\n");
    let metadata = world.file("metadata.json", r#"{"user": "ada"}"#);
    let metadata = format!("@{}", metadata.display());
    let line =
        ["commit", "a/b", "--events", "-", "--metadata", &metadata, "--expected-last-event", "2", "--json"];
    let mut second = world.ees(&line);
    let mut second = second.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    second.stdin.take().unwrap().write_all(b"[ 3, 4 ]").unwrap();
    let said = String::from_utf8(second.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(said, "{\"stream_id\":\"a/b\",\"changeset_id\":2,\"checkpoint\":1}\n");

    let lines = world.run(&["read", "a/b", "--json"]).ok();
    assert!(lines.contains(r#""events":[{"type":"x","n":1.0},-7],"metadata":{}"#), "{lines}");
    assert!(
        lines.contains(r#""first_event_id":3"#) && lines.contains(r#""metadata":{"user":"ada"}"#),
        "{lines}"
    );
    let events = |more: &[&str]| {
        let line = [&["read", "a/b", "--events", "--json"], more].concat();
        world.run(&line).json().iter().map(|event| event["id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(events(&[]), [1, 2, 3, 4]);
    assert_eq!(events(&["--from", "2", "--to", "3"]), [2, 3]);
    assert_eq!(events(&["--from", "2", "--limit", "1"]), [2]);
    assert_eq!(world.run(&["read", "a/b", "--from", "2", "--json"]).json().len(), 1);
    let log = world.run(&["tail", "--since-start", "--no-follow", "--json"]).json();
    let last = log.iter().rfind(|it| it["stream_id"] == "a/b").unwrap();
    let time = last["timestamp"].as_str().unwrap();
    let since = |more: &[&str]| world.run(&[&["read", "a/b", "--json"], more].concat());
    assert_eq!(since(&["--since", time]).ok(), since(&["--from", "2"]).ok());
    let event = since(&["--events", "--since", time]).json();
    assert_eq!(event, since(&["--events"]).json()[2..]);
    let refused = since(&["--since", "2999-01-01T00:00:00Z"]).failed(3);
    assert!(refused.contains("--since") && refused.contains("in the future"), "{refused}");
    let text = world.run(&["read", "a/b"]).ok();
    assert!(text.contains("a/b changeset 2") && !text.contains('\u{1b}'), "no colours into a pipe: {text}");
}

#[test]
fn each_kind_of_failure_has_its_exit_code_and_one_line() {
    let world = World::new();
    let line = ["commit", "a", "--event", "1", "--stream-type", "account", "--idempotency-key", "k"];
    assert_eq!(world.run(&line).ok(), world.run(&line).ok(), "the same commit, sent again");
    for (line, code, told) in [
        (&["commit", "a", "--event", "2"][..], 4, "outdated"),
        (&["commit", "a", "--event", "2", "--expected-last-changeset", "7"], 4, "most recent changeset is 1"),
        (&["commit", "a", "--event", "{"], 3, "line 1"),
        (&["commit", "a", "--events", "[]"], 3, "at least one"),
        (&["commit", "a", "--event", "1", "--metadata", "[]"], 3, "object"),
        (&["commit", "a", "--events", "@missing.json"], 5, "missing.json"),
        (&["commit", "a"], 2, "--event"),
        (&["commit", "", "--event", "1"], 2, "empty"),
        (&["read", "nothing"], 5, "nothing"),
        (&["read", "a", "--url", "http://127.0.0.1:1"], 6, "http://127.0.0.1:1"),
        (&["read", "a", "--url", "nonsense"], 2, "http://"),
        (&["read", "a", "--url", "127.0.0.1:1"], 6, "http://127.0.0.1:1"),
        (&["projections", "swap", "statistics"], 4, "no standby"),
        (&["projections", "partition", "stream_catalogue", "2"], 11, "database"),
        (&["backup", "copy.db", "--store", "memory:"], 11, "memory"),
        (&["check", "--data", "elsewhere"], 2, "--data goes with --keys"),
        (&["check", "--store", "memory:"], 2, "--store goes with --keys"),
        (&["effects", "list", "statistics"], 4, "is a projection and has no effects"),
        (&["effects", "retry", "statistics"], 4, "is a projection"),
        (&["effects", "list", "statistcs"], 5, "statistics"),
        (&["timers", "list", "statistics"], 4, "is a projection and has no effects"),
        (&["timers", "cancel", "statistics", "a", "k", "--reason", "x"], 4, "is a projection"),
        (&["projections", "status", "nothing"], 5, "statistics"),
        (&["projections", "status", "statistics", "--min-checkpoint", "99", "--timeout", "0.1"], 8, "99"),
        (&["projections", "skip", "statistics", "0", "--reason", "x"], 4, "skipped"),
        (&["bogus"], 2, "bogus"),
    ] {
        let said = world.run(line).failed(code);
        assert!(said.starts_with("error: ") && said.contains(told), "{line:?}: {said}");
        let as_json = world.run(&[line, &["--json"]].concat()).failed(code);
        let as_json: serde_json::Value = serde_json::from_str(&as_json).unwrap();
        assert!(
            as_json["error"].is_string() && as_json["message"].as_str().unwrap().contains(told),
            "{as_json}"
        );
    }
}

#[test]
fn a_commit_can_wait_until_it_is_to_be_seen() {
    let world = World::new();
    for n in 1..=20 {
        let stream = format!("stream-{n}");
        world.run(&["commit", &stream, "--event", "1", "--wait-for", "statistics"]).ok();
        assert_eq!(world.get_json("/streams")["total_streams"], n);
    }
}

#[test]
fn a_wait_that_can_not_succeed_is_refused_before_the_commit() {
    let world = World::new();
    world.run(&["projections", "pause", "stream_catalogue", "--reason", "lunch"]).ok();
    for (name, code, told) in
        [("statistic", 5, "did you mean \"statistics\"?"), ("stream_catalogue", 4, "is paused")]
    {
        let said = world.run(&["commit", "a", "--event", "1", "--wait-for", name]).failed(code);
        assert!(said.contains("nothing was committed") && said.contains(told), "{said}");
    }
    world.run(&["read", "a"]).failed(5);
}

#[test]
fn a_wait_that_fails_after_the_commit_says_that_the_commit_is_stored() {
    let world = World::new();
    // While somebody else writes into its read model, the projection applies nothing.
    let read_model = rusqlite::Connection::open(world.data().join("read-models/statistics.db")).unwrap();
    read_model.execute_batch("BEGIN IMMEDIATE").unwrap();
    let line = ["commit", "a", "--event", "1", "--wait-for", "statistics", "--timeout", "0.1"];
    let stored = world.run(&line);
    assert_eq!(
        (stored.code, stored.out.as_str()),
        (Some(10), "a: changeset 1, checkpoint 0\n"),
        "{stored:?}"
    );
    assert!(stored.err.contains("committed as changeset 1 of \"a\", but "), "{stored:?}");
    let wait =
        "do not commit again; wait with `ees projections status 'statistics' --stream 'a' --changeset 1 ";
    assert!(stored.err.contains(wait), "{stored:?}");
    let stored = world.run(&[&line[..], &["--expected-last-changeset", "1", "--json"]].concat());
    let told: serde_json::Value = serde_json::from_str(&stored.err).unwrap();
    assert_eq!((stored.code, &told["error"]), (Some(10), &json!("TIMEOUT")));
    assert_eq!(
        (&told["stream_id"], &told["changeset_id"], &told["checkpoint"]),
        (&json!("a"), &json!(2), &json!(1))
    );
}

#[test]
fn a_commit_whose_result_can_not_be_printed_says_that_it_is_stored() {
    let world = World::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let committed = world.ees(&["commit", "it's", "--event", "1", "--json"]).stdout(full).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&committed.stderr).unwrap();
    assert_eq!((committed.status.code(), &told["changeset_id"]), (Some(10), &json!(1)), "{told}");
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("committed as changeset 1 of \"it's\", but standard output"), "{told}");
    assert_eq!(told["hint"], "do not commit again");
    world.run(&["read", "it's"]).ok();
}

#[test]
fn a_conflict_says_where_the_stream_ends_and_what_to_type_next() {
    let world = World::new();
    for last in ["0", "1"] {
        let line = ["commit", "a b", "--event", "1", "--event", "2", "--expected-last-changeset", last];
        world.run(&line).ok();
    }
    let said = world.run(&["commit", "a b", "--event", "3"]).failed(4);
    for told in [
        "(0) is outdated",
        "ends with changeset 2 (event 4)",
        "`ees read 'a b' --from 1`",
        "commit with --expected-last-changeset 2",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    let said = world.run(&["commit", "a b", "--event", "3", "--expected-last-event", "1"]).failed(4);
    assert!(said.contains("`ees read 'a b' --events --from 2`"), "{said}");
    assert!(said.contains("commit with --expected-last-event 4"), "{said}");
    let said = world.run(&["commit", "a b", "--event", "3", "--expected-last-changeset", "9"]).failed(4);
    assert!(said.contains("commit with --expected-last-changeset 2"), "{said}");

    let number = r#"{"n":1.0,"n":2e4}"#;
    world.run(&["commit", "c", "--event", number]).ok();
    let told = world.run(&["commit", "c", "--event", "3", "--json"]).failed(4);
    assert!(told.contains(&format!(r#""events":[{number}]"#)), "token for token: {told}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["error"], "OPTIMISTIC_CONCURRENCY_EXCEPTION");
    assert_eq!(
        (&told["stream_id"], &told["forthcoming_changesets"][0]["changeset_id"]),
        (&json!("c"), &json!(1))
    );
    assert!(told["hint"].as_str().unwrap().contains("--expected-last-changeset 1"), "{told}");
}

#[test]
fn a_server_that_is_down_is_waited_for_and_that_is_said() {
    let mut world = World::new();
    world.run(&["commit", "a", "--event", "1"]).ok();
    world.server.stop();
    for line in [
        &["tail", "--no-follow"][..],
        &["export", "-"],
        &["import", "-"],
        &["projections", "rebuild", "statistics"],
        &["projections", "verify", "statistics"],
    ] {
        let mut waiting = world.ees(line);
        let mut waiting = Killed(waiting.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
        let mut told = String::new();
        BufReader::new(waiting.0.stderr.take().unwrap()).read_line(&mut told).unwrap();
        assert!(told.starts_with("waiting for the server for 30 s, until "), "{line:?}: {told}");
        assert!(told.contains(&world.url()), "{line:?}: {told}");
    }
    let mut waiting = world.ees(&["tail", "--since-start", "--no-follow"]);
    let mut waiting = waiting.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut err = BufReader::new(waiting.stderr.take().unwrap());
    err.read_line(&mut String::new()).unwrap();
    world.server.start_again();
    let ended = waiting.wait_with_output().unwrap();
    let mut more = String::new();
    err.read_line(&mut more).unwrap();
    assert!(ended.status.success() && more.is_empty(), "one line for each outage: {more}");
    assert!(String::from_utf8(ended.stdout).unwrap().contains("a changeset 1"));
}

#[test]
fn tail_prints_what_is_there_and_then_what_comes() {
    let world = World::new();
    for (stream, event) in [("a", r#"{"type":"x"}"#), ("b", r#"{"type":"y"}"#)] {
        world.run(&["commit", stream, "--event", event, "--stream-type", stream]).ok();
    }
    let streams = |more: &[&str]| {
        let line = [&["tail", "--no-follow", "--json"], more].concat();
        let lines = world.run(&line).json();
        lines.iter().map(|line| line["stream_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(streams(&["--since-start"]), ["a", "b"]);
    assert_eq!(streams(&["-n", "1"]), ["b"]);
    assert_eq!(streams(&["--from", "1"]), ["b"]);
    assert_eq!(streams(&["--event-type", "x"]), ["a"]);
    assert_eq!(streams(&["--stream-type", "b"]), ["b"]);

    let mut following = world.ees(&["tail", "--json"]);
    let mut following = Killed(following.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(following.0.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<serde_json::Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((next()["checkpoint"].as_u64(), next()["checkpoint"].as_u64()), (Some(0), Some(1)));
    world.run(&["commit", "c", "--event", "3"]).ok();
    let new = next();
    assert_eq!(
        (&new["stream_id"], &new["events"], &new["checkpoint"]),
        (&json!("c"), &json!([3]), &json!(2))
    );
}

#[test]
fn a_reader_that_ends_early_is_no_error() {
    let world = World::new();
    // More than a pipe holds.
    let event = format!("\"{}\"", "x".repeat(200_000));
    let file = world.file("event.json", &format!("[{event}]"));
    world.run(&["commit", "a", "--events", &format!("@{}", file.display())]).ok();
    for line in [&["tail", "--no-follow"][..], &["read", "a", "--json"], &["export", "-"]] {
        let mut reading = world.ees(line);
        let mut reading = reading.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(reading.stdout.take());
        let ended = reading.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()), "{line:?}");
    }
}

#[test]
fn help_and_completions_name_every_command() {
    let help = run(&mut ees(&["--help"])).ok();
    let completions = run(&mut ees(&["completions", "bash"])).ok();
    for name in [
        "serve",
        "commit",
        "read",
        "tail",
        "import",
        "export",
        "backup",
        "projections",
        "api-key",
        "[COMMAND]",
    ] {
        let in_completions = name.starts_with('[') || completions.contains(name);
        assert!(help.contains(name) && in_completions, "{name}");
    }
    assert!(help.contains("Exit codes"));
    assert_eq!(run(&mut ees(&["--version"])).ok(), concat!("ees ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_log_is_read_from_a_time_on() {
    let world = World::new();
    for stream in ["a", "b", "c"] {
        world.run(&["commit", stream, "--event", "1"]).ok();
    }
    let all = world.run(&["tail", "--since-start", "--no-follow", "--json"]).json();
    let time = all[1]["timestamp"].as_str().unwrap();
    assert_eq!(world.run(&["tail", "--since", time, "--no-follow", "--json"]).json(), all[1..]);
    assert_eq!(world.run(&["export", "-", "--since", time]).json(), all[1..]);
    assert_eq!(world.run(&["export", "-", "--since", "7d"]).json(), all);
    for (line, code, told) in [
        (
            &["tail", "--since", "2999-01-01T00:00:00Z"][..],
            3,
            "--since: 2999-01-01T00:00:00.000000Z is in the future",
        ),
        (&["export", "-", "--since", "2999-01-01T00:00:00Z"], 3, "is in the future"),
        (&["tail", "--since", "yesterday"], 2, "RFC 3339"),
        (&["tail", "--since", "1h", "--from", "1"], 2, "--from"),
    ] {
        let said = world.run(line).failed(code);
        assert!(said.contains(told), "{line:?}: {said}");
    }
}
