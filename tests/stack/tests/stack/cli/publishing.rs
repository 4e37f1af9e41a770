//! What a server publishes, and what happens to messages that a topic refuses.

use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName::{FifoQueue, QueueArn};
use ees_test_aws::{Account, LocalAws};
use ees_tests::{Server, run};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(60);

/// A topic, and a queue that is subscribed to it.
struct Topic {
    arn: String,
    queue: String,
    sqs: aws_sdk_sqs::Client,
}

impl Topic {
    async fn new(account: &Account, name: &str) -> Self {
        let sns = aws_sdk_sns::Client::new(&account.sdk_config());
        let sqs = aws_sdk_sqs::Client::new(&account.sdk_config());
        let create = sns.create_topic().name(format!("{name}.fifo")).attributes("FifoTopic", "true");
        let topic = create.attributes("ContentBasedDeduplication", "true").send().await.unwrap();
        let create = sqs.create_queue().queue_name(format!("{name}.fifo")).attributes(FifoQueue, "true");
        let queue = create.send().await.unwrap().queue_url.unwrap();
        let asked = sqs.get_queue_attributes().queue_url(&queue).attribute_names(QueueArn).send().await;
        let queue_arn = asked.unwrap().attributes.unwrap().remove(&QueueArn).unwrap();
        let arn = topic.topic_arn.unwrap();
        let subscribe = sns.subscribe().topic_arn(&arn).protocol("sqs").endpoint(queue_arn);
        subscribe.attributes("RawMessageDelivery", "true").send().await.unwrap();
        Self { arn, queue, sqs }
    }

    /// Receives and deletes the next message.
    async fn next(&self) -> Value {
        let deadline = Instant::now() + LONG;
        loop {
            let receive = self.sqs.receive_message().queue_url(&self.queue).wait_time_seconds(2);
            if let Some(message) =
                receive.send().await.unwrap().messages.unwrap_or_default().into_iter().next()
            {
                let delete = self.sqs.delete_message().queue_url(&self.queue);
                delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
                return serde_json::from_str(&message.body.unwrap()).unwrap();
            }
            assert!(Instant::now() < deadline, "no message");
        }
    }
}

/// A server publishes from the moment when its reactor has reached the end of the log.
fn wait_until_following(server: &Server, name: &str) {
    let deadline = Instant::now() + LONG;
    loop {
        let shown = run(&mut server.ees(&["projections", "status", name, "--json"])).json();
        if shown[0]["state"] == "following" {
            assert_eq!(shown[0]["kind"], "reactor");
            return;
        }
        assert!(Instant::now() < deadline, "{shown:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_published_and_a_dead_letter_can_be_put_back() {
    let account = LocalAws::account().await;
    let (changesets, events) =
        (Topic::new(&account, "changesets").await, Topic::new(&account, "events").await);
    let dead = changesets.sqs.create_queue().queue_name("dead").send().await.unwrap().queue_url.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start_in(folder.path().join("data"), &[], &account.environment());
    for stream in ["a", "b"] {
        run(&mut server.ees(&["commit", stream, "--event", r#"{"type":"history"}"#])).ok();
    }
    server.stop();

    let arguments = ["--publish-changesets", &changesets.arn, "--publish-events", &events.arn];
    let arguments = [&arguments[..], &["--publish-dead-letters", &dead]].concat();
    let server = Server::start_in(folder.path().join("data"), &arguments, &account.environment());
    for name in ["publish_changesets", "publish_events"] {
        wait_until_following(&server, name);
        let told = run(&mut server.ees(&["projections", "rebuild", name])).failed(4);
        assert!(told.contains("is a reactor") && told.contains("projections: statistics"), "{told}");
        run(&mut server.ees(&["effects", "list", name])).ok();
    }
    let next = ["commit", "a", "--event", r#"{"type":"news"}"#, "--expected-last-changeset", "1"];
    run(&mut server.ees(&next)).ok();
    let news = json!({"type": "news"});
    let whole = json!({"stream_id": "a", "changeset_id": 2, "events": [news], "metadata": {}});
    assert_eq!(changesets.next().await, whole);
    assert_eq!(
        events.next().await,
        json!({"stream_id": "a", "changeset_id": 2, "event_id": 2, "data": news})
    );

    // Publishes a part of the log again, for a subscriber that missed it.
    let again =
        ["publish", "--from", "1", "--to", "2", "--changesets", &changesets.arn, "--events", &events.arn];
    let told = run(server.ees(&again).arg("--json")).json();
    assert_eq!(told, [json!({"published": 1, "next": 2})]);
    let history = json!({"type": "history"});
    let whole = json!({"stream_id": "b", "changeset_id": 1, "events": [history], "metadata": {}});
    assert_eq!(changesets.next().await, whole);
    assert_eq!(events.next().await["data"], history);
    let none = ["publish", "--since", "2100-01-01T00:00:00Z", "--events", &events.arn];
    assert!(run(&mut server.ees(&none)).ok().contains("0 changesets published; checkpoint 3 is next"));
    assert!(run(&mut server.ees(&["publish"])).failed(2).contains("--changesets"));
    let nowhere = format!("{}x.fifo", changesets.arn);
    let told = run(&mut server.ees(&["publish", "--changesets", &nowhere])).failed(6);
    assert!(told.contains("continue with `--from 0`"), "{told}");

    let letter = json!({
        "topic_arn": changesets.arn, "stream_id": "a", "changeset_id": 1, "error": "refused",
        "at": "2026-01-01T00:00:00.000000Z",
    });
    let gone = json!({
        "topic_arn": changesets.arn, "stream_id": "gone", "changeset_id": 1, "error": "refused",
        "at": "2026-01-01T00:00:00.000000Z",
    });
    for letter in [&letter, &gone] {
        changesets.sqs.send_message().queue_url(&dead).message_body(letter.to_string()).send().await.unwrap();
    }
    let listed = run(&mut server.ees(&["dead-letters", "list", "--queue", &dead, "--json"])).json();
    assert_eq!(listed.len(), 2, "{listed:?}");
    let told = run(&mut server.ees(&["dead-letters", "redrive", "--queue", &dead]));
    assert!(told.out.contains("published: stream \"a\", changeset 1"), "{told:?}");
    assert!(told.out.contains("left: stream \"gone\""), "{told:?}");
    assert_eq!(told.code, Some(4));
    assert_eq!(changesets.next().await["events"], json!([{"type": "history"}]));

    // The same over HTTP, with an event that was not published yet: a FIFO topic drops repetitions.
    let of_a = json!({
        "topic_arn": events.arn, "stream_id": "a", "changeset_id": 1, "event_id": 1, "error": "refused",
        "at": "2026-01-01T00:00:00.000000Z",
    });
    for text in [&of_a.to_string(), "no letter"] {
        changesets.sqs.send_message().queue_url(&dead).message_body(text).send().await.unwrap();
    }
    let listed = server.get_json("/dead-letters");
    assert_eq!((&listed["queue"], &listed["has_more"]), (&json!(dead), &json!(false)));
    let letters = listed["dead_letters"].as_array().unwrap();
    let unreadable = letters.iter().find(|letter| letter["unreadable"] == "no letter").unwrap();
    assert_eq!(unreadable["stream_id"], json!(null));
    let shown = letters.iter().find(|letter| letter["stream_id"] == "a").unwrap();
    assert_eq!(
        (&shown["changeset_id"], &shown["event_id"], &shown["error"]),
        (&json!(1), &json!(1), &json!("refused"))
    );
    assert_eq!((&shown["topic_arn"], &shown["at"]), (&of_a["topic_arn"], &of_a["at"]));
    let redrive = reqwest::Client::new().post(format!("{}/dead-letters/redrive", server.url()));
    let redriven: Value = redrive.body("{}").send().await.unwrap().json().await.unwrap();
    assert_eq!((&redriven["published"], &redriven["has_more"]), (&json!(1), &json!(false)));
    let left: Vec<_> = redriven["left"].as_array().unwrap().iter().map(|letter| &letter["why"]).collect();
    assert!(left.contains(&&json!("the message is no dead letter")), "{left:?}");
    assert_eq!(events.next().await["data"], history);
}
