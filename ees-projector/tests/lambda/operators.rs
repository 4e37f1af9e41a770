//! Operators of a function's projection, through API Gateway: the function answers its events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ees_projector::lambda::Function;
use ees_projector::{Drained, Fold, OnDemand, Order, Recorded, Settings, State, memory, postgres};
use ees_store::{ChangesetId, ChangesetLog, Checkpoint, LogHead, LogPage, LogQuery, Result, StreamId};
use ees_test_postgres::TestDatabase;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{Bank, LONG, ReadModel, within};

const KEYS: &str = "read:looks,admin:operates";

/// Who calls.
#[derive(Clone, Copy)]
enum Who {
    /// A caller with this key.
    Key(&'static str),
    Nobody,
    /// A caller whose signature API Gateway has verified.
    Signed,
}

/// An event as a REST API makes it.
fn event(who: Who, method: &str, path: &str, body: &Value) -> Value {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query: serde_json::Map<_, _> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), json!([value])))
        .collect();
    let headers = match who {
        Who::Key(key) => json!({ "authorization": [format!("Bearer {key}")] }),
        Who::Nobody | Who::Signed => json!({}),
    };
    let arn = matches!(who, Who::Signed).then_some("arn:aws:iam::123456789012:user/ada");
    let body = (method == "POST").then(|| body.to_string());
    json!({
        "resource": "/{proxy+}", "path": path, "httpMethod": method, "headers": {}, "multiValueHeaders": headers,
        "queryStringParameters": null, "multiValueQueryStringParameters": query,
        "pathParameters": { "proxy": path.trim_start_matches('/') }, "stageVariables": null,
        "requestContext": { "resourcePath": "/{proxy+}", "httpMethod": method, "stage": "v1", "identity": { "userArn": arn } },
        "body": body, "isBase64Encoded": false,
    })
}

/// Calls a function. The status, and the body.
async fn call(function: &Function, who: Who, method: &str, path: &str, body: Value) -> (u64, Value) {
    let event = event(who, method, path, &body);
    let answer = function.on_messages_or_schedule(event, within(LONG)).await.unwrap();
    let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    (answer["statusCode"].as_u64().unwrap(), body)
}

async fn get(function: &Function, path: &str) -> Value {
    let (status, body) = call(function, Who::Key("looks"), "GET", path, Value::Null).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

async fn operate(function: &Function, path: &str, body: Value) -> Value {
    let (status, body) = call(function, Who::Key("operates"), "POST", path, body).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

fn operated(function: Function) -> Function {
    function.with_operators(KEYS.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_let_in_by_their_scopes_or_their_signature() {
    let bank = Bank::new();
    for read_model in ReadModel::each().await {
        let function = operated(read_model.function(&bank));
        function.on_schedule(within(LONG)).await.unwrap();
        for (who, method, path, status) in [
            (Who::Nobody, "GET", "/projections", 401),
            (Who::Nobody, "POST", "/projections/journal/pause", 401),
            (Who::Key("unknown"), "GET", "/projections", 401),
            (Who::Key("looks"), "GET", "/projections", 200),
            (Who::Key("looks"), "POST", "/projections/journal/pause", 403),
            (Who::Key("operates"), "POST", "/projections/journal/pause", 200),
            (Who::Signed, "POST", "/projections/journal/resume", 200),
            (Who::Signed, "GET", "/access", 200),
            // There is no store here.
            (Who::Signed, "GET", "/changesets", 404),
            (Who::Signed, "GET", "/console/", 404),
        ] {
            let (answered, body) = call(&function, who, method, path, json!({})).await;
            assert_eq!(answered, status, "{method} {path}: {body}");
        }
        let audit = get(&function, "/audit").await;
        let actions: Vec<_> = audit["audit"].as_array().unwrap().iter().map(|it| &it["action"]).collect();
        assert_eq!(actions, ["resume", "pause"], "{audit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_does_holds_for_every_other_instance() {
    for read_model in ReadModel::each().await {
        let bank = Bank::new();
        bank.append("a", "[1]").await;
        // As two instances of a function are.
        let (operators, other) = (operated(read_model.function(&bank)), read_model.function(&bank));
        other.on_schedule(within(LONG)).await.unwrap();
        let before = get(&operators, "/projections/journal").await;
        assert_eq!((&before["state"], &before["stalled"]), (&json!("following"), &Value::Null), "{before}");

        operate(&operators, "/projections/journal/pause", json!({ "reason": "lunch" })).await;
        bank.append("b", "[1]").await;
        assert!(other.on_schedule(within(LONG)).await.unwrap_err().to_string().contains("is paused"));
        let paused = get(&operators, "/projections/journal").await;
        assert_eq!(
            (&paused["state"], &paused["stalled"]),
            (&json!("paused"), &json!("paused: lunch")),
            "{paused}"
        );

        operate(&operators, "/projections/journal/resume", json!({})).await;
        other.on_schedule(within(LONG)).await.unwrap();
        let resumed = get(&operators, "/projections").await["projections"][0].take();
        assert_eq!(
            (&resumed["state"], &resumed["lag_changesets"]),
            (&json!("following"), &json!(0)),
            "{resumed}"
        );

        let wiped = operate(&operators, "/projections/journal/rebuild", json!({ "reason": "why not" })).await;
        assert_eq!((&wiped["state"], &wiped["checkpoint"]), (&json!("rebuilding"), &json!(0)), "{wiped}");
        other.on_schedule(within(LONG)).await.unwrap();
        let rebuilt = get(&operators, "/projections/journal?min_checkpoint=1").await;
        assert_eq!(rebuilt["state"], "following", "{rebuilt}");
        assert_eq!(read_model.rows().await.last().unwrap(), "b#1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn to_look_at_a_projection_changes_nothing() {
    let bank = Bank::new();
    bank.append("a", "[1]").await;
    for read_model in ReadModel::each().await {
        let operators = operated(read_model.function(&bank));
        let seen = get(&operators, "/projections/journal").await;
        assert_eq!((&seen["state"], &seen["checkpoint"]), (&json!("starting"), &json!(0)), "{seen}");
        // What a worker's start would have made.
        let (status, refused) =
            call(&operators, Who::Signed, "GET", "/projections/journal__standby", Value::Null).await;
        assert!(status == 409, "{refused}");
        let audit = get(&operators, "/projections/journal/audit").await;
        assert_eq!(audit["audit"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_after_its_answer_is_refused_and_says_where_it_is_done() {
    let bank = Bank::new();
    for read_model in ReadModel::each().await {
        let function = operated(read_model.function(&bank));
        function.on_schedule(within(LONG)).await.unwrap();
        for (path, body) in [
            ("/projections/journal/verification", json!({})),
            ("/projections/journal/as-of", json!({ "into": "then", "checkpoint": 0 })),
        ] {
            let (status, refused) = call(&function, Who::Signed, "POST", path, body).await;
            assert_eq!((status, &refused["error"]), (409, &json!("NOT_SUPPORTED")), "{refused}");
            assert!(refused["message"].as_str().unwrap().contains("a process that stays"), "{refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_nothing_calls_is_stalled_once_what_it_lacks_is_old() {
    let bank = Bank::new();
    let database = memory::Database::new();
    let counted = OnDemand::fold(Numbers, database, bank.clone(), Settings::default()).unwrap();
    counted.drain_until(within(LONG)).await;
    let handle = counted.handle().with_stalled_after(Duration::from_millis(200));
    bank.append("a", "[1]").await;
    let deadline = Instant::now() + LONG;
    loop {
        let status = handle.status("numbers").await.unwrap();
        if let Some(why) = status.stalled {
            assert!(why.starts_with("1 changesets behind"), "{why}");
            break;
        }
        assert!(Instant::now() < deadline, "{status:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    counted.drain_until(within(LONG)).await;
    assert_eq!(handle.status("numbers").await.unwrap().stalled, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_partitions_is_shown_and_operated_as_one() {
    let own = TestDatabase::new().await;
    let database = postgres::Database::connect(own.url()).await.unwrap();
    let bank = Bank::new();
    for stream in ["a", "b", "c", "d"] {
        bank.append(stream, "[1]").await;
    }
    let settings = Settings { partitions: 2, ..Settings::default() };
    let numbers = OnDemand::fold(Numbers, database, bank.clone(), settings).unwrap();
    let handle = numbers.handle();
    assert_eq!(numbers.drain_until(within(LONG)).await, Drained::CaughtUp);
    let status = handle.status("numbers").await.unwrap();
    assert_eq!((status.state, status.checkpoint.get(), status.partitions.len()), (State::Following, 4, 2));

    handle.pause("numbers", "lunch").await.unwrap();
    assert_eq!(numbers.drain_until(within(LONG)).await, Drained::Paused);
    assert_eq!(handle.status("numbers").await.unwrap().state, State::Paused);
    handle.resume("numbers", "").await.unwrap();
    handle.set_partitions("numbers", 1, "").await.unwrap();
    bank.append("a", "[2]").await;
    assert_eq!(numbers.drain_until(within(LONG)).await, Drained::CaughtUp);
    let status = handle.status("numbers").await.unwrap();
    assert_eq!((status.state, status.checkpoint.get(), status.partitions.len()), (State::Following, 5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_explained_by_the_function_that_keeps_it() {
    let bank = Bank::new();
    bank.append("a", "[1, 2]").await;
    let numbers =
        OnDemand::fold(Numbers, memory::Database::new(), bank.clone(), Settings::default()).unwrap();
    let function = operated(Function::new(numbers));
    function.on_schedule(within(LONG)).await.unwrap();
    let explained = get(&function, "/projections/numbers/explain?key=a").await;
    assert_eq!(
        (&explained["row"], explained["steps"].as_array().unwrap().len()),
        (&json!(2), 2),
        "{explained}"
    );
}

/// A log whose end can't be read for a while.
struct Silent {
    bank: Arc<Bank>,
    is_silent: watch::Sender<bool>,
}

#[async_trait]
impl ChangesetLog for Silent {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        self.bank.read(query).await
    }
    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.bank.locate(stream_id, changeset_id).await
    }
    async fn head(&self) -> Result<LogHead> {
        self.is_silent.subscribe().wait_for(|is_silent| !is_silent).await.unwrap();
        self.bank.head().await
    }
}

/// Lambda freezes a function after its answer, also after one that is cut off, and thaws it for the next call.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_does_not_wait_for_any_more_is_not_done_later() {
    let log = Arc::new(Silent { bank: Bank::new(), is_silent: watch::Sender::new(false) });
    log.bank.append("a", "[1]").await;
    let numbers = OnDemand::fold(Numbers, memory::Database::new(), log.clone(), Settings::default()).unwrap();
    let handle = numbers.handle();
    assert_eq!(numbers.drain_until(within(LONG)).await, Drained::CaughtUp);

    log.is_silent.send_replace(true);
    let cut_off = Duration::from_millis(100);
    tokio::time::timeout(cut_off, handle.status("numbers")).await.unwrap_err();
    tokio::time::timeout(cut_off, handle.rebuild("numbers", "cut off")).await.unwrap_err();
    // The worker is free for what works without the log.
    let pause = handle.pause("numbers", "while the log is away");
    tokio::time::timeout(Duration::from_secs(15), pause).await.unwrap().unwrap();

    log.is_silent.send_replace(false);
    handle.resume("numbers", "it is back").await.unwrap();
    let audit = handle.audit("numbers", 10).await.unwrap();
    let done: Vec<_> = audit.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(done, ["resume", "pause"]);
    assert_eq!(handle.status("numbers").await.unwrap().checkpoint.get(), 1);
}

/// The last number of each stream.
struct Numbers;

impl Fold for Numbers {
    type Event = Value;
    type Key = String;
    type State = u64;

    fn name(&self) -> &str {
        "numbers"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, Value>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, _: Option<u64>, event: Recorded<'_, Value>) -> Option<u64> {
        event.event.as_u64()
    }
}
