//! Every changeset and every event reaches subscribers once, in the order of its stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projector::publisher::Publishing;
use ees_projector::reactor::{Settings, Start};
use ees_projector::sqs::{DeadLetterQueue, Queue, Redrive};
use ees_projector::{OnDemand, Projector, memory as read_models};
use ees_store::publish::sns::Publisher;
use ees_store::publish::{Message, Received};
use ees_store::{
    Changeset, ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, LogQuery, Quarantined,
    TraceContext, memory,
};
use ees_test_aws::Faults;

use crate::flaky::Flaky;
use crate::support::{Bus, LONG, append};

/// Some streams, some changesets each, some events each.
async fn history(streams: usize, changesets: usize) -> Arc<memory::Store> {
    let store = Arc::new(memory::Store::new());
    for changeset in 0..changesets {
        for stream in 0..streams {
            let event =
                |number: usize| format!(r#"{{"type":"noted","text":"{stream}-{changeset}-{number}"}}"#);
            let events: Vec<_> = (0..=changeset % 3).map(event).collect();
            append(&store, &format!("stream-{stream}"), &format!("[{}]", events.join(","))).await;
        }
    }
    store
}

async fn all(store: &memory::Store) -> Vec<Changeset> {
    let page = store.read(LogQuery::from(Checkpoint::START, 10_000)).await.unwrap();
    page.changesets.into_iter().map(|indexed| indexed.changeset).collect()
}

/// What came, in the order of each stream.
fn by_stream(bodies: impl IntoIterator<Item = String>) -> BTreeMap<String, Vec<String>> {
    let mut streams: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for body in bodies {
        let stream = Received::read(&body).unwrap().stream_id().to_string();
        streams.entry(stream).or_default().push(body);
    }
    streams
}

fn expected(changesets: &[Changeset]) -> (Vec<String>, Vec<String>) {
    let whole = changesets.iter().map(|it| Message::of_changeset(it).unwrap().body().to_owned()).collect();
    let events = changesets
        .iter()
        .flat_map(|it| Message::of_events(it).unwrap())
        .map(|it| it.body().to_owned())
        .collect();
    (whole, events)
}

/// Lets a reactor publish the whole log.
async fn publish(store: &Arc<memory::Store>, publisher: Publisher) {
    let mut projector = Projector::new(store.clone());
    let settings = Settings { start: Start::Beginning, ..Publishing::settings() };
    projector
        .reactor(Publishing::new("publisher", publisher), read_models::Database::new(), settings)
        .unwrap();
    let running = projector.start();
    let head = store.head().await.unwrap().checkpoint;
    running.handle().when_reached("publisher", head, LONG).await.unwrap();
    running.shut_down().await;
}

async fn delivered_once_and_in_order(bus: &Bus, store: &Arc<memory::Store>, publisher: Publisher) {
    let changesets = bus.subscribed("changesets", &bus.changesets, true).await;
    let events = bus.subscribed("events", &bus.events, true).await;
    publish(store, publisher).await;
    let (whole, each) = expected(&all(store).await);
    assert_eq!(by_stream(bus.bodies(&changesets, whole.len()).await), by_stream(whole));
    assert_eq!(by_stream(bus.bodies(&events, each.len()).await), by_stream(each));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_changeset_and_event_is_delivered_once_and_in_order() {
    let (bus, store) = (Bus::new().await, history(12, 6).await);
    delivered_once_and_in_order(&bus, &store, bus.publisher()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_calls_and_lost_answers_change_nothing() {
    for seed in [1, 2] {
        let (bus, store) = (Bus::new().await, history(6, 4).await);
        let flaky = Flaky { broken: 0.15, ..Flaky::seeded(seed) };
        delivered_once_and_in_order(&bus, &store, bus.flaky_publisher(flaky)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_refused_one_by_one_are_sent_again_in_order() {
    for seed in [3, 4] {
        let (bus, store) = (Bus::new().await, history(6, 4).await);
        let flaky = Flaky { broken: 0.05, refused: 0.3, ..Flaky::seeded(seed) };
        delivered_once_and_in_order(&bus, &store, bus.flaky_publisher(flaky)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_moment_leaves_nothing_out_and_the_topic_removes_what_is_sent_twice() {
    let (bus, store) = (Bus::new().await, history(6, 4).await);
    let changesets = bus.subscribed("changesets", &bus.changesets, true).await;
    let settings = Settings { start: Start::Beginning, batch_changesets_max: 5, ..Publishing::settings() };
    let database = read_models::Database::new();
    let deadline = Instant::now() + LONG;
    for attempt in 0_u64.. {
        let publishing = Publishing::new("publisher", bus.publisher());
        let host = OnDemand::reactor(publishing, database.clone(), store.clone(), settings).unwrap();
        let drained =
            tokio::time::timeout(Duration::from_millis(5 + 7 * attempt), host.drain_until(deadline)).await;
        if drained.is_ok() {
            break;
        }
    }
    let (whole, _) = expected(&all(&store).await);
    assert_eq!(by_stream(bus.bodies(&changesets, whole.len()).await), by_stream(whole));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_events_than_fit_the_time_are_published_by_the_calls_that_follow_each_once() {
    const EVENTS: usize = 400;
    let (bus, store) = (Bus::new().await, Arc::new(memory::Store::new()));
    let queue = bus.subscribed("events", &bus.events, true).await;
    let events: Vec<_> = (0..EVENTS).map(|number| number.to_string()).collect();
    append(&store, "a", &format!("[{}]", events.join(","))).await;
    append(&store, "a", "[\"last\"]").await;
    let (changesets, faults, deadline) = (all(&store).await, Faults::none(), Instant::now() + LONG);
    let publisher = bus.publisher_with(&faults);
    let (mut left, mut calls) = (&changesets[..], 1);
    while let Err(unpublished) = publisher.publish(left, Instant::now() + Duration::from_millis(300)).await {
        assert!(unpublished.passes && Instant::now() < deadline, "{unpublished:?}");
        left = &left[unpublished.done..];
        calls += 1;
    }
    // What is under way when the time is over may be sent once more: a call to each topic.
    let sent = faults.calls().of("PublishBatch");
    assert!(calls > 1 && sent <= EVENTS + 3 + 2 * calls, "{sent} in {calls}");
    let (_, each) = expected(&changesets);
    assert_eq!(bus.bodies(&queue, each.len()).await, each);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_never_answers_is_waited_for_until_the_time_is_over() {
    let (bus, store) = (Bus::new().await, history(1, 1).await);
    // The system takes connections for it, and nobody ever reads them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let config = bus.account.sdk_config().into_builder().endpoint_url(endpoint).build();
    let publisher = Publisher::new(aws_sdk_sns::Client::new(&config)).with_events_topic(&bus.events);
    let began = Instant::now();
    let published = publisher.publish(&all(&store).await, began + Duration::from_millis(500)).await;
    let unpublished = published.unwrap_err();
    assert!((unpublished.done, unpublished.passes, unpublished.goes_on) == (0, true, false));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_never_answers_holds_up_no_other() {
    let (bus, store) = (Bus::new().await, history(2, 20).await);
    let queue = bus.subscribed("changesets", &bus.changesets, true).await;
    let flaky = Flaky { silent: Some(bus.events.clone()), ..Flaky::seeded(6) };
    let changesets = all(&store).await;
    let deadline = Instant::now() + Duration::from_secs(4);
    let unpublished = bus.flaky_publisher(flaky).publish(&changesets, deadline).await.unwrap_err();
    assert_eq!((unpublished.done, unpublished.passes), (0, true));
    let (whole, _) = expected(&changesets);
    assert_eq!(by_stream(bus.bodies(&queue, whole.len()).await), by_stream(whole));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_gets_the_types_it_asks_for() {
    let (bus, store) = (Bus::new().await, Arc::new(memory::Store::new()));
    let queue = bus.queue("some", &[]).await;
    bus.subscribe(
        &bus.events,
        &queue,
        false,
        Some(r#"{"event_types":["closed"],"stream_type":["account"]}"#),
    )
    .await;
    append(&store, "a", r#"[{"type":"opened"},{"type":"closed"}]"#).await;
    append(&store, "b", r#"[{"type":"opened"}]"#).await;
    publish(&store, bus.publisher()).await;
    let bodies = bus.bodies(&queue, 1).await;
    assert!(bodies[0].contains("Notification"), "in an envelope: {}", bodies[0]);
    let Received::Event { event_id, .. } = Received::read(&bodies[0]).unwrap() else { panic!("no event") };
    assert_eq!(event_id.get(), 2);
}

/// Raw, the trace is beside the body; in an envelope, inside.
#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_changeset_travels_with_its_messages() {
    let (bus, store) = (Bus::new().await, memory::Store::new());
    let raw = bus.subscribed("raw", &bus.changesets, true).await;
    let enveloped = bus.subscribed("enveloped", &bus.events, false).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traces = [None, Some("a=1,b=2 3")].map(|list| TraceContext::from_headers(parent, list));
    for (last, trace) in (0_u64..).zip([None].iter().chain(&traces)) {
        let expectation = Expectation::LastChangeset(last.into());
        let mut commit = Commit::new("a".parse().unwrap(), expectation, Events::parse("[1]").unwrap());
        commit.trace.clone_from(trace);
        store.commit(commit).await.unwrap();
    }
    bus.publisher().publish(&all(&store).await, Instant::now() + LONG).await.unwrap();
    for url in [raw, enveloped] {
        let queue = Queue::new(bus.sqs.clone(), url);
        let mut received = BTreeMap::new();
        while received.len() < 3 {
            let deliveries = queue.receive().await.unwrap();
            received.extend(
                deliveries
                    .iter()
                    .map(|it| (it.message.as_ref().unwrap().changeset_id().get(), it.trace.clone())),
            );
            queue.acknowledge(&deliveries).await.unwrap();
        }
        assert_eq!(received, BTreeMap::from([(1, None), (2, traces[0].clone()), (3, traces[1].clone())]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_arrives_as_a_reference_and_what_is_odd_as_it_is() {
    let (bus, store) = (Bus::new().await, Arc::new(memory::Store::new()));
    let queue = bus.subscribed("changesets", &bus.changesets, true).await;
    append(&store, "large", &format!(r#"["{}"]"#, "-".repeat(300_000))).await;
    append(&store, "odd/\u{fffe}ü", "[\"\u{ffff}\u{1f600}\",null,1e400]").await;
    publish(&store, bus.publisher()).await;
    let received = bus.bodies(&queue, 2).await;
    let received: Vec<_> = received.iter().map(|body| Received::read(body).unwrap()).collect();
    let of = |stream: &str| received.iter().find(|it| it.stream_id().as_str() == stream).unwrap();
    assert!(matches!(of("large"), Received::Changeset { content: None, .. }));
    let Received::Changeset { content: Some((events, _)), .. } = of("odd/\u{fffe}ü") else {
        panic!("no content")
    };
    assert_eq!(events.as_stored(), "[\"\\uffff\u{1f600}\",null,1e400]");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_topic_takes_becomes_a_dead_letter_and_can_be_put_back() {
    let (bus, store) = (Bus::new().await, Arc::new(memory::Store::new()));
    let queue = bus.subscribed("changesets", &bus.changesets, true).await;
    let dead = DeadLetterQueue::new(bus.sqs.clone(), bus.queue("dead", &[]).await);
    append(&store, "a", "[1]").await;
    append(&store, "a", r#"["!poison!"]"#).await;
    append(&store, "a", "[3]").await;
    append(&store, "b", "[1]").await;
    let only_changesets = |publisher: Publisher| publisher.with_dead_letters(Arc::new(dead.clone()));
    publish(&store, only_changesets(bus.flaky_publisher(Flaky::seeded(5)))).await;
    let bodies = by_stream(bus.bodies(&queue, 3).await);
    assert_eq!(bodies["a"].len(), 2, "the stream goes on");

    let letters = dead.take().await.unwrap();
    let mut told: Vec<_> = letters.iter().filter_map(|it| it.letter.clone()).collect();
    told.sort_by_key(|letter| letter.event_id);
    assert_eq!(told.len(), 2, "one of each topic: {told:?}");
    assert_eq!((told[0].topic_arn.as_str(), told[0].event_id), (bus.changesets.as_str(), None));
    assert_eq!((told[0].stream_id.as_str(), told[0].changeset_id.get()), ("a", 2));
    assert!(told[1].error.contains("InvalidParameter") && told[1].event_id == Some(2.into()), "{told:?}");

    let changeset = all(&store).await.into_iter().find(|it| it.changeset_id == told[0].changeset_id).unwrap();
    bus.publisher().redrive(&told[0], &changeset, Instant::now() + LONG).await.unwrap();
    assert_eq!(bus.bodies(&queue, 1).await, [Message::of_changeset(&changeset).unwrap().body()]);
    for letter in &letters {
        dead.remove(letter).await.unwrap();
    }
    assert!(dead.take().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_were_left_and_are_visible_again_do_not_hide_the_rest_of_the_queue() {
    let bus = Bus::new().await;
    let queue = bus.queue("dead", &[]).await;
    let dead = DeadLetterQueue::new(bus.sqs.clone(), &queue);
    let send = async |body: String| {
        // As `DeadLetterQueue::keep` does it: each in a group of its own.
        let message = bus.sqs.send_message().queue_url(&queue).message_group_id(&body);
        message.message_deduplication_id(&body).message_body(&body).send().await.unwrap();
    };
    for number in 0..10 {
        send(format!("no-dead-letter-{number}")).await;
    }
    let (publisher, store) = (bus.publisher(), memory::Store::new());
    let mut redrive = Redrive::of(&dead, &publisher, &store);
    let mut left = 0;
    while left < 10 {
        for redriven in redrive.next().await.unwrap() {
            assert!(redriven.result.is_err(), "{redriven:?}");
            left += 1;
            // As it would be 30 s later.
            dead.leave(&redriven.letter).await.unwrap();
        }
    }
    for number in 10..30 {
        send(format!("no-dead-letter-{number}")).await;
    }
    loop {
        let redriven = redrive.next().await.unwrap();
        if redriven.is_empty() {
            break;
        }
        left += redriven.len();
    }
    assert_eq!(left, 30, "each letter is handled once, and none is forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_changeset_becomes_a_dead_letter_or_is_what_publishing_ends_before() {
    let (bus, store) = (Bus::new().await, Arc::new(memory::Store::new()));
    let queue = bus.subscribed("changesets", &bus.changesets, true).await;
    let dead = DeadLetterQueue::new(bus.sqs.clone(), bus.queue("dead", &[]).await);
    append(&store, "a", "[1]").await;
    let events = Events::quarantine(Quarantined::new("not JSON", "[NaN]", "{}"), 1);
    store
        .commit(Commit::new("a".parse().unwrap(), Expectation::LastChangeset(1.into()), events))
        .await
        .unwrap();
    append(&store, "b", "[3]").await;
    let changesets = all(&store).await;
    let topic = || Publisher::new(aws_sdk_sns::Client::new(&bus.account.sdk_config()));
    let publisher = topic().with_changesets_topic(&bus.changesets);
    let unpublished = publisher.publish(&changesets, Instant::now() + LONG).await.unwrap_err();
    assert_eq!((unpublished.done, unpublished.passes, unpublished.goes_on), (1, false, false));
    assert!(unpublished.error.contains("changeset 2 of stream a"), "{unpublished}");
    assert_eq!(bus.bodies(&queue, 1).await.len(), 1);

    let publisher = topic().with_changesets_topic(&bus.changesets).with_dead_letters(Arc::new(dead.clone()));
    publisher.publish(&changesets[1..], Instant::now() + LONG).await.unwrap();
    assert_eq!(by_stream(bus.bodies(&queue, 1).await).into_keys().collect::<Vec<_>>(), ["b"]);
    let letters: Vec<_> = dead.take().await.unwrap().into_iter().filter_map(|it| it.letter).collect();
    assert_eq!((letters.len(), letters[0].changeset_id.get()), (1, 2));
    assert!(letters[0].error.contains("not JSON"), "{letters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_what_it_should_be_makes_no_dead_letters() {
    let (bus, store) = (Bus::new().await, history(3, 1).await);
    let sns = aws_sdk_sns::Client::new(&bus.account.sdk_config());
    let create = sns.create_topic().name("by_name.fifo").attributes("FifoTopic", "true");
    let topic =
        create.attributes("ContentBasedDeduplication", "false").send().await.unwrap().topic_arn.unwrap();
    let dead = DeadLetterQueue::new(bus.sqs.clone(), bus.queue("dead", &[]).await);
    let publisher = Publisher::new(sns.clone()).with_changesets_topic(&topic);
    let publisher = publisher.with_dead_letters(Arc::new(dead.clone()));
    let changesets = all(&store).await;
    let published = publisher.publish(&changesets, Instant::now() + Duration::from_millis(500)).await;
    let unpublished = published.unwrap_err();
    assert!(unpublished.passes && unpublished.error.contains("MessageDeduplicationId"), "{unpublished:?}");
    assert!(dead.take().await.unwrap().is_empty());

    let mended = sns.set_topic_attributes().topic_arn(&topic).attribute_name("ContentBasedDeduplication");
    mended.attribute_value("true").send().await.unwrap();
    publisher.publish(&changesets, Instant::now() + LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_dead_letters_the_stream_of_what_no_topic_takes_waits_and_others_are_told() {
    let (bus, store) = (Bus::new().await, Arc::new(memory::Store::new()));
    let queue = bus.subscribed("changesets", &bus.changesets, true).await;
    append(&store, "a", "[1]").await;
    append(&store, "b", r#"["!poison!"]"#).await;
    append(&store, "c", "[1]").await;
    let mut projector = Projector::new(store.clone());
    let publishing = Publishing::new("publisher", bus.flaky_publisher(Flaky::seeded(6)));
    let retry = ees_projector::Retry { times: 1, delay_min: Duration::from_millis(1), ..Default::default() };
    let settings = Settings { start: Start::Beginning, retry, ..Publishing::settings() };
    projector.reactor(publishing, read_models::Database::new(), settings).unwrap();
    let running = projector.start();
    let handle = running.handle().clone();
    handle.when_reached("publisher", 2.into(), LONG).await.unwrap();
    let parked = handle.parked("publisher").await.unwrap();
    assert_eq!((parked.len(), parked[0].stream_id.as_str()), (1, "b"));
    assert!(parked[0].error.contains("InvalidParameter"), "{parked:?}");
    assert_eq!(by_stream(bus.bodies(&queue, 2).await).into_keys().collect::<Vec<_>>(), ["a", "c"]);
    handle.skip("publisher", 1.into(), "nobody needs it").await.unwrap();
    assert_eq!(handle.parked("publisher").await.unwrap(), []);
    running.shut_down().await;
}
