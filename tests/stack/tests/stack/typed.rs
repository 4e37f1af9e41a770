//! Typed streams through the stack: the API, and the notifications topic with its filter.

use std::time::{Duration, Instant};

use ees_projector::sqs::Queue;
use ees_test_aws::{LocalAws, Stack};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::{LONG, Subscriber};

async fn call(stack: &Stack, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let request = Client::new().request(method, format!("{}{path}", stack.url()));
    let request = request.header("Authorization", stack.authorization());
    let request = if body.is_null() { request } else { request.body(body.to_string()) };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_commit_is_notified_to_those_who_ask_for_its_type() {
    let account = LocalAws::account().await;
    let stack = Stack::event_store(&account).await;
    let filter = r#"{"StreamType": ["account"]}"#;
    let subscriber = Subscriber::of_notifications(&stack, "accounts", filter).await;

    let event = json!({"eventType": "opened", "payload": "x"});
    let opened = json!({"initialEvent": event});
    assert_eq!(call(&stack, Method::POST, "/typed/streams/order", &opened).await.0, 201);
    let (status, begun) = call(&stack, Method::POST, "/typed/streams/account", &opened).await;
    assert_eq!(status, 201, "{begun}");
    let id = begun["stream"]["streamId"].as_str().unwrap();
    let second = format!("/typed/streams/account/{id}/events/2");
    let (status, updated) = call(&stack, Method::PUT, &second, &json!({"event": event})).await;
    assert_eq!(status, 201, "{updated}");
    let (status, conflict) = call(&stack, Method::PUT, &second, &json!({"event": event})).await;
    assert_eq!((status, conflict["requestId"].is_string()), (409, true), "{conflict}");

    // The API lists the stream when the index has it.
    let deadline = Instant::now() + LONG;
    loop {
        let (status, page) = call(&stack, Method::GET, "/typed/streams/account", &Value::Null).await;
        assert_eq!(status, 200, "{page}");
        if page["streamPage"]["streams"] == json!([updated["stream"]]) {
            break;
        }
        assert!(Instant::now() < deadline, "{page}");
    }

    let queue =
        Queue::of_notifications(subscriber.client.clone(), &subscriber.url).with_wait(Duration::from_secs(2));
    let mut revisions = Vec::new();
    while revisions.len() < 2 {
        assert!(Instant::now() < deadline, "{revisions:?}");
        let deliveries = queue.receive().await.unwrap();
        for delivery in &deliveries {
            let it = delivery.message.clone().unwrap();
            assert_eq!((it.stream_type.as_str(), it.stream_id.to_string().as_str()), ("account", id));
            revisions.push(it.revision.get());
        }
        queue.acknowledge(&deliveries).await.unwrap();
    }
    revisions.sort_unstable();
    assert_eq!(revisions, [1, 2]);
}
