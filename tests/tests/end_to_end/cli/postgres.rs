//! A store in PostgreSQL, behind one server and behind two.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use ees_test_postgres::TestDatabase;
use ees_tests::{Killed, Server, ees, run};
use serde_json::json;

/// Adds a password to the URL, if it has none.
fn with_password(url: &str) -> String {
    let has_one = url.matches(':').count() > 2;
    if has_one { url.to_owned() } else { url.replacen('@', ":secret@", 1) }
}

/// A server on this database, with a data folder of its own.
fn serve(database: &TestDatabase, folder: &tempfile::TempDir, name: &str) -> Server {
    Server::start_with(folder.path().join(name), &["--store", database.url()])
}

#[test]
fn a_store_in_postgresql_is_served_and_kept() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    let mut server = serve(&database, &folder, "data");
    let committed =
        run(&mut server.ees(&["commit", "a", "--event", r#"{"type":"opened"}"#, "--json"])).json();
    assert_eq!(committed, [json!({"stream_id": "a", "changeset_id": 1, "checkpoint": 0})]);
    run(&mut server.ees(&["commit", "a", "--event", "1", "--wait-for", "statistics"])).failed(4);
    let next = ["commit", "a", "--event", "2", "--expected-last-changeset", "1", "--wait-for", "statistics"];
    run(&mut server.ees(&next)).ok();
    assert_eq!(server.get_json("/streams")["total_changesets"], 2);

    assert!(server.stop().success());
    assert!(!server.data().join("log.db").exists());
    server.start_again();
    assert_eq!(run(&mut server.ees(&["read", "a", "--json"])).json().len(), 2);
    assert_eq!(run(&mut server.ees(&["tail", "--since-start", "--no-follow", "--json"])).json().len(), 2);
    server.kill_and_restart();
    assert_eq!(run(&mut server.ees(&["read", "a", "--json"])).json().len(), 2);
}

#[test]
fn statistics_whose_table_is_locked_are_to_be_asked_for_again() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&database, &folder, "data");
    run(&mut server.ees(&["commit", "a", "--event", r#"{"type":"opened"}"#, "--wait-for", "statistics"]))
        .ok();
    let hold = "BEGIN; LOCK TABLE statistics.statistics IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)";
    let held = "SELECT 'it is held' FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
        AND relation = 'statistics.statistics'::regclass";
    // With its connection the lock ends.
    let release =
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
        AND relation = 'statistics.statistics'::regclass";
    let (answer, took) = std::thread::scope(|scope| {
        let holder = scope.spawn(|| database.psql(hold));
        while !String::from_utf8(database.psql(held).stdout).unwrap().contains("it is held") {
            assert!(!holder.is_finished(), "the lock was taken");
        }
        let begun = Instant::now();
        let answer = server.get_json("/streams");
        let took = begun.elapsed();
        database.psql(release);
        (answer, took)
    });
    assert_eq!(answer["error"], "UNAVAILABLE", "{answer}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(server.get_json("/streams")["total_changesets"], 1);
}

#[test]
fn two_servers_on_one_database_are_one_store() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (serve(&database, &folder, "one"), serve(&database, &folder, "other"));
    let mut tail = other.ees(&["tail", "--json"]);
    let mut tail = Killed(tail.stdout(Stdio::piped()).spawn().unwrap());
    let mut tailed = BufReader::new(tail.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    for number in 0..20 {
        let (last, event) = (number.to_string(), format!("{{\"number\":{number}}}"));
        let (writes, reads) = if number % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let commit = ["commit", "a", "--event", &event, "--expected-last-changeset", &last];
        run(&mut writes.ees(&commit)).ok();
        let read = run(&mut reads.ees(&["read", "a", "--json"])).json();
        assert_eq!(read.len(), number + 1, "what was written there can be read here");
        assert!(tailed.next().unwrap().contains(&event), "who follows sees all, in order");
        run(&mut reads.ees(&commit)).failed(4);
    }
    for server in [&one, &other] {
        run(&mut server.ees(&["projections", "status", "statistics", "--min-checkpoint", "19"])).ok();
        assert_eq!(server.get_json("/streams")["total_events"], 20, "each has its own read models");
    }
}

#[test]
fn a_second_server_on_the_same_files_of_read_models_is_told_which_process_has_them() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    let files = format!("sqlite:{}", folder.path().join("files").display());
    let serve = |name: &str| {
        let data = folder.path().join(name);
        Server::start_with(data, &["--store", database.url(), "--read-models", &files])
    };
    let one = serve("one");
    run(&mut one.ees(&["commit", "a", "--event", "1", "--wait-for", "statistics"])).ok();
    let other = serve("other");
    let owner = format!("process {} runs \"statistics\" on", one.process().0.id());
    let begun = Instant::now();
    let told = loop {
        let status = run(&mut other.ees(&["projections", "status", "statistics"])).ok();
        if status.contains("stopped") {
            break status;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{status}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(told.contains(&owner) && told.contains("1 is next"), "{told}");
    let refused = ["commit", "b", "--event", "1", "--wait-for", "statistics"];
    assert!(run(&mut other.ees(&refused)).failed(4).contains(&owner));
    run(&mut one.ees(&refused)).ok();
}

#[test]
fn a_log_moves_into_postgresql_with_its_order() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    let from = Server::start(folder.path().join("from"));
    for stream in ["a", "b", "c"] {
        run(&mut from.ees(&["commit", stream, "--event", "1"])).ok();
    }
    let (file, again) = (folder.path().join("log.jsonl"), folder.path().join("again.jsonl"));
    run(from.ees(&["export"]).arg(&file)).ok();
    let import = || {
        let mut import = ees(&["import", "--keep-order", "--store", database.url(), "--json"]);
        run(import.arg(&file)).json().remove(0)
    };
    assert_eq!(import()["imported"], 3);
    assert_eq!(import()["already_there"], 3);
    let to = serve(&database, &folder, "to");
    run(to.ees(&["export"]).arg(&again)).ok();
    assert_eq!(std::fs::read(file).unwrap(), std::fs::read(again).unwrap());
}

#[test]
fn a_store_that_can_not_be_opened_is_told_without_the_password() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    let missing = with_password(&format!("{}_missing", database.url()));
    for (url, code, told) in [
        ("postgre://ada:secret@host/bank", 2, "postgres:"),
        ("postgres://ada:secret@host:x/bank", 2, "port"),
        ("postgres://ada:secret@127.0.0.1:1/bank", 6, "127.0.0.1:1/bank"),
        (&missing, 1, "does not exist"),
    ] {
        let mut serve = ees(&["serve", "--listen", "127.0.0.1:0", "--store", url]);
        let failed = run(serve.current_dir(folder.path())).failed(code);
        assert!(failed.contains(told) && !failed.contains("secret"), "{failed}");
    }
    let help = run(ees(&["serve", "--help"]).env("EES_STORE", "postgres://ada:secret@host/bank")).ok();
    assert!(help.contains("postgres://") && !help.contains("secret"), "{help}");
}

#[test]
fn the_password_is_not_in_the_log_and_not_in_the_hints() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    // The private server accepts any password. A given server may not, and the URL then has its own.
    let url = with_password(database.url());
    for format in ["text", "json"] {
        let mut command =
            ees(&["serve", "--listen", "127.0.0.1:0", "--log", "trace", "--log-format", format]);
        command.env("EES_STORE", &url).current_dir(folder.path());
        let mut server = Killed(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let log = server.0.stderr.take().unwrap();
        let log = std::thread::spawn(move || std::io::read_to_string(log).unwrap());
        let mut line = String::new();
        BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.trim_end().strip_prefix("listening on ").unwrap();
        run(&mut ees(&["commit", format, "--event", "1", "--url", at])).ok();
        assert!(server.terminate().success());
        let log = log.join().unwrap();
        assert!(log.contains(database.name()) && !log.contains("secret"), "{log}");
    }
}

#[test]
fn a_backup_is_left_to_pg_dump() {
    let database = TestDatabase::new_blocking();
    let told = run(&mut ees(&["backup", "copy.db", "--store", database.url()])).failed(11);
    assert!(told.contains("pg_dump"), "{told}");
}

#[test]
fn read_models_beside_the_store_are_rebuilt_side_by_side_rolled_back_and_verified() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (serve(&database, &folder, "one"), serve(&database, &folder, "other"));
    for number in 0..5 {
        let stream = format!("s{number}");
        run(&mut one.ees(&["commit", &stream, "--event", "1", "--wait-for", "stream_catalogue"])).ok();
    }
    let model = "stream_catalogue";
    let of = |server: &Server, arguments: &[&str]| {
        run(&mut server.ees(&[&["projections"], arguments, &[model]].concat()))
    };
    let estimate = of(&one, &["rebuild", "--dry-run", "--json"]).json().remove(0);
    assert_eq!(estimate["changesets"], 5);
    let built = of(&one, &["rebuild", "--side-by-side", "--verify", "--json"]).json().remove(0);
    assert_eq!(built["standby"]["plan"]["role"], "following");
    let stands_still = r#"ees_projection_standby_paused{projection="stream_catalogue"} 0.0"#;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !one.get_text("/metrics").contains(stands_still) {
        assert!(Instant::now() < deadline, "the read model beside the live one is not in the metrics");
        std::thread::sleep(Duration::from_millis(50));
    }
    of(&other, &["verify"]).ok();
    of(&one, &["swap"]).failed(4);
    of(&other, &["rollback", "--reason", "to see it"]).ok();
    let again = of(&one, &["rebuild", "--side-by-side", "--json"]).json().remove(0);
    assert_eq!(again["standby"]["plan"]["role"], "following");
    of(&one, &["discard"]).ok();
    of(&one, &["rollback"]).failed(4);

    let psql =
        database.psql("UPDATE stream_catalogue.stream_catalogue SET events = 7 WHERE stream_id = 's3'");
    assert!(psql.status.success(), "{psql:?}");
    let found = of(&other, &["verify"]);
    assert_eq!(found.code, Some(9));
    assert!(found.out.contains("changed row s3"), "{found:?}");
    assert_eq!(one.get_json("/streams")["total_changesets"], other.get_json("/streams")["total_changesets"]);
}
