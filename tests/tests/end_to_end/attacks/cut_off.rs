//! Attack 7: clients that go away within 3 ms of their request. What they asked for is done whole or not at all, and a
//! repeat with the same key is answered as the first one would have been.

use std::io::Write as _;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use ees_test_postgres::TestDatabase;
use ees_tests::{Server, run};
use serde_json::{Value, json};

use super::wire::{Answer, ask, connect, get, request, until};

const CLIENTS: u64 = 8;
const COMMITS: u64 = 25;
/// Requests of each client with many commits, and the streams to which each of them commits.
const BULKS: u64 = 3;
const STREAMS: u64 = 20;

#[test]
fn a_commit_whose_client_goes_away_is_whole_or_nowhere_and_its_key_answers() {
    let folder = tempfile::tempdir().unwrap();
    all_is_whole(&Server::start(folder.path().join("data")));
}

#[test]
fn a_commit_whose_client_goes_away_is_whole_or_nowhere_and_its_key_answers_on_postgresql() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    all_is_whole(&Server::start_with(folder.path().join("data"), &["--store", database.url()]));
}

fn all_is_whole(server: &Server) {
    let made_it: u64 = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    let made_it = cut_off(server, client);
                    cut_off_together(server, client);
                    made_it
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    // Neither is certain, but with so many, one of each kind comes about.
    println!("{made_it} of {} were stored although nobody waited", CLIENTS * COMMITS);
    let together = CLIENTS * BULKS * STREAMS;
    let all = CLIENTS * COMMITS + together;
    let reached = all.to_string();
    run(&mut server.ees(&[
        "projections",
        "status",
        "statistics",
        "--min-checkpoint",
        &reached,
        "--timeout",
        "60",
    ]))
    .ok();
    let totals = server.get_json("/streams");
    assert_eq!(totals["total_changesets"], json!(all), "{totals}");
    assert_eq!(totals["total_events"], json!(3 * CLIENTS * COMMITS + together), "{totals}");
    // Reads that were cut off hold nothing, either.
    let places = || get(server, "/changesets?limit=1").status == 200;
    until("all places are free", places);
}

/// Commits, and hangs up at once. Returns how many had been stored before they were repeated.
fn cut_off(server: &Server, client: u64) -> u64 {
    let mut chance = fastrand::Rng::with_seed(client);
    let mut made_it = 0;
    let stream = format!("/streams/s{client}");
    for number in 0..COMMITS {
        let target = format!("{stream}?expected_last_changeset={number}");
        let body = format!("{{\"events\":[{number},\"{}\",{number}]}}", "x".repeat(chance.usize(..50_000)));
        let key = format!("client-{client}-{number}");
        let headers = [("Idempotency-Key", key.as_str())];
        let whole = request("POST", &target, &headers, &body);
        send_and_go_away(server, &whole, &mut chance);
        // A read that nobody waits for, beside it.
        connect(server).write_all(&request("GET", "/changesets?limit=1000", &[], "")).unwrap();

        let stored = get(server, &format!("{stream}/events?from={}", 3 * number + 1));
        let events = stored.body.matches("\"id\":").count();
        assert!(stored.status == 404 || events == 0 || events == 3, "a part is there: {events} events");
        made_it += u64::from(events == 3);
        let Answer { status, body } = ask(server, "POST", &target, &headers, &body);
        let wanted = json!({"stream_id": format!("s{client}"), "changeset_id": number + 1});
        assert_eq!((status, serde_json::from_str(&body).ok()), (200, Some(wanted)), "{body}");
    }
    made_it
}

/// Sends a request, sometimes a part of it only, and hangs up.
fn send_and_go_away(server: &Server, request: &[u8], chance: &mut fastrand::Rng) {
    let mut connection = connect(server);
    let sent = if chance.bool() { request.len() } else { chance.usize(1..request.len()) };
    connection.write_all(&request[..sent]).unwrap();
    thread::sleep(Duration::from_micros(chance.u64(..3_000)));
    connection.shutdown(Shutdown::Both).unwrap();
}

/// Sends many commits in one request, and hangs up. Some of them may be stored, each once; the same request with the same keys
/// stores the rest, and is answered with the place of each.
fn cut_off_together(server: &Server, client: u64) {
    let mut chance = fastrand::Rng::with_seed(client);
    for number in 0..BULKS {
        let line = |stream: u64| {
            let event = "x".repeat(chance.usize(..5_000));
            let line = json!({
                "stream_id": format!("together-{client}-{stream}"), "expected_last_changeset": number, "events": [event],
                "idempotency_key": format!("{client}-{number}"),
            });
            format!("{line}\n")
        };
        let body: String = (0..STREAMS).map(line).collect();
        let whole = request("POST", "/changesets", &[], &body);
        send_and_go_away(server, &whole, &mut chance);

        let Answer { status, body } = ask(server, "POST", "/changesets", &[], &body);
        assert_eq!(status, 200, "{body}");
        let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ids: Vec<_> = lines.iter().map(|line| line["changeset_id"].as_u64()).collect();
        assert_eq!(ids, vec![Some(number + 1); STREAMS as usize], "{body}");
    }
}
