//! `GET /history`.

use std::sync::Arc;
use std::time::Duration;

use ees_store::http::ApiKeys;
use ees_store::memory;
use serde_json::{Value, json};

use super::support::{TestServer, on_every_store};

/// The values of a series, once there are so many of them.
async fn values(server: &TestServer, query: &str, count: usize) -> Value {
    let sampled = async {
        loop {
            let told = server.get(&format!("/history?{query}")).await.json();
            if told["times"].as_array().unwrap().len() >= count {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), sampled).await.unwrap()
}

#[tokio::test]
async fn commits_events_and_requests_are_sampled() {
    let store = Arc::new(memory::Store::new());
    let server = TestServer::with(store, |api| api.with_history(Duration::from_millis(10))).await;
    server.commit("/streams/a", "[1,2,3]").await;
    server.post("/streams/a", r#"{"events":[1]}"#).await;
    let count = values(&server, "", 1).await["times"].as_array().unwrap().len();
    let told = values(
        &server,
        "metric=ees_commits_total&metric=ees_committed_events_total&metric=ees_log_head",
        count + 2,
    )
    .await;
    assert_eq!(told["interval_seconds"], 0.01);
    let series = told["series"].as_array().unwrap();
    let last = |metric: &str, of: Value| {
        let found = series.iter().find(|it| it["metric"] == metric && it["of"] == of);
        found.and_then(|it| it["values"].as_array()?.last().cloned())
    };
    assert_eq!(last("ees_commits_total", json!("OK")), Some(json!(1.0)));
    assert_eq!(last("ees_commits_total", json!("OPTIMISTIC_CONCURRENCY_EXCEPTION")), Some(json!(1.0)));
    assert_eq!(last("ees_committed_events_total", Value::Null), Some(json!(3.0)));
    assert_eq!(last("ees_log_head", Value::Null), Some(json!(1.0)));
    assert_eq!(series.len(), 4, "{told}");
    let refused = values(&server, "of=4xx", 1).await;
    assert_eq!(refused["series"].as_array().unwrap().len(), 1, "{refused}");
    assert_eq!(refused["series"][0]["label"], "status");
}

#[tokio::test]
async fn it_needs_the_scope_read_and_is_there_only_if_it_is_kept() {
    let keys = ApiKeys::parse("commit:writer").unwrap();
    let build = |api: ees_store::http::Api| api.with_history(Duration::from_secs(10)).with_keys(keys);
    let server = TestServer::with(Arc::new(memory::Store::new()), build).await;
    let answer = server.send("GET", "/history", &[("Authorization", "Bearer writer")], b"").await;
    assert_eq!(answer.status, 403);
    on_every_store(async |server| assert_eq!(server.get("/history").await.status, 404)).await;
}
