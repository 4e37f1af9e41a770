//! Answers in fewer bytes, for callers that ask for them.

use std::io::Read as _;

use ees_store::memory;

use super::following::Following;
use super::support::{Answer, TestServer, on_every_store};

const LARGE: [&str; 6] = [
    "/changesets",
    "/changesets?include=position&pp=true",
    "/streams/s/events",
    "/openapi.json",
    "/console/console.js",
    "/docs/swagger-ui-bundle.js",
];

async fn fill(server: &TestServer) {
    let events: Vec<_> = (0..500).map(|n| format!("{{\"type\":\"opened\",\"number\":{n}}}")).collect();
    server.commit("/streams/s?expected_last_changeset=0", &format!("[{}]", events.join(","))).await;
}

async fn asked(server: &TestServer, method: &str, target: &str, accept: &str) -> Answer {
    server.send(method, target, &[("Accept-Encoding", accept)], b"").await
}

fn is_varied(answer: &Answer) -> bool {
    answer.headers.iter().any(|(name, value)| name == "vary" && value == "accept-encoding")
}

fn decoded(answer: &Answer) -> Vec<u8> {
    let mut plain = Vec::new();
    match answer.header("content-encoding") {
        Some("zstd") => plain = zstd::decode_all(&*answer.body).unwrap(),
        Some("gzip") => drop(flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut plain).unwrap()),
        other => panic!("{other:?}"),
    }
    plain
}

#[tokio::test]
async fn an_answer_comes_in_the_coding_that_was_asked_for_and_is_the_same() {
    on_every_store(async |server| {
        fill(&server).await;
        for target in LARGE {
            let plain = server.get(target).await;
            assert_eq!((plain.status, plain.header("content-encoding")), (200, None), "{target}");
            for (accept, coding) in [
                ("zstd, gzip", "zstd"),
                ("gzip, deflate, br", "gzip"),
                ("br;q=1, gzip;q=0.8, *;q=0.1", "gzip"),
            ] {
                let answer = asked(&server, "GET", target, accept).await;
                assert_eq!(answer.header("content-encoding"), Some(coding), "{target} {accept}");
                assert_eq!(answer.header("content-type"), plain.header("content-type"));
                assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
                assert!(
                    is_varied(&answer) && is_varied(&plain) && decoded(&answer) == plain.body,
                    "{target}"
                );
                assert!(answer.body.len() * 2 < plain.body.len(), "{target}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_stays_as_it_is_where_another_form_is_not_wanted_or_gains_nothing() {
    on_every_store(async |server| {
        fill(&server).await;
        for accept in ["", "identity", "br", "*;q=0", "gzip;q=0, zstd;q=0", "identity, gzip;q=0.5"] {
            let answer = asked(&server, "GET", "/changesets", accept).await;
            assert_eq!((answer.status, answer.header("content-encoding")), (200, None), "{accept}");
            assert_eq!(answer.json()["changesets"][0]["changeset_id"], 1);
        }
        let small = asked(&server, "GET", "/version", "zstd").await;
        assert_eq!((small.header("content-encoding"), is_varied(&small)), (None, false));
        let only = asked(&server, "GET", "/version", "zstd, identity;q=0").await;
        assert_eq!(decoded(&only), small.body);
        let head = asked(&server, "HEAD", "/changesets", "zstd").await;
        let plain = server.get("/changesets").await;
        assert_eq!(head.header("content-encoding"), None);
        assert_eq!(head.header("content-length"), plain.header("content-length"));
    })
    .await;
}

#[tokio::test]
async fn an_event_stream_is_never_compressed() {
    let server = TestServer::over(memory::Store::new()).await;
    fill(&server).await;
    let headers = [("Accept-Encoding", "zstd, gzip, identity;q=0")];
    let mut following = Following::open(server.address(), "/changesets", &headers).await;
    assert_eq!(following.head.header("content-encoding"), None);
    let (events, _) = following.until("following").await;
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_carried_as_a_text_is_not_compressed() {
    let server = TestServer::with_escaped_answers().await;
    let answer = asked(&server, "GET", "/openapi.json", "gzip").await;
    assert_eq!((answer.status, answer.header("content-encoding")), (200, None));
}
