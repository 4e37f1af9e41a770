//! `POST /changesets`: many commits in one request.

use std::sync::Arc;

use async_trait::async_trait;
use ees_store::http::{Api, Limits};
use ees_store::{Commit, Committed, Error, EventStore, Result, StreamPage, StreamQuery, memory};
use serde_json::{Value, json};

use super::support::{Answer, TestServer, on_every_store};

fn lines(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn answered(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn each_line_is_a_commit_and_each_is_answered_in_its_order() {
    on_every_store(async |server| {
        let body = lines(&[
            json!({"stream_id": "a/1", "events": [1]}),
            json!({"stream_id": "b", "events": [1, 2], "metadata": {"by": "ada"}, "stream_type": "t"}),
            json!({"stream_id": "a/1", "expected_last_changeset": 1, "events": [2]}),
            json!({"stream_id": "b", "expected_last_event": 2, "events": [3]}),
        ]);
        let stored = |id: u64, checkpoint: u64| json!({"changeset_id": id, "checkpoint": checkpoint});
        let expected = [stored(1, 0), stored(1, 1), stored(2, 2), stored(2, 3)];
        assert_eq!(answered(&server.post("/changesets", &body).await), expected);
        let log = server.get("/changesets?checkpoint=0&include=position").await.json();
        assert_eq!(log["changesets"][1]["metadata"], json!({"by": "ada"}));
        assert_eq!(log["changesets"][3]["stream_type"], "t");
        assert_eq!(log["head"], 4);
    })
    .await;
}

#[tokio::test]
async fn a_refused_line_stops_none_of_the_others() {
    on_every_store(async |server| {
        server.commit("/streams/a", "[1]").await;
        let body = lines(&[
            json!({"stream_id": "a", "events": ["outdated"]}),
            json!({"stream_id": "a", "expected_last_changeset": 1, "events": [2]}),
            json!({"stream_id": "b", "expected_last_changeset": 7, "events": ["ahead"]}),
            json!({"stream_id": "a", "expected_last_changeset": 2, "events": [3]}),
        ]);
        let answer = answered(&server.post("/changesets", &body).await);
        let codes: Vec<_> = answer.iter().map(|line| line["error"].as_str()).collect();
        let refused =
            [Some("OPTIMISTIC_CONCURRENCY_EXCEPTION"), None, Some("INVALID_EXPECTED_CHANGESET_ID"), None];
        assert_eq!(codes, refused);
        let single = server.post("/streams/a", r#"{"events":["outdated"]}"#).await.json();
        assert_eq!(answer[0]["message"], single["message"], "as a single commit is told");
        assert_eq!(answer[3]["changeset_id"], 3);
    })
    .await;
}

#[tokio::test]
async fn a_line_that_is_not_valid_refuses_all_of_them() {
    on_every_store(async |server| {
        let good = json!({"stream_id": "a", "events": [1]});
        for (bad, told) in [
            ("{", "Line 2 is not valid: EOF"),
            (r#"{"stream_id":"b","events":[]}"#, "at least one event, at line 2 column 27"),
            (r#"{"stream_id":"b","events":[1],"stream":"b"}"#, "Line 2 has the unknown member \"stream\""),
            (
                r#"{"stream_id":"b","events":[1],"expected_last_event":-1}"#,
                "Line 2 is not valid: invalid value",
            ),
        ] {
            let answer = server.post("/changesets", &format!("{good}\n{bad}\n")).await;
            answer.refuses_like(400, "INVALID_BODY", told);
        }
        let many = format!("{good}\n").repeat(1_001);
        server.post("/changesets", &many).await.refuses_like(400, "INVALID_BODY", "more than 1000 lines");
        for nothing in ["", "\n", " \r\n\n"] {
            server.post("/changesets", nothing).await.refuses_like(
                400,
                "INVALID_BODY",
                "The body has no line",
            );
        }
        server.post("/changesets?limit=1", "").await.refuses_like(400, "UNKNOWN_PARAMETER", "limit");
        assert_eq!(server.get("/changesets?checkpoint=0").await.json()["changesets"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn the_same_request_again_is_stored_once() {
    on_every_store(async |server| {
        let line = |n: u64| {
            json!({"stream_id": "a", "expected_last_changeset": n, "idempotency_key": n.to_string(), "events": [n]})
        };
        let half = lines(&(0..10).map(line).collect::<Vec<_>>());
        let whole = lines(&(0..20).map(line).collect::<Vec<_>>());
        let first = answered(&server.post("/changesets", &half).await);
        let again = answered(&server.post("/changesets", &whole).await);
        assert_eq!(again[..10], first);
        assert_eq!(again[19]["changeset_id"], 20);
        assert_eq!(again, answered(&server.post("/changesets", &whole).await));
    })
    .await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whole() {
    let limits = Limits { body_bytes: 1_000, ..Limits::default() };
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_limits(limits)).await;
    let body = lines(&vec![json!({"stream_id": "a", "events": [1]}); 100]);
    server.post("/changesets", &body).await.refuses_like(413, "BODY_TOO_LARGE", "1000");
    assert_eq!(server.get("/changesets?checkpoint=0").await.json()["changesets"], json!([]));
}

#[tokio::test]
async fn a_commit_without_a_trace_belongs_to_that_of_the_request() {
    let server = TestServer::over(memory::Store::new()).await;
    let of = |digit: &str| format!("00-{}-00f067aa0ba902b7-01", digit.repeat(32));
    let body = lines(&[
        json!({"stream_id": "a", "events": [1]}),
        json!({"stream_id": "b", "events": [1], "traceparent": of("b")}),
    ]);
    server.send("POST", "/changesets", &[("traceparent", &of("a"))], body.as_bytes()).await;
    let log = server.get("/changesets?checkpoint=0&include=position").await.json();
    let traces: Vec<_> =
        (0..2).map(|at| log["changesets"][at]["traceparent"].as_str().unwrap()[..5].to_owned()).collect();
    assert_eq!(traces, ["00-aa", "00-bb"]);
}

#[tokio::test]
async fn each_line_counts_as_a_commit() {
    let server = TestServer::over(memory::Store::new()).await;
    let body = lines(&[
        json!({"stream_id": "a", "events": [1, 2]}),
        json!({"stream_id": "b", "events": [3]}),
        json!({"stream_id": "a", "events": ["outdated"]}),
    ]);
    server.post("/changesets", &body).await;
    let metrics = server.get("/metrics").await.text().to_owned();
    for counted in [
        "ees_commits_total{result=\"OK\"} 2",
        "ees_commits_total{result=\"OPTIMISTIC_CONCURRENCY_EXCEPTION\"} 1",
        "ees_committed_events_total 3",
    ] {
        assert!(metrics.contains(counted), "{counted} in {metrics}");
    }
}

#[tokio::test]
async fn a_key_that_may_only_read_commits_nothing() {
    let store = Arc::new(memory::Store::new());
    let server =
        TestServer::with(store, |api| api.with_keys("read:reader,read+commit:writer".parse().unwrap())).await;
    let body = lines(&[json!({"stream_id": "a", "events": [1]})]);
    for (key, status) in [("reader", 403), ("writer", 200), ("nobody", 401)] {
        let header = format!("Bearer {key}");
        let answer = server.send("POST", "/changesets", &[("Authorization", &header)], body.as_bytes()).await;
        assert_eq!(answer.status, status, "{key}");
    }
}

/// A store that can't reach what it keeps the stream `down` in.
struct PartlyDown(Arc<memory::Store>);

#[async_trait]
impl EventStore for PartlyDown {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        if commit.stream_id.as_str() == "down" {
            return Err(Error::Unavailable("host 10.0.0.7".to_owned()));
        }
        self.0.commit(commit).await
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        self.0.read_stream(query).await
    }
}

/// The caller must not take it for stored, nor for refused.
#[tokio::test]
async fn a_line_that_the_store_has_failed_fails_the_request() {
    let store = Arc::new(memory::Store::new());
    let api = Api::new(Arc::new(PartlyDown(store.clone())), store);
    let server = TestServer::of(api).await;
    let body =
        lines(&[json!({"stream_id": "a", "events": [1]}), json!({"stream_id": "down", "events": [1]})]);
    let answer = server.post("/changesets", &body).await;
    assert!(answer.status == 503 && answer.header("retry-after").is_some(), "{}", answer.text());
    answer.refuses_like(503, "UNAVAILABLE", "with the same idempotency key");
    let metrics = server.get("/metrics").await.text().to_owned();
    assert!(metrics.contains("ees_commits_total{result=\"UNAVAILABLE\"} 1"), "{metrics}");
    // What says nothing about the store does not hide that.
    for _ in 0..3 {
        server.post("/changesets", &body).await;
    }
    server.post("/changesets", "").await;
    assert_eq!(server.get("/health/ready").await.status, 503);
    answered(&server.post("/changesets", &lines(&[json!({"stream_id": "b", "events": [1]})])).await);
    assert_eq!(server.get("/health/ready").await.status, 200);
}
