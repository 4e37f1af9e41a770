//! One command through the stack, from the API to the webhook, is one trace.

use std::sync::Arc;
use std::time::Duration;

use ees_projector::reactor::{self, Start};
use ees_projector::sqs::{Queue, Worker};
use ees_projector::webhook::HttpReactor;
use ees_projector::{Projector, dynamodb};
use ees_store::TraceContext;
use ees_store::dynamodb::{Indexing, Options, Store};
use ees_test_aws::{LocalAws, Stack};
use ees_tests::tracing::{caller, collector, endpoint, id, links, parent, text};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::support::{LONG, Subscriber};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_one_trace_from_the_api_to_the_webhook() {
    let (account, collector) = (LocalAws::account().await, collector());
    let stack = Stack::event_store_traced(&account, collector.url()).await;
    let config = account.sdk_config();
    let queue = Subscriber::of(&stack, "ChangesetsTopic", "traced").await;

    let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
    let store = Arc::new(Store::open_with(&config, stack.output("Table"), options).await.unwrap());
    let client = aws_sdk_dynamodb::Client::new(&config);
    dynamodb::create_table(&client, "mine").await.unwrap();
    let database = dynamodb::Database::new(client, "mine");
    let (hook, mut calls) = endpoint().await;
    let mut projector = Projector::new(store);
    let settings = reactor::Settings { start: Start::Beginning, ..reactor::Settings::default() };
    projector.reactor(HttpReactor::<Value>::new("mailer", hook), database, settings).unwrap();
    let running = projector.start();
    let worker = Worker::new(
        Queue::new(queue.client.clone(), &queue.url).with_wait(Duration::from_secs(1)),
        running.handle().clone(),
    );
    let (stop, stopped) = oneshot::channel::<()>();
    let working = tokio::spawn(async move {
        let ended = async { drop(stopped.await) };
        worker.run(ended).await;
    });

    let caller: TraceContext = caller(true);
    let request = reqwest::Client::new().post(format!("{}/streams/account-1", stack.url()));
    let request = caller.headers().fold(request, |request, (name, value)| request.header(name, value));
    let request = request.header("authorization", stack.authorization());
    let request = request.header("content-type", "application/json").header("Stream-Type", "account");
    let answer = request.body(r#"{"events": [{"type": "opened"}]}"#).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let called = tokio::time::timeout(LONG, calls.recv()).await.unwrap().unwrap();

    let span = |name| collector.span(caller.trace_id(), name);
    let request = span("POST /streams/{stream_id}").await;
    let commit = span("commit account").await;
    let (react, effect) = (span("react mailer").await, span("webhook mailer").await);
    let (post, message) = (span("POST").await, span("process traced.fifo").await);
    let _ = stop.send(());
    working.await.unwrap();
    running.shut_down().await;

    assert_eq!(parent(&request), caller.parent_id());
    assert_eq!(parent(&commit), id(&request));
    assert_eq!(text(&commit.attributes, "db.system.name").as_deref(), Some("aws.dynamodb"));
    for span in [&react, &message] {
        assert_eq!((parent(span), links(span)), (id(&commit), vec![id(&commit)]), "{}", span.name);
    }
    assert_eq!(parent(&effect), id(&commit));
    assert_eq!(parent(&post), id(&effect));
    assert_eq!((called.trace_id(), called.parent_id()), (caller.trace_id(), &*id(&post)));
    // The functions that are called with events have spans of their own.
    for function in ["ees-api", "ees-indexer", "ees-publisher"] {
        let sent = |service: &String| service == function;
        collector.until(|received| received.services.iter().find(|it| sent(it)).map(drop)).await;
    }
}
