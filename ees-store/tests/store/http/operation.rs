//! Version, health, metrics, request ids, and what is not there.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::extract::Path;
use axum::routing::get;
use ees_store::http::{HealthCheck, Limits, Scope};
use ees_store::{Error, memory, postgres, sqlite};
use ees_test_postgres::TestDatabase;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;

use super::gate::{Failing, Gated};
use super::support::{TestServer, answered_with, on_every_store};

#[tokio::test]
async fn the_version_is_the_crates() {
    on_every_store(async |server| {
        server.get("/version").await.is(200, &json!({"version": env!("CARGO_PKG_VERSION")}));
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_an_invalid_endpoint() {
    on_every_store(async |server| {
        for target in [
            "/",
            "/nowhere",
            "/streams/s/",
            "/streams/s/other",
            "/streams/s/events/1",
            "/changesets/",
            "//streams",
            "/STREAMS",
            "/docs/nothing.js",
            "/health",
            "/version/",
        ] {
            assert_eq!(server.get(target).await.text(), r#"{"message":"Invalid endpoint"}"#, "{target}");
            assert_eq!(server.get(target).await.status, 404);
        }
        assert_eq!(server.post("/nowhere", "{}").await.text(), r#"{"message":"Invalid endpoint"}"#);
    })
    .await;
}

#[tokio::test]
async fn a_path_with_a_slash_in_a_stream_id_gets_a_link_to_the_one_that_was_meant() {
    on_every_store(async |server| {
        let lost = server.post("/streams/a/1", r#"{"events":[1]}"#).await;
        assert_eq!((lost.status, lost.text()), (404, r#"{"message":"Invalid endpoint"}"#));
        let link = lost.header("link").unwrap();
        assert!(
            link.starts_with("<../a%2F1>; rel=\"related\"; title=") && link.contains("written as %2F"),
            "{link}"
        );
        server.commit("/streams/a%2F1", "[1]").await;
        let lost = server.get("/streams/a/1/events").await;
        assert_eq!(lost.text(), r#"{"message":"Invalid endpoint"}"#);
        assert!(lost.header("link").unwrap().starts_with("<../../a%2F1/events>;"));
        assert_eq!(server.get("/nowhere").await.header("link"), None);
    })
    .await;
}

#[tokio::test]
async fn a_known_path_tells_the_methods_it_has() {
    on_every_store(async |server| {
        for (method, target, allow) in [
            ("GET", "/streams/s", "POST"),
            ("DELETE", "/streams/s", "POST"),
            ("POST", "/streams", "GET,HEAD"),
            ("PUT", "/streams/s/events", "GET,HEAD"),
            ("POST", "/streams/s/changesets", "GET,HEAD"),
            ("PATCH", "/changesets", "GET,HEAD,POST"),
            ("POST", "/version", "GET,HEAD"),
            ("POST", "/health/live", "GET,HEAD"),
            ("POST", "/openapi.json", "GET,HEAD"),
            ("DELETE", "/streams/", "GET,HEAD,POST"),
        ] {
            let answer = server.send(method, target, &[], b"").await;
            answer.refuses_like(405, "METHOD_NOT_ALLOWED", "Allow");
            let mut given: Vec<_> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
            given.sort_unstable();
            assert_eq!(given.join(","), allow, "{method} {target}");
        }
    })
    .await;
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    on_every_store(async |server| {
        let (get, head) = (server.get("/version").await, server.send("HEAD", "/version", &[], b"").await);
        assert_eq!((head.status, head.text()), (200, ""));
        assert_eq!(head.header("content-length"), get.header("content-length"));
    })
    .await;
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_the_callers_is_kept() {
    on_every_store(async |server| {
        let mut ids = Vec::new();
        for target in ["/version", "/nowhere", "/streams/s/events", "/health/live", "/metrics", "/docs/"] {
            ids.push(server.get(target).await.header("x-request-id").unwrap().to_owned());
        }
        ids.push(
            server.send("DELETE", "/version", &[], b"").await.header("x-request-id").unwrap().to_owned(),
        );
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 7);

        let long = "x".repeat(128);
        for kept in ["abc-1", "a/b=c", &long] {
            let answer = server.send("GET", "/version", &[("X-Request-Id", kept)], b"").await;
            assert_eq!(answer.header("x-request-id"), Some(kept));
        }
        for replaced in ["", "a b", "ä", &format!("{long}x")] {
            let answer = server.send("GET", "/version", &[("X-Request-Id", replaced)], b"").await;
            assert_ne!(answer.header("x-request-id"), Some(replaced));
        }
    })
    .await;
}

#[tokio::test]
async fn a_panic_is_answered_and_the_connection_goes_on() {
    async fn fail() -> &'static str {
        panic!("secret")
    }
    let routes = OpenApiRouter::new().route("/fails", get(fail));
    let server =
        TestServer::with(Arc::new(memory::Store::new()), |api| api.with_routes(Scope::Read, routes)).await;
    let answer = server.send("GET", "/fails", &[("X-Request-Id", "r1")], b"").await;
    answer.is(500, &json!({"error": "INTERNAL", "request_id": "r1"}));
    assert_eq!(server.get("/version").await.status, 200);
}

#[tokio::test]
async fn a_failure_of_the_store_is_told_by_its_request_id_alone() {
    let broken = || Error::Storage { detail: "INSERT INTO secret".to_owned(), source: "disk full".into() };
    let server = TestServer::over(Failing(broken)).await;
    let id = [("X-Request-Id", "r1")];
    for (method, target, body) in [
        ("POST", "/streams/s", r#"{"events":[1]}"#),
        ("GET", "/streams/s/events", ""),
        ("GET", "/streams/s/changesets", ""),
        ("GET", "/changesets", ""),
    ] {
        let answer = server.send(method, target, &id, body.as_bytes()).await;
        answer.is(500, &json!({"error": "INTERNAL", "request_id": "r1"}));
    }
    let answer = server.get("/changesets").await;
    assert_eq!(answer.json()["request_id"], answer.header("x-request-id").unwrap());
}

#[tokio::test]
async fn a_store_that_is_busy_or_away_is_to_be_asked_again() {
    for (error, code) in [
        ((|| Error::Overloaded) as fn() -> Error, "OVERLOADED"),
        (|| Error::Unavailable("host 10.0.0.7".to_owned()), "UNAVAILABLE"),
    ] {
        let server = TestServer::over(Failing(error)).await;
        let answer = server.post("/streams/s", r#"{"events":[1]}"#).await;
        answer.refuses_like(503, code, "Try again");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(!answer.text().contains("10.0.0.7"));
    }
}

#[tokio::test]
async fn a_server_is_ready_once_its_store_answers() {
    on_every_store(async |server| {
        server.get("/health/live").await.is(200, &json!({"status": "live"}));
        server.get("/health/ready").await.is(200, &json!({"status": "ready"}));
    })
    .await;
    let server = TestServer::over(Failing(|| Error::Unavailable("host 10.0.0.7".to_owned()))).await;
    server.get("/health/live").await.is(200, &json!({"status": "live"}));
    let reason = "the store does not answer (UNAVAILABLE)";
    server.get("/health/ready").await.is(503, &json!({"status": "unavailable", "reason": reason}));
}

#[tokio::test]
async fn a_stalled_read_model_is_told_but_the_server_stays_ready() {
    struct Paused;

    #[async_trait]
    impl HealthCheck for Paused {
        async fn problems(&self) -> Vec<String> {
            vec!["the projection statistics is paused".to_owned()]
        }
    }

    let server =
        TestServer::with(Arc::new(memory::Store::new()), |api| api.with_health(Arc::new(Paused))).await;
    let reasons = ["the projection statistics is paused"];
    server.get("/health/ready").await.is(200, &json!({"status": "degraded", "reasons": reasons}));
}

#[tokio::test]
async fn readiness_is_told_in_two_seconds_whatever_hangs() {
    struct Hanging;

    #[async_trait]
    impl HealthCheck for Hanging {
        async fn problems(&self) -> Vec<String> {
            std::future::pending().await
        }
    }

    let store = Arc::new(memory::Store::new());
    let server = TestServer::with(store, |api| api.with_health(Arc::new(Hanging))).await;
    let started = Instant::now();
    let answer = server.get("/health/ready").await;
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("degraded")));
    assert!(answer.text().contains("a check did not end in time"), "{}", answer.text());
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_server_whose_commits_fail_is_not_ready_until_one_succeeds() {
    let store = Arc::new(Gated::new());
    let limits = Limits { answer_time: Duration::from_millis(20), ..Limits::default() };
    let server = TestServer::with(store.clone(), |api| api.with_limits(limits)).await;
    let commit =
        async |stream: &str| server.post(&format!("/streams/{stream}"), r#"{"events":[1]}"#).await.status;
    assert_eq!([commit("a").await, commit("b").await], [503, 503]);
    assert_eq!(server.get("/health/ready").await.status, 200);
    assert_eq!(commit("c").await, 503);
    let reason = "commits fail, one after another (UNAVAILABLE)";
    server.get("/health/ready").await.is(503, &json!({"status": "unavailable", "reason": reason}));
    store.open();
    assert_eq!(commit("d").await, 200);
    server.get("/health/ready").await.is(200, &json!({"status": "ready"}));
}

#[tokio::test]
async fn a_server_whose_store_takes_no_commits_is_not_ready_and_answers_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let options = sqlite::Options { patience: Duration::from_millis(20), ..sqlite::Options::default() };
    let server = TestServer::over(sqlite::Store::open_with(&path, options).unwrap()).await;
    server.commit("/streams/a", "[1]").await;
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    server.post("/streams/b", r#"{"events":[1]}"#).await.refuses_like(503, "UNAVAILABLE", "Try again");
    let reason = "the store can't take commits (UNAVAILABLE)";
    server.get("/health/ready").await.is(503, &json!({"status": "unavailable", "reason": reason}));
    let page = server.get("/changesets?include=position").await.json();
    assert_eq!((&page["next_checkpoint"], &page["head"]), (&json!(1), &json!(1)));
    assert!(server.get("/metrics").await.text().contains("ees_log_head 1"));
    other.execute_batch("ROLLBACK").unwrap();
    answered_with(&server, "/health/ready", 200).await;
    server.commit("/streams/b", "[1]").await;
}

/// What this process logs of requests.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_request_has_one_log_line_without_its_contents() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("ees_store::http::access_log=debug")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // For all threads: other tests log, too, and this is the only one that reads.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let server = TestServer::over(memory::Store::new()).await;
    let headers = |id| [("X-Request-Id", id), ("Authorization", "Bearer hidden-key")];
    let body = br#"{"events":["hidden-event"]}"#;
    server.send("POST", "/streams/hidden-stream?expected_last_event=", &headers("id-1"), body).await;
    server.send("POST", "/streams/hidden-stream", &headers("id-2"), body).await;
    server.send("GET", "/hidden-path?hidden-query=1", &headers("id-3"), b"").await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for (id, level, parts) in [
        ("id-1", "DEBUG", ["method=POST", "route=\"/streams/{stream_id}\"", "status=200", "bytes=46"]),
        (
            "id-2",
            "INFO",
            ["method=POST", "status=409", "code=\"OPTIMISTIC_CONCURRENCY_EXCEPTION\"", "bytes="],
        ),
        ("id-3", "INFO", ["method=GET", "route=\"none\"", "status=404", "milliseconds="]),
    ] {
        let lines: Vec<_> = text.lines().filter(|line| line.contains(&format!("\"{id}\""))).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(lines[0].contains(level) && parts.iter().all(|part| lines[0].contains(part)), "{}", lines[0]);
    }
    assert!(!text.contains("hidden"), "{text}");
}

#[tokio::test]
async fn what_a_library_refuses_is_json_too() {
    async fn number(Path(number): Path<u64>) -> String {
        number.to_string()
    }
    let routes = OpenApiRouter::new().route("/number/{number}", get(number));
    let server =
        TestServer::with(Arc::new(memory::Store::new()), |api| api.with_routes(Scope::Read, routes)).await;
    assert_eq!(server.get("/number/7").await.text(), "7");
    for target in ["/number/x", "/number/%FF"] {
        let answer = server.get(target).await;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("INVALID_REQUEST")));
        assert!(!answer.json()["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn metrics_count_commits_by_result_and_requests_by_route() {
    on_every_store(async |server| {
        server.commit("/streams/s", "[1]").await;
        server.post("/streams/s", "{\"events\":[1]}").await;
        server.post("/streams/s", "{").await;
        server.get("/streams/s/events").await;
        server.get("/nowhere/1").await;
        server.get("/nowhere/2").await;
        let answer = server.get("/metrics").await;
        assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
        for line in [
            "ees_commits_total{result=\"OK\"} 1",
            "ees_commits_total{result=\"OPTIMISTIC_CONCURRENCY_EXCEPTION\"} 1",
            "ees_commits_total{result=\"INVALID_BODY\"} 1",
            "ees_http_request_duration_seconds_count{route=\"/streams/{stream_id}\",status=\"2xx\"} 1",
            "ees_http_request_duration_seconds_count{route=\"/streams/{stream_id}\",status=\"4xx\"} 2",
            "ees_http_request_duration_seconds_count{route=\"/streams/{stream_id}/events\",status=\"2xx\"} 1",
            "ees_http_request_duration_seconds_count{route=\"none\",status=\"4xx\"} 2",
            "ees_http_requests_in_flight 1",
            "ees_log_head 1",
            "# EOF",
        ] {
            assert!(answer.text().lines().any(|given| given == line), "{line} in {}", answer.text());
        }
    })
    .await;
}

#[tokio::test]
async fn metrics_tell_what_the_store_has_written_and_in_which_groups() {
    let folder = tempfile::tempdir().unwrap();
    let database = TestDatabase::new().await;
    let sqlite = sqlite::Store::open(folder.path().join("log.db")).unwrap();
    let postgres = postgres::Store::connect(database.url()).await.unwrap();
    for (server, own) in [
        (
            TestServer::over(sqlite).await,
            [
                "ees_store_tail_lookups_total{result=\"hit\"} 2",
                "ees_store_tail_lookups_total{result=\"miss\"} 2",
            ],
        ),
        (
            TestServer::over(postgres).await,
            ["ees_store_connections{state=\"busy\"} 0", "ees_store_group_retries_total 0"],
        ),
    ] {
        server.commit("/streams/s", "[1,2]").await;
        server.commit("/streams/s?expected_last_changeset=1", "[3]").await;
        server.commit("/streams/t", "[4,5,6]").await;
        assert_eq!(server.post("/streams/s", "{\"events\":[1]}").await.status, 409);
        let text = server.get("/metrics").await.text().to_owned();
        for line in [
            "ees_store_changesets_total 3",
            "ees_store_events_total 6",
            "ees_store_group_commits_sum 4.0",
            "ees_store_group_commits_count 4",
            "ees_store_group_commits_bucket{le=\"1.0\"} 4",
            "ees_store_group_commits_bucket{le=\"+Inf\"} 4",
            "ees_store_group_duration_seconds_count 4",
            "ees_commit_duration_seconds_count 3",
        ]
        .into_iter()
        .chain(own)
        {
            assert!(text.lines().any(|given| given == line), "{line} in {text}");
        }
    }
}

#[tokio::test]
async fn metrics_of_others_are_told_too() {
    let seen = prometheus_client::metrics::counter::Counter::<u64>::default();
    seen.inc();
    let server = TestServer::with(Arc::new(memory::Store::new()), |mut api| {
        api.registry().register("ees_seen", "Seen", seen.clone());
        api
    })
    .await;
    assert!(server.get("/metrics").await.text().contains("ees_seen_total 1"));
}
