//! Imports a real history, or its beginning, through the API, and checks statistics, messages and
//! projections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use ees_projector::postgres::sqlx;
use ees_projector::sqs::{Queue, Worker};
use ees_projector::{Fold, Order, Projector, Recorded, Settings, dynamodb, postgres};
use ees_store::client::Client;
use ees_store::dynamodb::{Indexing, Options, Store};
use ees_store::{Checkpoint, Commit, EventStore, Events, Expectation, StreamId};
use ees_test_aws::{LocalAws, Stack};
use ees_test_postgres::TestDatabase;
use ees_tests::history::{Line, expected_totals, expected_tree, lines};
use futures::StreamExt;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::{LONG, Subscriber, Told};

/// Default of `EES_STACK_CHANGESETS` (a number, or `all`). The emulator takes about thirty changesets per
/// second.
const CHANGESETS: usize = 300;

/// The part of the history that the test uses.
struct History {
    streams: BTreeMap<StreamId, Vec<Line>>,
    changesets: usize,
    events: usize,
    is_whole: bool,
}

impl History {
    /// Stream names have no slash, because the emulator splits a path at an escaped slash.
    fn taken() -> Self {
        let mut lines = lines();
        let in_all = lines.len();
        match std::env::var("EES_STACK_CHANGESETS").as_deref() {
            Err(_) => lines.truncate(CHANGESETS),
            Ok("all") => {}
            Ok(number) => lines.truncate(number.parse().unwrap()),
        }
        let (changesets, events) = (lines.len(), lines.iter().map(|line| events_of(line).len()).sum());
        let mut streams: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for mut line in lines {
            line.stream_id = renamed(line.stream_id.as_str()).parse().unwrap();
            streams.entry(line.stream_id.clone()).or_default().push(line);
        }
        Self { streams, changesets, events, is_whole: changesets == in_all }
    }

    /// A timeout that is far longer than needed, because the emulator is slow.
    fn long(&self) -> Duration {
        LONG.mul_f64((self.changesets as f64 / CHANGESETS as f64).max(1.0))
    }

    fn end(&self) -> Checkpoint {
        Checkpoint::new(self.changesets as u64)
    }

    /// The files that exist in the end, with their modes and blobs.
    fn tree(&self) -> Tree {
        let last = |lines: &Vec<Line>| lines.iter().flat_map(events_of).next_back();
        let file = |event: &Value| Some((text(event, "mode")?, text(event, "blob")?));
        let files =
            self.streams.iter().filter_map(|(id, lines)| Some((id.to_string(), file(&last(lines)?)?)));
        let tree: Tree = files.collect();
        if self.is_whole {
            let known = expected_tree();
            let known = known.lines().map(|line| line.split('\t').collect::<Vec<_>>());
            let known = known.map(|it| (renamed(it[0]), (it[1].to_owned(), it[2].to_owned())));
            assert_eq!(tree, known.collect::<Tree>());
        }
        tree
    }

    /// The answer of `GET /streams` in the end.
    fn totals(&self) -> Value {
        let longest = self.streams.values().map(Vec::len).max().unwrap();
        let totals = json!({
            "total_streams": self.streams.len(), "total_changesets": self.changesets, "total_events": self.events,
            "max_stream_length": longest, "statistics_version": self.changesets,
        });
        assert!(!self.is_whole || totals == expected_totals(), "{totals}");
        totals
    }
}

/// Mode and blob of each path.
type Tree = BTreeMap<String, (String, String)>;

fn renamed(path: &str) -> String {
    path.replace('/', ":")
}

fn text(value: &Value, name: &str) -> Option<String> {
    value[name].as_str().map(str::to_owned)
}

fn events_of(line: &Line) -> Vec<Value> {
    line.events.read().unwrap()
}

/// Keeps the last event of each file, and how many were applied.
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

/// The files that exist: a row for each path.
struct FileTree;

impl Fold for FileTree {
    type Event = Value;
    type Key = String;
    type State = Value;

    fn name(&self) -> &str {
        "file_tree"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, Value>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, _: Option<Value>, event: Recorded<'_, Value>) -> Option<Value> {
        (event.event["type"] != "file_deleted").then(|| event.event.clone())
    }
}

/// Uses a client that retries when the gateway reports a lost function, because there are thousands of calls.
async fn import(store: &Client, streams: &BTreeMap<StreamId, Vec<Line>>) {
    let import = async |lines: &Vec<Line>| {
        for Line { stream_id, expected_last_changeset, events, metadata } in lines {
            let expectation = Expectation::LastChangeset((*expected_last_changeset).into());
            let events = Events::parse(events.as_str()).unwrap();
            let commit = Commit::new(stream_id.clone(), expectation, events);
            store.commit(commit.with_metadata(metadata.clone()).unwrap()).await.unwrap();
        }
    };
    futures::stream::iter(streams.values().map(import)).buffer_unordered(8).collect::<()>().await;
}

/// Waits until the function has applied everything, and returns its rows.
async fn tree_of_function(database: &postgres::Database, history: &History) -> Tree {
    let deadline = Instant::now() + history.long();
    loop {
        let applied: Option<i64> =
            sqlx::query_scalar("SELECT checkpoint FROM ees.projections WHERE name = 'files'")
                .fetch_optional(database.pool())
                .await
                .unwrap();
        if applied == Some(history.changesets as i64) {
            let rows = sqlx::query_as("SELECT key, state->>'mode', state->>'blob' FROM files.files");
            let rows: Vec<(String, String, String)> = rows.fetch_all(database.pool()).await.unwrap();
            return rows.into_iter().map(|(path, mode, blob)| (path, (mode, blob))).collect();
        }
        assert!(Instant::now() < deadline, "the function stands at {applied:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Returns all rows of the worker.
async fn tree_of_worker(database: &dynamodb::Database, stack: &Stack) -> Tree {
    let partition = AttributeValue::S(database.partition("file_tree").await.unwrap());
    let query = database.client().query().table_name(stack.output("ReadModels")).consistent_read(true);
    let query =
        query.key_condition_expression("ees_partition = :p").expression_attribute_values(":p", partition);
    let rows: Vec<_> = query.into_paginator().items().send().try_collect().await.unwrap();
    let file = |row: &dynamodb::Item| {
        let state: Value = serde_json::from_str(row["state"].as_s().unwrap()).unwrap();
        let path = row[dynamodb::KEY].as_s().unwrap().clone();
        (path, (text(&state, "mode").unwrap(), text(&state, "blob").unwrap()))
    };
    rows.iter().map(file).collect()
}

/// Waits until `GET /streams` counts everything, and returns its answer.
async fn statistics(stack: &Stack, history: &History) -> Value {
    let deadline = Instant::now() + history.long();
    loop {
        let get = reqwest::Client::new().get(format!("{}/streams", stack.url()));
        let answer = get.header("Authorization", stack.authorization()).send().await.unwrap();
        let statistics: Value = answer.json().await.unwrap();
        if statistics["statistics_version"] == history.changesets {
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

    // Your own projection as a function, woken by a queue, in PostgreSQL.
    let postgres = TestDatabase::new().await;
    stack.own_projection(postgres.url()).await;

    // Other projections in a worker, woken by a queue, in DynamoDB.
    let config = account.sdk_config();
    let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
    let log = Arc::new(Store::open_with(&config, stack.output("Table"), options).await.unwrap());
    let client = aws_sdk_dynamodb::Client::new(&config);
    let database = dynamodb::Database::new(client, stack.output("ReadModels"));
    let mut projector = Projector::new(log);
    projector.fold(LastEvents, database.clone(), Settings::default()).unwrap();
    projector.fold(FileTree, database.clone(), Settings::default()).unwrap();
    let running = projector.start();
    let worker = Worker::new(Queue::new(wake_ups.client.clone(), &wake_ups.url), running.handle().clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = tokio::spawn(async move {
        worker.run(async { drop(stopped.await) }).await;
    });

    let api = Client::builder(&stack.url()).with_sigv4(&config).build().unwrap();
    let history = History::taken();
    let began = Instant::now();
    let passed = |what: &str| println!("{what} after {:.0?}", began.elapsed());
    let (told, told_events, ()) = tokio::join!(
        changesets.receive(history.changesets, history.long()),
        events.receive(history.events, history.long()),
        async {
            import(&api, &history.streams).await;
            passed("imported");
        }
    );
    passed("received");
    each_came_once_and_in_order(&history, &told, &told_events);

    // Checks the rows: each event was applied once.
    for name in ["last_events", "file_tree"] {
        running.handle().when_reached(name, history.end(), history.long()).await.unwrap();
        passed(name);
    }
    for (stream_id, lines) in &history.streams {
        let count: u64 = lines.iter().map(|line| events_of(line).len() as u64).sum();
        let (row, _) = database.document::<(u64, u64)>("last_events", stream_id.as_str()).await.unwrap();
        assert_eq!(row, Some((count, count)), "{stream_id}");
    }
    let tree = history.tree();
    assert_eq!(tree_of_worker(&database, &stack).await, tree);
    let files = postgres::Database::connect(postgres.url()).await.unwrap();
    assert_eq!(tree_of_function(&files, &history).await, tree);
    passed("projected");

    // The statistics are exact. A scheduled function updates them every minute.
    assert_eq!(statistics(&stack, &history).await, history.totals());
    passed("counted");
    println!("{} files, {}", tree.len(), history.totals());
    drop(stop);
    worker.await.unwrap();
    running.shut_down().await;
}

/// What part of the messages the emulator's topics may let through twice: their look whether one was sent before, and the
/// sending, are not one step, so two calls with the same messages at a time can both pass.
const PUBLISHED_AGAIN_MAX: f64 = 0.01;

/// Checks that every changeset and event arrived once, in the order of its stream.
fn each_came_once_and_in_order(history: &History, told: &Told, told_events: &Told) {
    let published_again = told.published_again + told_events.published_again;
    let messages = (history.changesets + history.events) as f64;
    assert!(
        published_again as f64 <= messages * PUBLISHED_AGAIN_MAX,
        "{published_again} messages came twice"
    );
    for (stream_id, lines) in &history.streams {
        let id = |line: &Line| line.expected_last_changeset + 1;
        let whole = |line: &Line| {
            let metadata: Value = line.metadata.read().unwrap();
            let (stream_id, changeset_id) = (stream_id.as_str(), id(line));
            json!({"stream_id": stream_id, "changeset_id": changeset_id, "events": events_of(line), "metadata": metadata})
        };
        assert_eq!(told.by_stream[stream_id.as_str()], lines.iter().map(whole).collect::<Vec<_>>());
        let of_changeset =
            |line: &Line| events_of(line).into_iter().map(|data| (id(line), data)).collect::<Vec<_>>();
        let expected = (1..).zip(lines.iter().flat_map(of_changeset)).map(|(event_id, (changeset_id, data))| {
            json!({"stream_id": stream_id.as_str(), "changeset_id": changeset_id, "event_id": event_id, "data": data})
        });
        assert_eq!(told_events.by_stream[stream_id.as_str()], expected.collect::<Vec<_>>());
    }
}
