use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use ees_tests::{Killed, Server, ees, run};
use serde_json::json;

use super::World;

#[test]
fn it_prints_one_line_and_ends_cleanly_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = ees(&["--listen", "127.0.0.1:0"]);
    command.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Killed(command.spawn().unwrap());
    let mut out = BufReader::new(server.0.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let url = line.trim_end().strip_prefix("listening on ").unwrap();
    assert!(!url.ends_with(":0"), "the port that the system chose: {url}");
    run(&mut ees(&["commit", "a", "--event", "1", "--url", url])).ok();

    assert_eq!(server.terminate().code(), Some(0));
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "the line is the only one");
    let mut hints = String::new();
    server.0.stderr.take().unwrap().read_to_string(&mut hints).unwrap();
    let data = folder.path().join("data");
    for told in
        [data.to_str().unwrap(), "only this machine", &format!("{url}/docs"), &format!("curl -w '\\n' {url}")]
    {
        assert!(hints.contains(told), "{told} is not in {hints}");
    }
    assert!(data.join("log.db").exists() && !data.join("log.db-wal").exists(), "the store is closed");
}

#[test]
fn asked_twice_it_does_not_wait_for_what_was_accepted() {
    let mut command = ees(&["--listen", "127.0.0.1:0", "--store", "memory:"]);
    let mut server = Killed(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut caller =
        TcpStream::connect(line.trim_end().strip_prefix("listening on http://").unwrap()).unwrap();
    let head =
        "POST /streams/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    caller.write_all(head.as_bytes()).unwrap();
    BufReader::new(caller.try_clone().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("100 Continue"), "it waits for the body: {line}");

    server.ask_to_end();
    let mut log = BufReader::new(server.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(log.any(|line| line.contains("stopping")));
    assert_eq!(server.0.try_wait().unwrap(), None);
    assert_eq!(server.terminate().code(), Some(130));
}

#[test]
fn what_was_answered_is_there_after_it_was_asked_to_end() {
    let mut world = World::new();
    let url = world.url();
    let committing: Vec<_> = (0..4)
        .map(|writer| {
            let url = url.clone();
            thread::spawn(move || {
                let stream = format!("writer-{writer}");
                let commit = |last: u64| {
                    let last = last.to_string();
                    let line = ["commit", &stream, "--event", "1", "--expected-last-changeset", &last];
                    run(ees(&line).env("EES_URL", &url))
                };
                (0..).take_while(|last| commit(*last).code == Some(0)).count()
            })
        })
        .collect();
    world.run(&["commit", "writers-are-at-it", "--event", "1"]).ok();
    assert_eq!(world.server.stop().code(), Some(0));
    let answered: Vec<_> = committing.into_iter().map(|writer| writer.join().unwrap()).collect();
    world.server.start_again();
    for (writer, answered) in answered.into_iter().enumerate().filter(|(_, answered)| *answered > 0) {
        let stored = world.run(&["read", &format!("writer-{writer}"), "--json"]).json().len();
        assert!(stored >= answered, "{stored} of {answered}");
    }
}

#[test]
fn a_killed_server_goes_on_where_it_was() {
    let mut world = World::new();
    world.run(&["commit", "a", "--event", "1"]).ok();
    world.server.kill_and_restart();
    let again = world.run(&["commit", "a", "--event", "2", "--expected-last-changeset", "1", "--json"]);
    assert_eq!(again.json(), [json!({"stream_id": "a", "changeset_id": 2, "checkpoint": 1})]);
}

#[test]
fn without_keys_it_does_not_listen_to_others_unless_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let line = ["serve", "--listen", "0.0.0.0:0", "--data"];
    let refused = run(ees(&line).arg(folder.path())).failed(2);
    assert!(refused.contains("EES_API_KEYS") && refused.contains("--insecure-bind"), "{refused}");

    let mut command = ees(&line);
    command.arg(folder.path()).arg("--insecure-bind").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Killed(command.spawn().unwrap());
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    assert!(server.terminate().success());
    let mut hints = String::new();
    server.0.stderr.take().unwrap().read_to_string(&mut hints).unwrap();
    assert!(hints.contains("INSECURE"), "{hints}");
}

#[test]
fn a_key_lets_in_what_its_scopes_allow() {
    let made = |scopes| run(&mut ees(&["api-key", "--scopes", scopes, "--json"])).json().remove(0);
    let (read, commit) = (made("read"), made("read+commit"));
    let folder = tempfile::tempdir().unwrap();
    let keys = format!("{},{}", read["entry"].as_str().unwrap(), commit["entry"].as_str().unwrap());
    let server = Server::start_with(folder.path(), &["--api-keys", &keys]);

    let line = ["commit", "a", "--event", "1"];
    run(&mut server.ees(&line)).failed(7);
    let told = run(server.ees(&line).env("EES_API_KEY", read["key"].as_str().unwrap())).failed(7);
    assert!(told.contains("commit"), "{told}");
    run(server.ees(&line).env("EES_API_KEY", commit["key"].as_str().unwrap())).ok();
    assert_eq!(server.get_json("/health/ready")["status"], "ready");
    assert_eq!(server.get_json("/changesets")["error"], "UNAUTHORIZED");
}

#[test]
fn a_key_that_leaves_the_file_is_refused_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    std::fs::write(&file, "# of the shop\ncommit:of-the-shop\n\n# of ada\nadmin:of-ada,read:of-bob\n")
        .unwrap();
    let named = ["--api-keys-file", file.to_str().unwrap()];
    let server = Server::start_with(folder.path().join("data"), &named);
    let committed = |key, at| {
        let line = ["commit", "a", "--event", "1", "--expected-last-changeset", at];
        run(server.ees(&line).env("EES_API_KEY", key))
    };
    committed("of-the-shop", "0").ok();

    std::fs::write(&file, "raed:typo").unwrap();
    server.process().reload();
    committed("of-ada", "1").ok();

    std::fs::write(&file, "admin:of-ada").unwrap();
    server.process().reload();
    let deadline = Instant::now() + Duration::from_secs(15);
    while run(server.ees(&["read", "a"]).env("EES_API_KEY", "of-bob")).code == Some(0) {
        assert!(Instant::now() < deadline, "it still reads");
    }
    committed("of-the-shop", "2").failed(7);
    committed("of-ada", "2").ok();

    let both = ["serve", "--listen", "0", "--store", "memory:", "--api-keys", "a", named[0], named[1]];
    let told = run(&mut ees(&both)).failed(2);
    assert!(told.contains("EES_API_KEYS_FILE"), "{told}");
}

#[test]
fn a_second_server_is_told_that_the_log_is_in_use() {
    let world = World::new();
    let line = ["serve", "--listen", "127.0.0.1:0", "--data", world.data().to_str().unwrap()];
    let told = run(&mut ees(&line)).failed(1);
    assert!(told.contains("log.db") && told.contains("process"), "{told}");
    let taken = world.url().replace("http://", "");
    let told = run(&mut ees(&["serve", "--listen", &taken, "--store", "memory:"])).failed(1);
    assert!(told.contains(&taken) && told.contains("--listen"), "{told}");
    let port = taken.rsplit_once(':').unwrap().1;
    let told = run(&mut ees(&["serve", "--listen", port, "--store", "memory:"])).failed(1);
    assert!(told.contains("another process listens there"), "a port alone is one of this machine: {told}");
    let told = run(&mut ees(&["serve", "--listen", "localhost", "--store", "memory:"])).failed(2);
    assert!(told.contains("127.0.0.1:7070"), "{told}");
    let file = world.file("log.db", "");
    let told =
        run(&mut ees(&["serve", "--listen", "127.0.0.1:0", "--data", file.to_str().unwrap()])).failed(2);
    assert!(told.contains("is a file") && told.contains("sqlite:FILE"), "{told}");
}

#[test]
fn a_store_in_memory_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::start_with(&data, &["--store", "memory:"]);
    run(&mut server.ees(&["commit", "a", "--event", "1", "--wait-for", "statistics"])).ok();
    assert_eq!(server.get_json("/streams")["total_events"], 1);
    assert!(server.stop().success());
    assert!(!data.exists());
}

#[test]
fn the_projections_are_part_of_the_api() {
    let world = World::new();
    let names = world.get_json("/projections");
    assert_eq!(names["projections"][0]["name"], "statistics");
    assert_eq!(names["projections"][1]["name"], "stream_catalogue");
    assert!(world.get_json("/openapi.json")["paths"]["/projections/{name}/rebuild"].is_object());
}

#[test]
fn what_is_kept_for_a_while_goes_when_that_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let again = ["commit", "a", "--event", "1", "--idempotency-key", "once"];
    let mut server = Server::start(folder.path());
    run(&mut server.ees(&again)).ok();
    run(&mut server.ees(&again)).ok();
    run(&mut server.ees(&["projections", "pause", "statistics", "--reason", "lunch"])).ok();
    run(&mut server.ees(&["projections", "resume", "statistics"])).ok();
    assert_eq!(server.get_json("/projections/statistics/audit")["audit"].as_array().unwrap().len(), 2);
    assert!(server.stop().success());

    let server = Server::start_with(folder.path(), &["--keep-keys", "0s", "--keep-audit", "0s"]);
    run(&mut server.ees(&["commit", "b", "--event", "1"])).ok();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !server.get_json("/projections/statistics/audit")["audit"].as_array().unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the audit is still there");
        thread::sleep(Duration::from_millis(10));
    }
    // The key has expired, so the commit is an ordinary one, and its expectation is outdated.
    run(&mut server.ees(&again)).failed(4);
    let refused = run(ees(&["serve", "--keep-keys", "7"]).current_dir(folder.path())).failed(2);
    assert!(refused.contains("7d"), "{refused}");
}

#[test]
fn a_host_that_no_request_can_name_is_refused() {
    for hosts in ["ees.test:7070", "https://ees.test", "ees.test,"] {
        let line = ["serve", "--listen", "127.0.0.1:0", "--store", "memory:", "--hosts", hosts];
        let refused = run(&mut ees(&line)).failed(2);
        assert!(refused.contains("names without port, such as ees.internal"), "{refused}");
    }
}

#[test]
fn pages_of_named_origins_may_call_and_those_of_every_origin_with_keys_only() {
    let line = ["serve", "--listen", "127.0.0.1:0", "--store", "memory:", "--cors-origins"];
    let refused = |origins: &str| run(&mut ees(&[&line[..], &[origins]].concat())).failed(2);
    assert!(refused("*").contains("EES_API_KEYS"));
    assert!(refused("https://app.example.com/").contains("without a path"));
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--store", "memory:", "--cors-origins", "https://app.example.com"];
    let server = Server::start_with(folder.path(), &arguments);
    let mut stream = TcpStream::connect(server.url().strip_prefix("http://").unwrap()).unwrap();
    let request = "OPTIONS /streams/a HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example.com\r\n\
                   Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let head: Vec<_> = BufReader::new(stream).lines().map_while(Result::ok).collect();
    assert!(head.contains(&"access-control-allow-origin: https://app.example.com".to_owned()), "{head:?}");
}

#[test]
fn its_settings_say_under_which_names_it_answers_and_whether_it_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--store", "memory:", "--hosts", "ees.test, other.test", "--no-docs"];
    let server = Server::start_with(folder.path(), &arguments);
    let status = |path: &str, host: &str| {
        let mut stream = TcpStream::connect(server.url().strip_prefix("http://").unwrap()).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.split(' ').nth(1).unwrap().to_owned()
    };
    for (path, host, expected) in [
        ("/changesets", "localhost", "200"),
        ("/changesets", "ees.test", "200"),
        ("/changesets", "other.test:1", "200"),
        ("/changesets", "evil.example", "421"),
        ("/docs/", "localhost", "404"),
        ("/openapi.json", "localhost", "404"),
    ] {
        assert_eq!(status(path, host), expected, "{path} {host}");
    }
}
