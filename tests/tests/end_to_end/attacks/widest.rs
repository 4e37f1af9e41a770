//! Attack 3: the widest and the deepest changesets that a store takes, on every route that returns them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use ees_test_postgres::TestDatabase;
use ees_tests::{Server, run};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::wire::{connect, get, post, request};

/// A changeset's events and metadata have at most so many bytes.
const LIMIT_BYTES: usize = 1024 * 1024;
const LEVELS: usize = 128;
/// What an answer has at most, but for one changeset that has more.
const ANSWER_BYTES: usize = 4 * 1024 * 1024 + 64 * 1024;

/// A line of an export, whose events may be too deep for a parser of values.
#[derive(Deserialize)]
struct Line {
    stream_id: String,
    events: Box<RawValue>,
}

/// Events as a JSON array of the most bytes that fit.
fn widest() -> Vec<(&'static str, String)> {
    let room = LIMIT_BYTES - 2;
    let repeated = |item: &str| format!("[{}]", vec![item; (room - 1) / (item.len() + 1)].join(","));
    let deep = format!("{}{}", "[".repeat(LEVELS), "]".repeat(LEVELS));
    let nested = format!("{}1{}", "{\"a\":".repeat(LEVELS), "}".repeat(LEVELS));
    let key = format!("[{{\"{}\":1}}]", "k".repeat(room - 9));
    let escaped = format!("[\"{}\"]", "\\u0000".repeat((room - 5) / 6));
    let members: Vec<String> = (0..90_000).map(|number| format!("\"{number}\":0")).collect();
    vec![
        ("many", repeated("1")),
        ("empty-objects", repeated("{}")),
        ("deep", repeated(&deep)),
        ("nested", repeated(&nested)),
        ("key", key),
        ("escaped", escaped),
        ("members", format!("[{{{}}}]", members.join(","))),
        ("number", format!("[{}]", "9".repeat(room - 3))),
    ]
}

#[test]
fn the_widest_changesets_come_back_token_for_token_from_every_route() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().join("data"));
    let file = comes_back(&server);
    // What was exported is the same elsewhere.
    let (exported, again) = (folder.path().join("log.jsonl.gz"), folder.path().join("again.jsonl.gz"));
    std::fs::write(&exported, file).unwrap();
    let other = Server::start(folder.path().join("other"));
    run(other.ees(&["import"]).arg(&exported)).ok();
    run(other.ees(&["export"]).arg(&again)).ok();
    let lines = |server: &Server| run(&mut server.ees(&["export", "-"])).ok();
    // By stream: an import sends several streams at a time, so their order in the log may be another one.
    let events = |lines: String| -> BTreeMap<String, String> {
        let line = |line| serde_json::from_str::<Line>(line).map(|it| (it.stream_id, it.events.to_string()));
        lines.lines().map(|text| line(text).unwrap()).collect()
    };
    assert!(events(lines(&server)) == events(lines(&other)), "the import has other events");
    run(&mut server.ees(&["check"])).ok();
}

#[test]
fn the_widest_changesets_come_back_token_for_token_from_every_route_on_postgresql() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    comes_back(&Server::start_with(folder.path().join("data"), &["--store", database.url()]));
}

/// Commits the widest changesets and reads them on every route. Returns the export of the log.
fn comes_back(server: &Server) -> Vec<u8> {
    let all = widest();
    let mut events = 0;
    for (number, (stream, list)) in all.iter().enumerate() {
        assert!(list.len() + 2 <= LIMIT_BYTES, "{stream}: {}", list.len());
        // In turns, by each of the two ways in.
        let answer = match number % 2 {
            0 => post(server, &format!("/streams/{stream}"), &format!("{{\"events\":{list}}}")),
            _ => post(server, "/changesets", &format!("{{\"stream_id\":\"{stream}\",\"events\":{list}}}\n")),
        };
        assert!(
            answer.status == 200 && answer.body.contains("\"changeset_id\":1"),
            "{stream}: {}",
            answer.body
        );
        events += count(list);
        let conflict = post(server, &format!("/streams/{stream}"), "{\"events\":[1]}");
        assert!(conflict.status == 409 && conflict.body.contains(list), "{stream}: a conflict shows it");
        let filling = "1".repeat(LIMIT_BYTES - list.len());
        let more = format!("{{\"events\":{},{filling}]}}", &list[..list.len() - 1]);
        let refused = post(server, &format!("/streams/{stream}-more"), &more);
        assert_eq!(refused.status, 413, "{stream}: {}", refused.body);
        for indented in ["", "?pp=true"] {
            let target = format!("/streams/{stream}/changesets{indented}");
            let read = get(server, &target);
            let compact = read.body.contains(list);
            assert!(read.status == 200 && (compact || !indented.is_empty()), "{target}: {}", read.status);
            assert!(read.body.len() <= ANSWER_BYTES, "{target}: {} bytes", read.body.len());
        }
        last_events(server, stream, list);
        followed(server, &format!("/streams/{stream}/changesets"), list);
    }
    the_log(server, &all);
    for name in ["statistics", "stream_catalogue"] {
        let count = all.len().to_string();
        let reached = ["projections", "status", name, "--min-checkpoint", &count, "--timeout", "60"];
        run(&mut server.ees(&reached)).ok();
    }
    let totals = server.get_json("/streams");
    assert_eq!((&totals["total_changesets"], &totals["total_events"]), (&json!(all.len()), &json!(events)));
    for (stream, _) in &all {
        // What made the row of the stream: one changeset, whose events are too large to be shown.
        let explained = get(server, &format!("/projections/stream_catalogue/explain?key={stream}"));
        assert!(
            explained.status == 200 && explained.body.contains("\"steps_total\":1,"),
            "{stream}: {}",
            explained.status
        );
        assert!(explained.body.len() < 64 * 1024, "{stream}: {} bytes", explained.body.len());
    }
    let listed = get(server, "/stream-list");
    assert!(listed.status == 200 && listed.body.contains("empty-objects"), "{}", listed.body);

    // The client of the command, which parses what it reads.
    let tailed = run(&mut server.ees(&["tail", "--since-start", "--no-follow", "--json"])).ok();
    for (stream, list) in &all {
        assert!(tailed.contains(list.as_str()), "{stream} in `ees tail`");
        let read = run(&mut server.ees(&["read", stream, "--json"])).ok();
        assert!(!read.is_empty(), "{stream} in `ees read`");
    }
    run(&mut server.ees(&["export", "-"])).ok().into_bytes()
}

/// How many elements a JSON array has.
fn count(list: &str) -> usize {
    serde_json::from_str::<Vec<&RawValue>>(list).map_or_else(|error| panic!("{error}"), |all| all.len())
}

/// The end of the stream by events, and a page out of its middle.
fn last_events(server: &Server, stream: &str, list: &str) {
    let count = count(list);
    let last = get(server, &format!("/streams/{stream}/events?from={count}"));
    assert!(last.status == 200 && last.body.contains(&format!("\"id\":{count}")), "{stream}");
    let page = get(server, &format!("/streams/{stream}/events?from={}&limit=1000", count / 2 + 1));
    assert!(page.status == 200 && page.body.len() <= ANSWER_BYTES, "{stream}: {} bytes", page.body.len());
}

/// All pages of the log, in an answer of a bounded size each.
fn the_log(server: &Server, all: &[(&str, String)]) {
    for filter in ["", "&event_type=none", "&include=position"] {
        let (mut next, mut found) = (0, 0);
        while next < all.len() as u64 {
            let page = get(server, &format!("/changesets?checkpoint={next}&limit=1000{filter}"));
            assert_eq!(page.status, 200, "{filter}: {}", page.body);
            assert!(page.body.len() <= ANSWER_BYTES, "{filter}: {} bytes", page.body.len());
            found += all.iter().filter(|(_, list)| page.body.contains(list.as_str())).count();
            let (_, after) = page.body.rsplit_once("\"next_checkpoint\":").unwrap();
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            let reached = digits.parse().unwrap();
            assert!(reached > next, "it goes on");
            next = reached;
        }
        assert_eq!(found, if filter.contains("none") { 0 } else { all.len() }, "{filter}");
    }
    let mut following = follow(server, "/changesets");
    for (stream, list) in all {
        following.read_until(list, stream);
    }
}

/// The event stream of one stream has the changeset as well.
fn followed(server: &Server, target: &str, list: &str) {
    follow(server, target).read_until(list, target);
}

fn follow(server: &Server, target: &str) -> Following {
    let mut connection = connect(server);
    connection.write_all(&request("GET", target, &[("Accept", "text/event-stream")], "")).unwrap();
    Following { connection: BufReader::new(connection), told: String::new() }
}

/// An event stream, without the chunks in which it is transferred.
struct Following {
    connection: BufReader<TcpStream>,
    told: String,
}

impl Following {
    /// Reads on until this was in it.
    fn read_until(&mut self, wanted: &str, what: &str) {
        while !self.told.contains(wanted) {
            let mut line = String::new();
            self.connection.read_line(&mut line).unwrap_or_else(|error| panic!("{what}: {error}"));
            // The lines of the head have a colon each, but for the first and the last.
            let Ok(bytes) = usize::from_str_radix(line.trim_end(), 16) else { continue };
            assert!(bytes > 0, "{what}: the event stream ended");
            let mut chunk = vec![0; bytes + 2];
            self.connection.read_exact(&mut chunk).unwrap();
            self.told.push_str(std::str::from_utf8(&chunk[..bytes]).unwrap());
        }
    }
}
