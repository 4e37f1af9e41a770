//! The trace that a commit belongs to: given by headers, told with positions.

use serde_json::{Value, json};

use super::following::Following;
use super::support::{TestServer, on_every_store};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const STATE: &str = "a=1,b=\"2\"";

async fn commit(server: &TestServer, stream: &str, headers: &[(&str, &str)]) {
    let target = format!("/streams/{stream}");
    assert_eq!(server.send("POST", &target, headers, b"{\"events\":[1]}").await.status, 200);
}

fn trace_of(changeset: &Value) -> [&Value; 2] {
    [&changeset["traceparent"], &changeset["tracestate"]]
}

#[tokio::test]
async fn a_trace_is_told_with_positions_and_never_without() {
    on_every_store(async |server| {
        commit(&server, "s", &[("traceparent", PARENT), ("TraceState", STATE)]).await;
        commit(&server, "none", &[]).await;
        for target in ["/streams/s/changesets", "/changesets"] {
            let read = server.get(&format!("{target}?include=position")).await.json();
            assert_eq!(trace_of(&read["changesets"][0]), [&json!(PARENT), &json!(STATE)], "{target}");
        }
        let untraced = server.get("/streams/none/changesets?include=position").await.json();
        let untraced = untraced["changesets"][0].as_object().unwrap();
        assert!(!untraced.contains_key("traceparent") && !untraced.contains_key("tracestate"));

        let changeset = json!({"changeset_id": 1, "events": [1], "metadata": {}});
        server
            .get("/streams/s/changesets")
            .await
            .is(200, &json!({"stream_id": "s", "changesets": [changeset]}));
        assert!(!server.get("/changesets").await.text().contains("trace"));

        let mut following = Following::open(server.address(), "/changesets?include=position", &[]).await;
        let (events, _) = following.until("following").await;
        assert_eq!(trace_of(&events[0].json()), [&json!(PARENT), &json!(STATE)]);
    })
    .await;
}

#[tokio::test]
async fn an_invalid_trace_is_ignored_and_the_commit_stored() {
    on_every_store(async |server| {
        let zero = PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        for (at, headers) in [
            [("traceparent", "nonsense"), ("tracestate", STATE)],
            [("traceparent", &zero), ("tracestate", STATE)],
            [("traceparent", PARENT), ("traceparent", PARENT)],
            [("tracestate", STATE), ("traceparent", "ä")],
        ]
        .iter()
        .enumerate()
        {
            commit(&server, &format!("s{at}"), headers).await;
        }
        commit(&server, "half", &[("traceparent", PARENT), ("tracestate", "a=1,a=2")]).await;
        let read = server.get("/changesets?include=position").await.json();
        let told: Vec<_> = read["changesets"].as_array().unwrap().iter().map(trace_of).collect();
        let none = [&Value::Null, &Value::Null];
        assert_eq!(told, [none, none, none, none, [&json!(PARENT), &Value::Null]]);
    })
    .await;
}

#[tokio::test]
async fn a_typed_append_belongs_to_a_trace_too() {
    on_every_store(async |server| {
        let trace = [("traceparent", PARENT), ("tracestate", STATE)];
        let opened = br#"{"initialEvent":{"eventType":"opened","payload":"x"}}"#;
        let answer = server.send("POST", "/typed/streams/account", &trace, opened).await.json();
        let id = answer["stream"]["streamId"].as_str().unwrap();
        let next = br#"{"event":{"eventType":"renamed","payload":"y"}}"#;
        let target = format!("/typed/streams/account/{id}/events/2");
        assert_eq!(server.send("PUT", &target, &trace, next).await.status, 201);
        let read = server.get(&format!("/streams/{id}/changesets?include=position")).await.json();
        for at in 0..2 {
            assert_eq!(trace_of(&read["changesets"][at]), [&json!(PARENT), &json!(STATE)]);
        }
    })
    .await;
}
