//! Attack 4: thousands of filter values in one query.

use std::io::{Read as _, Write as _};
use std::thread;

use ees_test_postgres::TestDatabase;
use ees_tests::Server;
use serde_json::json;

use super::wire::{answer, connect, get, post, request};

#[test]
fn thousands_of_filter_values_are_answered_or_refused_and_hold_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    attacked(&Server::start(folder.path().join("data")));
}

#[test]
fn thousands_of_filter_values_are_answered_or_refused_and_hold_nobody_up_on_postgresql() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    attacked(&Server::start_with(folder.path().join("data"), &["--store", database.url()]));
}

fn attacked(server: &Server) {
    for number in 0..200 {
        let body = format!("{{\"events\":[{{\"type\":\"e{}\"}}]}}", number % 20);
        assert_eq!(post(server, &format!("/streams/s{number}"), &body).status, 200);
    }
    let names = |count: usize, name: &str| -> String {
        (0..count).map(|number| format!("&event_type={name}{number}")).collect()
    };
    // As many as there may be, the wanted one the last.
    let most = format!("/changesets?limit=1000{}&event_type=e7", names(999, "x"));
    let found = get(server, &most).json();
    assert_eq!((found["changesets"].as_array().unwrap().len(), &found["next_checkpoint"]), (10, &json!(200)));
    let both = format!("{most}{}", names(1_000, "").replace("event", "stream"));
    assert_eq!(get(server, &both).json()["changesets"], json!([]), "no stream has a type");
    // The same one a thousand times is a thousand values.
    let same = format!("/changesets?limit=1000{}", "&event_type=e7".repeat(1_000));
    assert_eq!(get(server, &same).json()["changesets"].as_array().unwrap().len(), 10);
    for refused in [
        format!("/changesets?{}", names(1_001, "x")),
        format!("/changesets?{}", names(5_000, "%65%31")),
        format!("/changesets?{}", "&event%5Ftype=%65".repeat(3_000)),
    ] {
        let answer = get(server, &refused);
        // A target of more than 64 KiB is refused before anybody reads it.
        let is_told = answer.status == 400 && answer.body.contains("INVALID_FILTER");
        assert!(if refused.len() > 65_000 { answer.status == 414 } else { is_told }, "{answer:?}");
    }
    // More than a head may have.
    let mut connection = connect(server);
    let head = request("GET", &format!("/changesets?{}", names(100_000, "x")), &[], "");
    // The server may close it before all is written.
    let _ = connection.write_all(&head);
    let mut told = Vec::new();
    let _ = connection.read_to_end(&mut told);
    let told = String::from_utf8_lossy(&told);
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 4"), "{told}");

    // All at once, and among them those who ask for something small.
    thread::scope(|scope| {
        for number in 0..32 {
            let (most, both) = (&most, &both);
            scope.spawn(move || {
                let mut connection = connect(server);
                let target = if number % 2 == 0 { most } else { both };
                let close = [("Connection", "close")];
                connection.write_all(&request("GET", target, &close, "")).unwrap();
                assert_eq!(answer(&mut connection).status, 200);
            });
        }
        for number in 0..20 {
            assert_eq!(post(server, &format!("/streams/meanwhile-{number}"), "{\"events\":[1]}").status, 200);
        }
    });
    // An event stream takes the same filter.
    let mut following = connect(server);
    following.write_all(&request("GET", &most, &[("Accept", "text/event-stream")], "")).unwrap();
    let mut told = vec![0; 64];
    let read = following.read(&mut told).unwrap();
    // `limit` is no parameter of an event stream.
    assert!(told[..read].starts_with(b"HTTP/1.1 400"));
    let mut following = connect(server);
    let all = most.replace("limit=1000", "");
    following.write_all(&request("GET", &all, &[("Accept", "text/event-stream")], "")).unwrap();
    let mut told = String::new();
    while told.matches("\"type\":\"e7\"").count() < 10 {
        let mut part = vec![0; 64 * 1024];
        let read = following.read(&mut part).unwrap();
        assert!(read > 0, "it ended: {told}");
        told.push_str(std::str::from_utf8(&part[..read]).unwrap());
    }
}
