//! Attack 2: 1,024 waiters on every route that waits, by GET and by HEAD and in percent-encoded forms.

use std::io::Write as _;
use std::net::TcpStream;

use ees_tests::{Server, run};

use super::wire::{ask, connect, get, metric, post, raise_file_limit, request, until};

const WAITERS: usize = 1_024;
/// What a server lets wait at a time, and how many event streams it has (`http::Limits`).
const WAITING_MAX: u64 = 256;
const SUBSCRIBERS_MAX: u64 = 1_024;

const EVENT_STREAM: &[(&str, &str)] = &[("Accept", "text/event-stream")];

/// A way to wait, and how many may at least be held at a time.
struct Way {
    method: &'static str,
    target: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    held: u64,
}

const fn polls(method: &'static str, target: &'static str) -> Way {
    Way { method, target, headers: &[], body: "", held: WAITING_MAX }
}

const fn follows(method: &'static str, target: &'static str, held: u64) -> Way {
    Way { method, target, headers: EVENT_STREAM, body: "", held }
}

const WAYS: [Way; 15] = [
    polls("GET", "/changesets?checkpoint=1000&wait=20"),
    polls("HEAD", "/changesets?checkpoint=1000&wait=20"),
    polls("GET", "/changesets?checkpoint=1000&w%61it=2%30"),
    polls("HEAD", "/changesets?checkpoint=1000&wait=&wait=%32%30"),
    polls("GET", "/projections/statistics?min_checkpoint=1000&timeout=60"),
    polls("HEAD", "/projections/st%61tistics?min%5Fcheckpoint=1000&timeout=60"),
    polls("GET", "/projections/statistics?stream_id=watched&changeset_id=9&timeout=60"),
    Way {
        method: "POST",
        target: "/streams/unseen?expected_last_changeset=1&visible%5Fin=stream_catalogue&timeout=60",
        headers: &[("Idempotency-Key", "unseen")],
        body: "{\"events\":[1]}",
        held: WAITING_MAX,
    },
    // One row of a projection is explained at a time, in a moment: how many wait for their turn varies.
    Way { held: 0, ..polls("GET", "/projections/stream_catalogue/explain?k%65y=watched") },
    follows("GET", "/changesets", SUBSCRIBERS_MAX),
    follows("GET", "/streams/watched/changesets", SUBSCRIBERS_MAX),
    follows("GET", "/streams/w%61tched/events", SUBSCRIBERS_MAX),
    // The answer has no body, so nothing goes on.
    follows("HEAD", "/changesets", 0),
    follows("HEAD", "/streams/watched/changesets", 0),
    follows("HEAD", "/streams/w%61tched/events", 0),
];

#[test]
fn a_thousand_waiters_on_any_route_keep_nobody_else_out_and_leave_nothing_behind() {
    raise_file_limit();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().join("data"));
    for stream in ["watched", "unseen"] {
        assert_eq!(post(&server, &format!("/streams/{stream}"), "{\"events\":[1]}").status, 200);
    }
    run(&mut server.ees(&["projections", "pause", "stream_catalogue", "--reason", "nothing is visible"]))
        .ok();
    assert_eq!(get(&server, "/projections/stream_catalogue/explain?key=watched").status, 200);
    for (number, way) in WAYS.iter().enumerate() {
        let whole = request(way.method, way.target, way.headers, way.body);
        let waiters: Vec<TcpStream> = (0..WAITERS)
            .map(|_| {
                let mut waiter = connect(&server);
                waiter.write_all(&whole).unwrap();
                waiter
            })
            .collect();
        let (method, target) = (way.method, way.target);
        until(&format!("{method} {target} is held {} times", way.held), || held(&server) >= way.held);
        others_are_served(&server, number);
        drop(waiters);
        until(&format!("{method} {target} leaves nothing behind"), || held(&server) <= 1);
    }
    // Each kind of place is free again.
    assert_eq!(get(&server, "/changesets?checkpoint=1000&wait=0.01").status, 200);
    let ended = ask(&server, "GET", "/streams/watched/events?from=1&to=1", EVENT_STREAM, "");
    assert_eq!(ended.status, 200);
}

/// How many requests the server holds; this one is among them.
fn held(server: &Server) -> u64 {
    metric(server, "ees_http_requests_in_flight").max(metric(server, "ees_http_subscribers"))
}

/// Commits, reads, probes and operations.
fn others_are_served(server: &Server, round: usize) {
    for number in 0..5 {
        let stream = format!("other-{round}-{number}");
        assert_eq!(post(server, &format!("/streams/{stream}"), "{\"events\":[1]}").status, 200);
        let targets = ["/changesets?limit=1", "/projections", "/health/ready", "/health/live", "/streams"];
        for target in targets.into_iter().chain([format!("/streams/{stream}/events").as_str()]) {
            assert_eq!(get(server, target).status, 200, "{target}");
        }
    }
    for operation in ["pause", "resume"] {
        let target = format!("/projections/statistics/{operation}");
        let answer = post(server, &target, "{\"reason\":\"operators are served, too\"}");
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }
}
