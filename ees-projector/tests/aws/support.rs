//! Two FIFO topics, and queues that are subscribed to them, in an account of the test's own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName::{self, FifoQueue, QueueArn, RedrivePolicy, VisibilityTimeout};
use ees_projector::sqs::Queue;
use ees_store::publish::sns::Publisher;
use ees_store::{
    Checkpoint, Commit, EventStore, Events, Expectation, StreamId, StreamQuery, StreamType, memory,
};
use ees_test_aws::{Account, Faults, LocalAws};

use crate::flaky::Flaky;

/// Far longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(60);

pub struct Bus {
    pub account: Account,
    pub sqs: aws_sdk_sqs::Client,
    sns: aws_sdk_sns::Client,
    pub changesets: String,
    pub events: String,
}

impl Bus {
    pub async fn new() -> Self {
        let account = LocalAws::account().await;
        let config = account.sdk_config();
        let (sns, sqs) = (aws_sdk_sns::Client::new(&config), aws_sdk_sqs::Client::new(&config));
        let topic = async |name: &str| {
            let create = sns.create_topic().name(name).attributes("FifoTopic", "true");
            let created = create.attributes("ContentBasedDeduplication", "true").send().await.unwrap();
            created.topic_arn.unwrap()
        };
        let (changesets, events) = (topic("changesets.fifo").await, topic("events.fifo").await);
        Self { account, sqs, sns, changesets, events }
    }

    pub fn publisher(&self) -> Publisher {
        self.with_topics(self.sns.clone())
    }

    /// One whose calls are planned.
    pub fn publisher_with(&self, faults: &Faults) -> Publisher {
        self.with_topics(aws_sdk_sns::Client::new(&self.account.sdk_config_with(faults)))
    }

    /// One whose calls fail as told.
    pub fn flaky_publisher(&self, flaky: Flaky) -> Publisher {
        let config = self.account.sdk_config().into_builder().http_client(flaky).build();
        self.with_topics(aws_sdk_sns::Client::new(&config))
    }

    fn with_topics(&self, client: aws_sdk_sns::Client) -> Publisher {
        Publisher::new(client).with_changesets_topic(&self.changesets).with_events_topic(&self.events)
    }

    /// A FIFO queue with these attributes; its URL.
    pub async fn queue(&self, name: &str, attributes: &[(QueueAttributeName, &str)]) -> String {
        let create = self.sqs.create_queue().queue_name(format!("{name}.fifo"));
        let create = create.attributes(FifoQueue, "true").attributes(VisibilityTimeout, "30");
        let create = attributes
            .iter()
            .fold(create, |create, (attribute, value)| create.attributes(attribute.clone(), *value));
        create.send().await.unwrap().queue_url.unwrap()
    }

    /// A queue that gives what was delivered so often without success to another one.
    pub async fn queue_with_redrive(&self, name: &str, to: &str, times: u32) -> String {
        let to = self.arn_of(to).await;
        let policy = format!(r#"{{"deadLetterTargetArn":"{to}","maxReceiveCount":"{times}"}}"#);
        self.queue(name, &[(RedrivePolicy, &policy)]).await
    }

    async fn arn_of(&self, queue: &str) -> String {
        let asked = self.sqs.get_queue_attributes().queue_url(queue).attribute_names(QueueArn).send().await;
        asked.unwrap().attributes.unwrap().remove(&QueueArn).unwrap()
    }

    pub async fn subscribe(&self, topic: &str, queue: &str, raw: bool, filter: Option<&str>) {
        let mut attributes = HashMap::from([("RawMessageDelivery".to_owned(), raw.to_string())]);
        if let Some(filter) = filter {
            attributes.insert("FilterPolicy".to_owned(), filter.to_owned());
        }
        let subscribe =
            self.sns.subscribe().topic_arn(topic).protocol("sqs").endpoint(self.arn_of(queue).await);
        subscribe.set_attributes(Some(attributes)).send().await.unwrap();
    }

    /// A queue that is subscribed to a topic.
    pub async fn subscribed(&self, name: &str, topic: &str, raw: bool) -> String {
        let queue = self.queue(name, &[]).await;
        self.subscribe(topic, &queue, raw, None).await;
        queue
    }

    /// This many messages of a queue, in the order in which they came. There must be no more.
    pub async fn bodies(&self, queue: &str, count: usize) -> Vec<String> {
        let queue = Queue::new(self.sqs.clone(), queue).with_wait(Duration::from_secs(1));
        let (mut bodies, deadline) = (Vec::new(), Instant::now() + LONG);
        loop {
            let deliveries = queue.receive().await.unwrap();
            if deliveries.is_empty() && (bodies.len() >= count || Instant::now() > deadline) {
                assert_eq!(bodies.len(), count, "{bodies:#?}");
                return bodies;
            }
            bodies.extend(deliveries.iter().map(|delivery| delivery.body.clone()));
            queue.acknowledge(&deliveries).await.unwrap();
        }
    }

    /// How many messages are in a queue, visible or not.
    pub async fn count(&self, queue: &str) -> usize {
        use QueueAttributeName::{ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible};
        let asked = self.sqs.get_queue_attributes().queue_url(queue).attribute_names(QueueAttributeName::All);
        let attributes = asked.send().await.unwrap().attributes.unwrap();
        let number = |name| attributes.get(&name).map_or(0, |count| count.parse::<usize>().unwrap());
        number(ApproximateNumberOfMessages) + number(ApproximateNumberOfMessagesNotVisible)
    }
}

/// Appends a changeset to a stream, whatever its length; its place.
pub async fn append(store: &Arc<memory::Store>, stream: &str, events: &str) -> Checkpoint {
    let id: StreamId = stream.parse().unwrap();
    let last = store.read_stream(StreamQuery::all(id.clone())).await.map_or(0, |page| page.changesets.len());
    let events = Events::parse(events).unwrap();
    let mut commit = Commit::new(id, Expectation::LastChangeset((last as u64).into()), events);
    commit.stream_type = Some(StreamType::new("account").unwrap());
    store.commit(commit).await.unwrap().checkpoint.unwrap()
}

/// Asks again and again until the answer is yes.
pub async fn until<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    let deadline = Instant::now() + LONG;
    while !ask().await {
        assert!(Instant::now() < deadline, "not within {LONG:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
