//! What somebody does who operates a stack, from another terminal or from a page.

use std::process::Command;
use std::time::{Duration, Instant};

use ees_test_aws::{Account, Stack};
use ees_tests::{ees, run};
use reqwest::{Client, Method, Response};
use serde_json::Value;

use crate::operators;

const KEY: &str = "local";
const PAGE: &str = "https://app.example.com";

/// One stack for all of it: it is that of everybody, since a browser's question brings no key.
#[tokio::test(flavor = "multi_thread")]
async fn a_stack_is_used_from_elsewhere() {
    let account = Account::of_everybody().await;
    let stack = Stack::event_store_for_pages(&account, operators::KEYS, PAGE).await;
    its_printed_lines_are_enough_for_another_terminal(&stack);
    a_command_says_why_it_is_refused(&stack);
    a_page_that_may_call_is_told_so(&stack).await;
    a_request_that_waits_is_not_held_for_long(&stack).await;
    a_failed_batch_of_the_indexer_stays_whole(&stack).await;
    operators::the_statistics_are_operated(&stack).await;
    operators::the_console_shows_the_stack(&stack).await;
    operators::a_projection_of_ones_own_is_operated_at_its_own_url(&stack).await;
}

fn its_printed_lines_are_enough_for_another_terminal(stack: &Stack) {
    let commands = r#"set -eu
"$EES" commit a --event 1
"$EES" read a
"$EES" tail --since-start --no-follow
"$EES" dynamodb check "$TABLE"
"$EES" dead-letters list
test -n "$READ_MODELS$CHANGESETS_TOPIC$EVENTS_TOPIC$NOTIFICATIONS_TOPIC$AWS_DEFAULT_REGION"
"#;
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{}{commands}", stack.shell_lines(KEY)));
    run(shell.env("EES", ees(&[]).get_program())).ok();
}

fn a_command_says_why_it_is_refused(stack: &Stack) {
    let url = stack.url();
    let to_it = |arguments: &[&str]| run(ees(arguments).env("EES_URL", &url).env("EES_API_KEY", KEY));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.jsonl");
    std::fs::write(&file, "{\"stream_id\":\"a/1\",\"events\":[1]}\n").unwrap();
    let refused = to_it(&["import", file.to_str().unwrap()]).failed(3);
    for part in ["stream \"a/1\"", "answered 404", "/streams/a%2F1", "takes the %2F for a slash"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
}

async fn called(stack: &Stack, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Client::new().request(method, format!("{}{path}", stack.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn a_page_that_may_call_is_told_so(stack: &Stack) {
    let allowed = |response: &Response| {
        let header = response.headers().get("access-control-allow-origin");
        header.map(|origin| origin.to_str().unwrap().to_owned())
    };
    let asks =
        [("Access-Control-Request-Method", "GET"), ("Access-Control-Request-Headers", "authorization")];
    for path in
        ["/streams", "/streams/a", "/streams/a/events", "/changesets", "/typed/streams/t", "/health/ready"]
    {
        for (origin, told) in [(PAGE, Some(PAGE)), ("https://evil.example", None)] {
            let headers = [("Origin", origin), asks[0], asks[1]];
            let answer = called(stack, Method::OPTIONS, path, &headers).await;
            assert_eq!(
                (answer.status().as_u16(), allowed(&answer).as_deref()),
                (200, told),
                "{path} {origin}"
            );
        }
    }
    let key = format!("Bearer {KEY}");
    let read = called(stack, Method::GET, "/changesets", &[("Origin", PAGE), ("Authorization", &key)]).await;
    assert_eq!((read.status().as_u16(), allowed(&read).as_deref()), (200, Some(PAGE)));
}

async fn a_request_that_waits_is_not_held_for_long(stack: &Stack) {
    let (key, started) = (format!("Bearer {KEY}"), Instant::now());
    let path = "/changesets?checkpoint=1000&wait=20";
    let empty = called(stack, Method::GET, path, &[("Authorization", &key)]).await;
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert_eq!(empty.headers()["ees-poll-after"], "5");
}

/// No record is to blame for it, and halves cost more than the whole.
async fn a_failed_batch_of_the_indexer_stays_whole(stack: &Stack) {
    let url = format!("{}/2015-03-31/event-source-mappings/", stack.account().endpoint());
    let authorization = stack.authorization().replace("execute-api", "lambda");
    let asked = Client::new().get(url).header("Authorization", authorization).send().await.unwrap();
    let mappings: Value = asked.json().await.unwrap();
    let of = |function: &str| {
        let mut mappings = mappings["EventSourceMappings"].as_array().unwrap().iter();
        mappings.find(|it| it["FunctionArn"].as_str().unwrap().ends_with(function)).unwrap().clone()
    };
    let (indexer, publisher) = (of("ees-indexer"), of("ees-publisher"));
    assert_ne!(indexer["BisectBatchOnFunctionError"], true, "{indexer}");
    assert_eq!(publisher["FunctionResponseTypes"][0], "ReportBatchItemFailures", "{publisher}");
    for mapping in [indexer, publisher] {
        assert_eq!(mapping["MaximumRetryAttempts"], -1, "{mapping}");
        assert!(mapping["DestinationConfig"]["OnFailure"]["Destination"].is_string(), "{mapping}");
    }
}
