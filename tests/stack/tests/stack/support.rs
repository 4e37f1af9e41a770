//! Queues that are subscribed to a stack's topics.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use aws_sdk_sqs::operation::create_queue::builders::CreateQueueFluentBuilder;
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use aws_sdk_sqs::types::QueueAttributeName::{FifoQueue, Policy, QueueArn};
use ees_test_aws::Stack;
use serde_json::{Value, json};

/// A timeout that is far longer than anything here takes. A schedule ticks once a minute, and the emulator loses a tick
/// now and then.
pub(crate) const LONG: Duration = Duration::from_secs(240);

/// A policy that allows calls to the API and nothing else.
pub(crate) const CALLER: &str = r#"{"Version": "2012-10-17", "Statement": {
    "Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "arn:aws:execute-api:*:*:*"
}}"#;

/// What a subscriber was told.
#[derive(Default)]
pub(crate) struct Told {
    /// The different messages by stream, in the order in which each came first.
    pub(crate) by_stream: BTreeMap<String, Vec<Value>>,
    /// How many messages the topic let through a second time.
    pub(crate) published_again: usize,
}

/// A subscriber's queue.
pub(crate) struct Subscriber {
    pub(crate) url: String,
    pub(crate) client: aws_sdk_sqs::Client,
}

impl Subscriber {
    pub(crate) async fn of(stack: &Stack, topic: &str, name: &str) -> Self {
        let client = aws_sdk_sqs::Client::new(&stack.account().sdk_config());
        let create = client.create_queue().queue_name(format!("{name}.fifo")).attributes(FifoQueue, "true");
        Self::subscribed(stack, topic, create, None).await
    }

    /// Creates a standard queue for the notifications that pass the filter.
    pub(crate) async fn of_notifications(stack: &Stack, name: &str, filter: &str) -> Self {
        let client = aws_sdk_sqs::Client::new(&stack.account().sdk_config());
        let create = client.create_queue().queue_name(name);
        Self::subscribed(stack, "NotificationsTopic", create, Some(filter)).await
    }

    async fn subscribed(
        stack: &Stack,
        topic: &str,
        create: CreateQueueFluentBuilder,
        filter: Option<&str>,
    ) -> Self {
        let config = stack.account().sdk_config();
        let client = aws_sdk_sqs::Client::new(&config);
        let policy = json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": "*", "Condition": {"ArnEquals": {"aws:SourceArn": stack.output(topic)}},
        }});
        let create = create.attributes(Policy, policy.to_string());
        let url = create.send().await.unwrap().queue_url.unwrap();
        let asked = client.get_queue_attributes().queue_url(&url).attribute_names(QueueArn).send().await;
        let arn = asked.unwrap().attributes.unwrap().remove(&QueueArn).unwrap();
        let subscribe = aws_sdk_sns::Client::new(&config).subscribe().topic_arn(stack.output(topic));
        let subscribe = subscribe.protocol("sqs").endpoint(arn).attributes("RawMessageDelivery", "true");
        let subscribe = match filter {
            Some(filter) => subscribe.attributes("FilterPolicy", filter),
            None => subscribe,
        };
        subscribe.send().await.unwrap();
        Self { url, client }
    }

    /// Waits for this number of different messages, and returns them. A message that comes again does not count: neither
    /// what the queue delivers again, because it was not deleted in time, nor what the topic let through twice.
    pub(crate) async fn receive(&self, count: usize, within: Duration) -> Told {
        let deadline = Instant::now() + within;
        let mut told = Told::default();
        let (mut ids, mut bodies) = (HashSet::new(), HashSet::new());
        while bodies.len() < count {
            assert!(Instant::now() < deadline, "{} of {count} messages", bodies.len());
            let receive = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
            let messages = receive.wait_time_seconds(2).send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                continue;
            }
            let mut delete = self.client.delete_message_batch().queue_url(&self.url);
            for (number, message) in messages.into_iter().enumerate() {
                let done = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
                delete =
                    delete.entries(done.receipt_handle(message.receipt_handle.unwrap()).build().unwrap());
                let body = message.body.unwrap();
                let is_delivered_again = !ids.insert(message.message_id.unwrap());
                if !bodies.insert(body.clone()) {
                    println!("{body} comes again");
                    told.published_again += usize::from(!is_delivered_again);
                    continue;
                }
                let body: Value = serde_json::from_str(&body).unwrap();
                let stream = body["stream_id"].as_str().unwrap().to_owned();
                told.by_stream.entry(stream).or_default().push(body);
            }
            delete.send().await.unwrap();
        }
        told
    }
}
