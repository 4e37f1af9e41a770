//! Attack 10: foreign names, bodies and heads that don't arrive, and answers that nobody reads.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use ees_tests::Server;

use super::wire::{answer, connect, get, post, raise_file_limit, request, until};

/// More than the server has connections for.
const CONNECTIONS: usize = 4_500;

#[test]
fn foreign_names_are_refused_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().join("data"));
    let port = server.url().rsplit_once(':').unwrap().1.to_owned();
    let refused = [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        "localhost.evil.example".to_owned(),
        "127.0.0.1.evil.example".to_owned(),
        "evil.example@localhost".to_owned(),
        "[::ffff:10.0.0.1]".to_owned(),
        "0x7f000001.evil.example".to_owned(),
        String::new(),
    ];
    for host in &refused {
        for request in [
            format!(
                "POST /streams/a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 14\r\n\r\n{{\"events\":[1]}}"
            ),
            format!("GET /changesets HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
            format!("GET http://{host}/changesets HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
            format!(
                "GET /changesets HTTP/1.1\r\nHost: localhost\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            ),
        ] {
            let mut connection = connect(&server);
            connection.write_all(request.as_bytes()).unwrap();
            let answer = answer(&mut connection);
            assert!((400..500).contains(&answer.status), "{request}: {answer:?}");
            assert!(!answer.body.contains("\"changesets\""), "{request}: {answer:?}");
        }
    }
    assert_eq!(get(&server, "/changesets").json()["next_checkpoint"], 0, "nothing was committed");
}

#[test]
fn heads_and_bodies_that_do_not_arrive_and_answers_that_are_not_read_hold_nobody_up() {
    raise_file_limit();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().join("data"));
    let large = format!("{{\"events\":[\"{}\"]}}", "x".repeat(1_000_000));
    for number in 0..4 {
        assert_eq!(post(&server, &format!("/streams/large-{number}"), &large).status, 200);
    }
    let page = request("GET", "/changesets?limit=1000", &[], "");
    let body = request("POST", "/streams/slow", &[], &large);
    // As much as the system's buffers take and more, from each of those who do not read.
    let deaf: Vec<TcpStream> = (0..100).map(|_| sent(&server, &page.repeat(8))).collect();
    others_are_served(&server, "deaf");
    // A body of 1 MB, but for its last byte.
    let slow: Vec<TcpStream> = (0..100).map(|_| sent(&server, &body[..body.len() - 1])).collect();
    others_are_served(&server, "slow");
    // Heads without an end, from more than there may be: each newcomer takes the place of an idle one.
    let heads: Vec<TcpStream> =
        (0..CONNECTIONS).map(|_| sent(&server, b"GET /version HTTP/1.1\r\nHost: loc")).collect();
    others_are_served(&server, "heads");
    drop((deaf, heads));
    // A slow client that is still connected is served, too, or was told that it took too long.
    for mut connection in slow.into_iter().take(3) {
        let mut told = [0; 12];
        let sent = connection.write_all(&body[body.len() - 1..]);
        let read = sent.and_then(|()| connection.read_exact(&mut told));
        assert!(read.is_err() || told.starts_with(b"HTTP/1.1 "), "{told:?}");
    }
    others_are_served(&server, "after");
    let streams = get(&server, "/streams/slow/events").status;
    assert!(streams == 200 || streams == 404, "{streams}");
}

/// A connection on which these bytes were sent, as far as the server takes them.
fn sent(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut connection = connect(server);
    connection.set_nonblocking(true).unwrap();
    let _ = connection.write(bytes);
    connection.set_nonblocking(false).unwrap();
    connection
}

fn others_are_served(server: &Server, when: &str) {
    for number in 0..10 {
        let stream = format!("/streams/{when}-{number}");
        assert_eq!(post(server, &stream, "{\"events\":[1]}").status, 200, "{when}");
        for target in [format!("{stream}/events").as_str(), "/health/live", "/metrics"] {
            assert_eq!(get(server, target).status, 200, "{when}: {target}");
        }
    }
    // While the pages are read that nobody takes, the store may not answer within the two seconds of a probe.
    until(&format!("{when}: it is ready"), || get(server, "/health/ready").status == 200);
}
