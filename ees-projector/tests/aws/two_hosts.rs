//! A worker and functions at once in one projection: of two that make the same step one is fenced, and all end right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_sqs::types::Message;
use aws_sdk_sqs::types::MessageSystemAttributeName::MessageGroupId;
use ees_projector::lambda::Function;
use ees_projector::sqs::{Queue, Worker};
use ees_projector::{OnDemand, Projector, Settings, dynamodb};
use ees_store::dynamodb::{Indexing, Options, Store, create_table};
use ees_store::{ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, LogQuery};
use ees_test_aws::Faults;
use serde_json::json;
use tokio::sync::oneshot;

use crate::dying::ByStream;
use crate::support::{Bus, LONG, until};

const STREAMS: u64 = 4;
const TOTAL: u64 = 40;

/// A changeset a step: as many occasions to meet as there can be.
fn settings() -> Settings {
    Settings { batch_changesets_max: 1, span_changesets_max: 1, ..Settings::default() }
}

struct Host {
    log: Arc<Store>,
    read_models: dynamodb::Database,
    faults: Faults,
}

impl Host {
    async fn new(bus: &Bus, faults: Faults) -> Self {
        let config = bus.account.sdk_config_with(&faults);
        let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
        let log = Arc::new(Store::open_with(&config, "log", options).await.unwrap());
        let read_models = dynamodb::Database::new(aws_sdk_dynamodb::Client::new(&config), "read-models");
        Self { log, read_models, faults }
    }

    /// Steps that were tried.
    fn steps(&self) -> usize {
        self.faults.calls().of("TransactWriteItems")
    }
}

/// Appends, has it indexed, and puts it on the topic, a little at a time.
async fn write(bus: &Bus) {
    let store = Store::open(&bus.account.sdk_config(), "log").await.unwrap();
    let mut from = Checkpoint::START;
    for number in 0..TOTAL {
        let expectation = Expectation::LastChangeset((number / STREAMS).into());
        let stream = format!("s{}", number % STREAMS).parse().unwrap();
        store.commit(Commit::new(stream, expectation, Events::parse("[1]").unwrap())).await.unwrap();
        if number % 8 == 7 {
            while from.get() <= number {
                let page = store.read(LogQuery::from(from, 100).with_wait(LONG)).await.unwrap();
                let new: Vec<_> = page.changesets.into_iter().map(|indexed| indexed.changeset).collect();
                bus.publisher()
                    .publish(&new.iter().collect::<Vec<_>>(), Instant::now() + LONG)
                    .await
                    .unwrap();
                from = page.next;
            }
        }
    }
}

/// What Lambda does for a function with a queue, until it has handled all.
async fn poll(bus: &Bus, queue: &str, function: &Function) {
    let mut handled = 0;
    while handled < TOTAL {
        let receive = bus.sqs.receive_message().queue_url(queue).max_number_of_messages(10);
        let receive = receive.message_system_attribute_names(MessageGroupId).wait_time_seconds(1);
        let received = receive.send().await.unwrap().messages.unwrap_or_default();
        if received.is_empty() {
            continue;
        }
        let record = |message: &Message| {
            let group = &message.attributes().unwrap()[&MessageGroupId];
            json!({
                "messageId": message.message_id, "receiptHandle": message.receipt_handle, "body": message.body,
                "md5OfBody": "", "attributes": {"MessageGroupId": group}, "messageAttributes": {},
                "eventSource": "aws:sqs", "awsRegion": "eu-central-1", "eventSourceARN": "arn",
            })
        };
        let records: Vec<_> = received.iter().map(record).collect();
        let event: SqsEvent = serde_json::from_value(json!({ "Records": records })).unwrap();
        let response = function.on_messages(&event, Instant::now() + Duration::from_secs(10)).await;
        assert!(response.batch_item_failures.is_empty(), "{response:?}");
        for message in &received {
            let delete = bus.sqs.delete_message().queue_url(queue);
            delete.receipt_handle(message.receipt_handle().unwrap()).send().await.unwrap();
            handled += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_and_a_function_in_one_projection_fence_each_other_and_both_end_right() {
    let bus = Bus::new().await;
    let config = bus.account.sdk_config();
    create_table(&config, "log", false).await.unwrap();
    dynamodb::create_table(&aws_sdk_dynamodb::Client::new(&config), "read-models").await.unwrap();
    let (to_worker, to_function) = (
        bus.subscribed("worker", &bus.changesets, true).await,
        bus.subscribed("function", &bus.changesets, true).await,
    );

    // Neither is so much faster that it is always alone.
    let slow = |seed| Faults::seeded(seed).delayed(0.5, Duration::from_millis(40));
    let (one, other) = (Host::new(&bus, slow(1)).await, Host::new(&bus, slow(2)).await);
    let mut projector = Projector::new(one.log.clone());
    projector.fold(ByStream, one.read_models.clone(), settings()).unwrap();
    let running = projector.start();
    let queue = Queue::new(bus.sqs.clone(), &to_worker).with_wait(Duration::from_secs(1));
    let worker = Worker::new(queue, running.handle().clone());
    let by_stream =
        OnDemand::fold(ByStream, other.read_models.clone(), other.log.clone(), settings()).unwrap();
    let function = Function::new(by_stream);

    let (stop, stopped) = oneshot::channel::<()>();
    let working = Box::pin(worker.run(async { drop(stopped.await) }));
    tokio::join!(working, async {
        tokio::join!(write(&bus), poll(&bus, &to_function, &function));
        until("the worker is past it too", async || worker.counts().handled >= TOTAL).await;
        drop(stop);
    });
    running.shut_down().await;

    for queue in [&to_worker, &to_function] {
        assert_eq!(bus.count(queue).await, 0);
    }
    let mut rows = BTreeMap::new();
    for stream in (0..STREAMS).map(|stream| format!("s{stream}")) {
        let (row, next) = one.read_models.document::<Vec<u64>>("by_stream", &stream).await.unwrap();
        assert_eq!(next.get(), TOTAL);
        rows.insert(stream, row.unwrap());
    }
    let each: Vec<_> = (1..=TOTAL / STREAMS).collect();
    assert_eq!(rows, (0..STREAMS).map(|stream| (format!("s{stream}"), each.clone())).collect());
    let (worker, function) = (one.steps(), other.steps());
    assert!(worker > 1 && function > 1, "both were at work: {worker} and {function}");
    // To be created takes each of them a transaction or two; what is beyond was refused.
    assert!(worker + function > TOTAL as usize + 4, "they have met: {worker} and {function}");
}
