//! The HTTP contract through API Gateway, as far as the emulator routes it.

use std::time::Instant;

use ees_test_aws::{LocalAws, Stack};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::support::LONG;

struct Api {
    client: Client,
    url: String,
    authorization: String,
}

impl Api {
    async fn call(&self, method: Method, path: &str, body: Option<&str>) -> Response {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.header("Authorization", &self.authorization);
        let request = match body {
            Some(body) => request.body(body.to_owned()),
            None => request,
        };
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        told(self.call(Method::GET, path, None).await).await
    }

    async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        told(self.call(Method::POST, path, Some(body)).await).await
    }

    /// Waits until the log has this number of changesets, and returns it.
    async fn log_of(&self, count: usize) -> Value {
        let deadline = Instant::now() + LONG;
        loop {
            let (status, page) = self.get("/changesets?wait=1").await;
            assert_eq!(status, 200, "{page}");
            if page["changesets"].as_array().unwrap().len() == count {
                return page;
            }
            assert!(Instant::now() < deadline, "{page}");
        }
    }
}

async fn told(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    assert!(response.headers().contains_key("x-request-id"), "{response:?}");
    (status, response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_behind_api_gateway() {
    let account = LocalAws::account().await;
    let stack = Stack::event_store(&account).await;
    let api = Api { client: Client::new(), url: stack.url(), authorization: stack.authorization() };
    let opened = r#"{"events":[{"type":"opened","n":1.0},2],"metadata":{"by":"\u0000"}}"#;

    // Commits.
    assert_eq!(api.post("/streams/a", opened).await, (200, json!({"stream_id": "a", "changeset_id": 1})));
    let second = "/streams/a?expected_last_changeset=1";
    let committed = json!({"stream_id": "a", "changeset_id": 2});
    assert_eq!(api.post(second, r#"{"events":[3]}"#).await, (200, committed));
    let (status, conflict) = api.post(second, r#"{"events":[4]}"#).await;
    assert_eq!((status, &conflict["error"]), (409, &json!("OPTIMISTIC_CONCURRENCY_EXCEPTION")));
    let forthcoming = json!([{"changeset_id": 2, "events": [3], "metadata": {}}]);
    assert_eq!(conflict["forthcoming_changesets"], forthcoming);
    let (status, conflict) = api.post("/streams/a?expected_last_event=1", r#"{"events":[4]}"#).await;
    assert_eq!((status, conflict["forthcoming_changesets"].as_array().unwrap().len()), (409, 2));
    for (path, body, status, code) in [
        ("/streams/a?expected_last_changeset=7", "{\"events\":[1]}", 400, "INVALID_EXPECTED_CHANGESET_ID"),
        ("/streams/a?expected_last_changeset=x", "{\"events\":[1]}", 400, "INVALID_EXPECTED_CHANGESET_ID"),
        ("/streams/a?expected_last_event=-1", "{\"events\":[1]}", 400, "INVALID_EXPECTED_EVENT_ID"),
        (
            "/streams/a?expected_last_event=1&expected_last_changeset=1",
            "{\"events\":[1]}",
            400,
            "BOTH_EXPECTED_CHANGESET_AND_EVENT_ARE_SET",
        ),
        ("/streams/b", "{}", 400, "INVALID_BODY"),
        ("/streams/b", "{\"events\":[]}", 400, "INVALID_BODY"),
        ("/streams/!!!RESERVED:x", "{\"events\":[1]}", 400, "INVALID_STREAM_ID"),
    ] {
        let (answered, problem) = api.post(path, body).await;
        assert_eq!((answered, &problem["error"]), (status, &json!(code)), "{path} {body}: {problem}");
    }

    // Many commits at once, which change nothing here: the first line is outdated, and the second is ahead.
    let many = "{\"stream_id\":\"a\",\"events\":[1]}\n{\"stream_id\":\"b\",\"expected_last_event\":9,\"events\":[1]}\n";
    let answered = api.call(Method::POST, "/changesets", Some(many)).await;
    assert_eq!(answered.status().as_u16(), 200);
    let lines: Vec<Value> =
        answered.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let codes: Vec<_> = lines.iter().map(|line| line["error"].as_str().unwrap()).collect();
    assert_eq!(codes, ["OPTIMISTIC_CONCURRENCY_EXCEPTION", "INVALID_EXPECTED_CHANGESET_ID"]);

    // Reads a stream. Every token comes back as it was sent.
    let text = api.call(Method::GET, "/streams/a/changesets?to=1", None).await.text().await.unwrap();
    assert!(text.contains(r#""events":[{"type":"opened","n":1.0},2],"metadata":{"by":"\u0000"}"#), "{text}");
    let events = json!({"stream_id": "a", "events": [{"id": 2, "data": 2}, {"id": 3, "data": 3}]});
    assert_eq!(api.get("/streams/a/events?from=2").await, (200, events));
    for (path, status, code) in [
        ("/streams/none/events", 404, "STREAM_NOT_FOUND"),
        ("/streams/a/events?from=3&to=1", 400, "INVALID_EVENT_FILTERING_PARAMS"),
        ("/streams/a/changesets?from=x", 400, "INVALID_CHANGESET_FILTERING_PARAMS"),
        ("/changesets?checkpoint=x", 400, "INVALID_CHECKPOINT"),
        ("/changesets?limit=0", 400, "INVALID_LIMIT"),
    ] {
        let (answered, problem) = api.get(path).await;
        assert_eq!((answered, &problem["error"]), (status, &json!(code)), "{path}: {problem}");
    }

    // Reads the log, after the indexer has given the checkpoints.
    let page = api.log_of(2).await;
    assert_eq!((&page["next_checkpoint"], &page["limit"]), (&json!(2), &json!(10)));
    assert_eq!(page["changesets"][1]["changeset_id"], 2);
    let (_, rest) = api.get("/changesets?checkpoint=1&limit=1").await;
    assert_eq!((rest["changesets"].as_array().unwrap().len(), &rest["next_checkpoint"]), (1, &json!(2)));

    // Bytes are passed on as they are.
    let broken = api.client.post(format!("{}/streams/broken", api.url));
    let broken = broken
        .header("Authorization", &api.authorization)
        .header("Content-Type", "application/json")
        .body(b"{\"events\":[\"\xff\"]}".as_slice());
    let (status, problem) = told(broken.send().await.unwrap()).await;
    assert_eq!((status, &problem["error"]), (400, &json!("INVALID_BODY")), "{problem}");
    assert!(problem["message"].as_str().unwrap().starts_with("The body is not UTF-8"), "{problem}");
    let metrics = api.call(Method::GET, "/metrics", None).await.text().await.unwrap();
    assert!(metrics.contains("# TYPE ees_commits counter\n") && metrics.ends_with("# EOF\n"), "{metrics}");

    // Other routes.
    assert_eq!(api.get("/nowhere").await, (404, json!({"message": "Invalid endpoint"})));
    assert_eq!(api.get("/version").await.0, 200);
    assert_eq!(api.get("/health/ready").await.0, 200);
    assert_eq!(api.call(Method::DELETE, "/changesets", None).await.status(), 405);
    let (status, statistics) = api.get("/streams").await;
    assert!(status == 200 && statistics["total_streams"].is_u64(), "{statistics}");
}
