//! Queues that are subscribed to a stack's topics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName::{FifoQueue, QueueArn};
use ees_test_aws::Stack;
use serde_json::Value;

/// Far longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// Messages by stream, in the order they came.
pub(crate) type Told = BTreeMap<String, Vec<Value>>;

/// A queue of a subscriber.
pub(crate) struct Subscriber {
    pub(crate) url: String,
    pub(crate) client: aws_sdk_sqs::Client,
}

impl Subscriber {
    pub(crate) async fn of(stack: &Stack, topic: &str, name: &str) -> Self {
        let config = stack.account().sdk_config();
        let client = aws_sdk_sqs::Client::new(&config);
        let create = client.create_queue().queue_name(format!("{name}.fifo")).attributes(FifoQueue, "true");
        let url = create.send().await.unwrap().queue_url.unwrap();
        let asked = client.get_queue_attributes().queue_url(&url).attribute_names(QueueArn).send().await;
        let arn = asked.unwrap().attributes.unwrap().remove(&QueueArn).unwrap();
        let subscribe = aws_sdk_sns::Client::new(&config).subscribe().topic_arn(stack.output(topic));
        let subscribe = subscribe.protocol("sqs").endpoint(arn).attributes("RawMessageDelivery", "true");
        subscribe.send().await.unwrap();
        Self { url, client }
    }

    /// All messages, once there are so many.
    pub(crate) async fn receive(&self, count: usize, within: Duration) -> Told {
        let deadline = Instant::now() + within;
        let mut streams = Told::new();
        let mut received = 0;
        while received < count {
            assert!(Instant::now() < deadline, "{received} of {count} messages");
            let receive = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
            for message in receive.wait_time_seconds(2).send().await.unwrap().messages.unwrap_or_default() {
                let body: Value = serde_json::from_str(&message.body.unwrap()).unwrap();
                let stream = body["stream_id"].as_str().unwrap().to_owned();
                streams.entry(stream).or_default().push(body);
                received += 1;
                let delete = self.client.delete_message().queue_url(&self.url);
                delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
            }
        }
        streams
    }
}
