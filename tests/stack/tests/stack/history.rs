//! A part of a real history, imported through the API: counted, published, and projected.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projector::postgres::sqlx;
use ees_projector::sqs::{Queue, Worker};
use ees_projector::{Fold, Projector, Recorded, Settings, dynamodb, postgres};
use ees_store::StreamId;
use ees_store::dynamodb::{Indexing, Options, Store};
use ees_test_aws::{LocalAws, Stack};
use ees_test_postgres::TestDatabase;
use ees_tests::history::{Line, lines};
use futures::StreamExt;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::{LONG, Subscriber};

/// So many that the emulator, whose queries are slow, is done in time.
const CHANGESETS: usize = 300;

/// The beginning, by stream. The emulator splits a path at what stands for a slash in it, so that there is none in these names.
fn beginning() -> BTreeMap<StreamId, Vec<Line>> {
    let mut streams: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for mut line in lines().into_iter().take(CHANGESETS) {
        line.stream_id = line.stream_id.as_str().replace('/', ":").parse().unwrap();
        streams.entry(line.stream_id.clone()).or_default().push(line);
    }
    streams
}

fn events_of(line: &Line) -> Vec<Value> {
    line.events.read().unwrap()
}

/// The last event of each file, and how many were applied.
struct LastEvents;

impl Fold for LastEvents {
    type Event = IgnoredAny;
    type Key = String;
    type State = (u64, u64);

    fn name(&self) -> &str {
        "last_events"
    }
    fn key(&self, event: Recorded<'_, IgnoredAny>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<(u64, u64)>, event: Recorded<'_, IgnoredAny>) -> Option<(u64, u64)> {
        Some((event.event_id.get(), row.map_or(0, |(_, applied)| applied) + 1))
    }
}

async fn import(stack: &Stack, streams: &BTreeMap<StreamId, Vec<Line>>) {
    let (client, url) = (reqwest::Client::new(), stack.url());
    let import = async |lines: &Vec<Line>| {
        for Line { stream_id, expected_last_changeset, events, metadata } in lines {
            let body = format!(r#"{{"events":{events},"metadata":{metadata}}}"#);
            let commit = client.post(format!("{url}/streams/{stream_id}")).body(body);
            let commit = commit.query(&[("expected_last_changeset", expected_last_changeset)]);
            let answer = commit.header("Authorization", stack.authorization()).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        }
    };
    futures::stream::iter(streams.values().map(import)).buffer_unordered(8).collect::<()>().await;
}

/// The files there are in the end, and their blobs.
fn expected_tree(streams: &BTreeMap<StreamId, Vec<Line>>) -> BTreeMap<String, String> {
    let last = |lines: &Vec<Line>| lines.iter().flat_map(events_of).next_back();
    let blob = |event: Value| event["blob"].as_str().map(str::to_owned);
    streams.iter().filter_map(|(id, lines)| Some((id.to_string(), last(lines).and_then(blob)?))).collect()
}

/// The rows of the function, once it has applied all.
async fn tree(database: &postgres::Database) -> BTreeMap<String, String> {
    let deadline = Instant::now() + LONG;
    loop {
        let applied: Option<i64> =
            sqlx::query_scalar("SELECT checkpoint FROM ees.projections WHERE name = 'files'")
                .fetch_optional(database.pool())
                .await
                .unwrap();
        if applied == Some(CHANGESETS as i64) {
            let rows = sqlx::query_as("SELECT key, state->>'blob' FROM files.files");
            return rows.fetch_all(database.pool()).await.unwrap().into_iter().collect();
        }
        assert!(Instant::now() < deadline, "the function stands at {applied:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What `GET /streams` answers, once it counts all of it.
async fn statistics(stack: &Stack) -> Value {
    let deadline = Instant::now() + LONG;
    loop {
        let get = reqwest::Client::new().get(format!("{}/streams", stack.url()));
        let answer = get.header("Authorization", stack.authorization()).send().await.unwrap();
        let statistics: Value = answer.json().await.unwrap();
        if statistics["statistics_version"] == CHANGESETS {
            return statistics;
        }
        assert!(Instant::now() < deadline, "{statistics}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_counted_published_and_projected() {
    let account = LocalAws::account().await;
    let stack = Stack::event_store(&account).await;
    let changesets = Subscriber::of(&stack, "ChangesetsTopic", "changesets").await;
    let events = Subscriber::of(&stack, "EventsTopic", "events").await;
    let wake_ups = Subscriber::of(&stack, "EventsTopic", "wake-ups").await;

    // A projection of one's own as a function: woken by a queue, onto PostgreSQL.
    let postgres = TestDatabase::new().await;
    stack.own_projection(postgres.url()).await;

    // Another in a worker: woken by a queue, onto DynamoDB.
    let config = account.sdk_config();
    let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
    let log = Arc::new(Store::open_with(&config, stack.output("Table"), options).await.unwrap());
    let client = aws_sdk_dynamodb::Client::new(&config);
    let database = dynamodb::Database::new(client, stack.output("ReadModels"));
    let mut projector = Projector::new(log);
    projector.fold(LastEvents, database.clone(), Settings::default()).unwrap();
    let running = projector.start();
    let worker = Worker::new(Queue::new(wake_ups.client.clone(), &wake_ups.url), running.handle().clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = tokio::spawn(async move {
        worker.run(async { drop(stopped.await) }).await;
    });

    let streams = beginning();
    import(&stack, &streams).await;

    // Every changeset and every event once, in the order of its stream.
    let in_all: usize = streams.values().flatten().map(|line| events_of(line).len()).sum();
    let (told, told_events) = tokio::join!(changesets.receive(CHANGESETS), events.receive(in_all));
    for (stream_id, lines) in &streams {
        let id = |line: &Line| line.expected_last_changeset + 1;
        let whole = |line: &Line| {
            let metadata: Value = line.metadata.read().unwrap();
            let (stream_id, changeset_id) = (stream_id.as_str(), id(line));
            json!({"stream_id": stream_id, "changeset_id": changeset_id, "events": events_of(line), "metadata": metadata})
        };
        assert_eq!(told[stream_id.as_str()], lines.iter().map(whole).collect::<Vec<_>>());
        let of_changeset =
            |line: &Line| events_of(line).into_iter().map(|data| (id(line), data)).collect::<Vec<_>>();
        let expected = (1..).zip(lines.iter().flat_map(of_changeset)).map(|(event_id, (changeset_id, data))| {
            json!({"stream_id": stream_id.as_str(), "changeset_id": changeset_id, "event_id": event_id, "data": data})
        });
        assert_eq!(told_events[stream_id.as_str()], expected.collect::<Vec<_>>());
    }

    // The rows, each event applied once.
    let end = (CHANGESETS as u64).into();
    running.handle().when_reached("last_events", end, LONG).await.unwrap();
    for (stream_id, lines) in &streams {
        let count: u64 = lines.iter().map(|line| events_of(line).len() as u64).sum();
        let (row, _) = database.document::<(u64, u64)>("last_events", stream_id.as_str()).await.unwrap();
        assert_eq!(row, Some((count, count)), "{stream_id}");
    }

    let files = postgres::Database::connect(postgres.url()).await.unwrap();
    assert_eq!(tree(&files).await, expected_tree(&streams));

    // Exact, by the function that runs each minute.
    let longest = streams.values().map(Vec::len).max().unwrap();
    let expected = json!({
        "total_streams": streams.len(), "total_changesets": CHANGESETS, "total_events": in_all,
        "max_stream_length": longest, "statistics_version": CHANGESETS,
    });
    assert_eq!(statistics(&stack).await, expected);
    drop(stop);
    worker.await.unwrap();
    running.shut_down().await;
}
