//! Notifications of typed streams reach those who ask for their type.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projector::publisher::Publishing;
use ees_projector::reactor::{Settings, Start};
use ees_projector::sqs::Queue;
use ees_projector::{Projector, memory as read_models};
use ees_store::publish::DeadLetter;
use ees_store::publish::sns::Publisher;
use ees_store::{
    ChangesetLog, Checkpoint, Commit, EventId, EventStore, Events, Expectation, LogQuery, memory,
};
use ees_test_aws::LocalAws;

use crate::support::LONG;

const IDS: [&str; 3] = [
    "0c5b1d5c-9b5e-4d0a-8c53-7d0a6a5f3d11",
    "9f86d081-884c-4d65-9a2f-eaa0c55ad015",
    "ffffffff-884c-4d65-9a2f-eaa0c55ad015",
];

struct Bus {
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
    topic: String,
}

impl Bus {
    async fn new() -> Self {
        let config = LocalAws::account().await.sdk_config();
        let (sns, sqs) = (aws_sdk_sns::Client::new(&config), aws_sdk_sqs::Client::new(&config));
        let topic = sns.create_topic().name("notifications").send().await.unwrap().topic_arn.unwrap();
        Self { sns, sqs, topic }
    }

    fn publisher(&self) -> Publisher {
        Publisher::new(self.sns.clone()).with_notifications_topic(&self.topic)
    }

    /// A standard queue that gets what passes the filter.
    async fn subscribed(&self, name: &str, raw: bool, filter: Option<&str>) -> String {
        use aws_sdk_sqs::types::QueueAttributeName::QueueArn;
        let url = self.sqs.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap();
        let asked = self.sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueArn).send().await;
        let arn = asked.unwrap().attributes.unwrap().remove(&QueueArn).unwrap();
        let subscribe = self.sns.subscribe().topic_arn(&self.topic).protocol("sqs").endpoint(arn);
        let subscribe = subscribe.attributes("RawMessageDelivery", raw.to_string());
        let subscribe = match filter {
            Some(filter) => subscribe.attributes("FilterPolicy", filter),
            None => subscribe,
        };
        subscribe.send().await.unwrap();
        url
    }

    /// This many notifications. There must be no more once they are acknowledged.
    async fn notified(&self, url: &str, count: usize) -> Vec<(String, String, u64)> {
        let queue = Queue::of_notifications(self.sqs.clone(), url).with_wait(Duration::from_secs(1));
        let (mut all, deadline) = (Vec::new(), Instant::now() + LONG);
        loop {
            let deliveries = queue.receive().await.unwrap();
            if deliveries.is_empty() && (all.len() >= count || Instant::now() > deadline) {
                assert_eq!(all.len(), count, "{all:#?}");
                all.sort();
                return all;
            }
            for delivery in &deliveries {
                let it = delivery.message.clone().unwrap();
                all.push((it.stream_type.to_string(), it.stream_id.to_string(), it.revision.get()));
            }
            queue.acknowledge(&deliveries).await.unwrap();
        }
    }
}

async fn commit(
    store: &memory::Store,
    stream: &str,
    last_event: u64,
    events: &str,
    stream_type: Option<&str>,
) {
    let expectation = Expectation::LastEvent(EventId::new(last_event));
    let mut commit = Commit::new(stream.parse().unwrap(), expectation, Events::parse(events).unwrap());
    commit.stream_type = stream_type.map(|name| name.parse().unwrap());
    store.commit(commit).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_append_to_a_typed_stream_is_notified_and_filtered_by_its_type() {
    let bus = Bus::new().await;
    let all = bus.subscribed("all", false, None).await;
    let orders = bus.subscribed("orders", true, Some(r#"{"StreamType": ["order"]}"#)).await;
    let store = Arc::new(memory::Store::new());
    commit(&store, IDS[0], 0, "[1]", Some("account")).await;
    commit(&store, IDS[0], 1, "[2,3]", None).await;
    commit(&store, IDS[1], 0, "[1]", Some("order")).await;
    // None of these is a typed stream with a UUID.
    commit(&store, IDS[2], 0, "[1]", None).await;
    commit(&store, "order/42", 0, "[1]", Some("order")).await;

    let mut projector = Projector::new(store.clone());
    let settings = Settings { start: Start::Beginning, ..Publishing::settings() };
    let publishing = Publishing::new("notifications", bus.publisher());
    projector.reactor(publishing, read_models::Database::new(), settings).unwrap();
    let running = projector.start();
    let told = |stream_type: &str, id: &str, revision| (stream_type.to_owned(), id.to_owned(), revision);
    let order = told("order", IDS[1], 1);
    let wanted = vec![told("account", IDS[0], 1), told("account", IDS[0], 3), order.clone()];
    assert_eq!(bus.notified(&all, 3).await, wanted);
    assert_eq!(bus.notified(&orders, 1).await, std::slice::from_ref(&order));
    running.shut_down().await;

    // What had gone to the dead letters goes to the same topic.
    let page = store.read(LogQuery::from(Checkpoint::new(2), 1)).await.unwrap();
    let changeset = &page.changesets[0].changeset;
    let letter = DeadLetter {
        topic_arn: bus.topic.clone(),
        stream_id: IDS[1].to_owned(),
        changeset_id: changeset.changeset_id,
        event_id: None,
        each_event: false,
        error: "refused".to_owned(),
        at: changeset.timestamp,
    };
    bus.publisher().redrive(&letter, changeset, Instant::now() + LONG).await.unwrap();
    assert_eq!(bus.notified(&orders, 1).await, [order]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_can_not_be_written_has_nothing_repeated_on_the_others() {
    let bus = Bus::new().await;
    // Neither the topic nor the queue removes what comes twice.
    let queue = bus.subscribed("all", true, None).await;
    let store = memory::Store::new();
    commit(&store, IDS[0], 0, "[1]", Some("account")).await;
    commit(&store, IDS[0], 1, "[2]", Some("account")).await;
    let page = store.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
    let changesets: Vec<_> = page.changesets.into_iter().map(|indexed| indexed.changeset).collect();
    let events = bus.topic.replace("notifications", "events.fifo");
    let publisher = bus.publisher().with_events_topic(&events);
    for _ in 0..3 {
        let published = publisher.publish(&changesets, Instant::now() + Duration::from_millis(500)).await;
        let unpublished = published.unwrap_err();
        assert!((unpublished.done, unpublished.passes, unpublished.goes_on) == (0, true, false));
    }
    let create = bus.sns.create_topic().name("events.fifo").attributes("FifoTopic", "true");
    create.attributes("ContentBasedDeduplication", "true").send().await.unwrap();
    publisher.publish(&changesets, Instant::now() + LONG).await.unwrap();
    let told = |revision| ("account".to_owned(), IDS[0].to_owned(), revision);
    assert_eq!(bus.notified(&queue, 2).await, [told(1), told(2)]);
}
